"""People: a walking skeleton with clothes, seen from any side."""

import math
from dataclasses import dataclass
from functools import partial

import numpy as np

from lipdeploy.samples._scene_canvas import PERSON, Canvas, Colour, Floats, Sketch, fixed_point
from lipdeploy.samples._scene_view import NEAR, View
from lipdeploy.samples._scene_world import Air, Light

_STRIDE = 0.72  # metres per step
_ANGLES = np.arange(10) * (math.tau / 10)
_CIRCLE = np.stack([np.cos(_ANGLES), np.sin(_ANGLES)], axis=1)

# Rows of the skeleton: these three, then the limbs of the left and of the right side.
_HIP, _NECK, _HEAD = range(3)
_LIMB_JOINTS = 7
_THIGH, _KNEE, _FOOT, _TOE, _SHOULDER, _ELBOW, _HAND = range(3, 3 + _LIMB_JOINTS)
_THROAT = 3 + 2 * _LIMB_JOINTS  # added once the skeleton is in pixels

# Limbs of one side: first joint, last joint and the radius at each in body heights.
_LIMBS = (
    (_FOOT, _TOE, 0.026, 0.020),
    (_KNEE, _FOOT, 0.042, 0.028),
    (_THIGH, _KNEE, 0.062, 0.044),
    (_ELBOW, _HAND, 0.030, 0.024),
    (_SHOULDER, _ELBOW, 0.040, 0.032),
)
_THROAT_LIMB = 2 * len(_LIMBS)
_FIRST = np.array([*(f + s * _LIMB_JOINTS for s in (0, 1) for f, _, _, _ in _LIMBS), _HEAD])
_LAST = np.array([*(e + s * _LIMB_JOINTS for s in (0, 1) for _, e, _, _ in _LIMBS), _THROAT])
_FIRST_RADII = np.array([*(2 * [r for _, _, r, _ in _LIMBS]), 0.030])
_LAST_RADII = np.array([*(2 * [r for _, _, _, r in _LIMBS]), 0.036])

# Corners of a unit limb end: share along the limb, share across it.
_CAP = np.array([[0.0, 1.0], [-0.7, 0.7], [-0.7, -0.7], [0.0, -1.0]])
_SHOE: Colour = (40, 36, 34)
_BAG: Colour = (64, 60, 66)


@dataclass(frozen=True)
class Person:
    """A person on foot."""

    lateral: float  # metres from the road centre
    far: float  # position along the road in metres
    height: float  # metres
    across: float  # walking direction: lateral part, -1..1
    along: float  # walking direction: part along the road, -1..1
    walked: float  # metres walked so far; sets the phase of the legs
    walking: bool
    top: Colour
    legs: Colour
    skin: Colour
    hair: Colour
    coat: bool  # long coat instead of a jacket
    bag: bool  # carries a rucksack

    def shadow(self, view: View, light: Light) -> Floats | None:
        """Outline of the shadow on the road, shape (10, 3) in metres, or None."""
        if self.far - view.position < NEAR + 0.8:
            return None
        lean = -0.8 * light.sun * light.sun_side
        points = np.zeros((10, 3))
        points[:, 0] = self.lateral + 0.5 * lean + (0.3 + 0.5 * abs(lean)) * _CIRCLE[:, 0]
        points[:, 2] = self.far + 0.28 * _CIRCLE[:, 1]
        return points

    def sketch(self, view: View, light: Light) -> Sketch | None:
        """Corners and painter of the person.

        Args:
            view: The camera.
            light: The light of the world.

        Returns:
            The sketch, or None when nothing can be seen.
        """
        depth = self.far - view.position
        if depth < NEAR + 1.0 or view.outside(self.lateral, 0.6, self.far):
            return None
        local = self._joints() * self.height
        placed = np.empty_like(local)
        placed[:, 0] = self.lateral + self.along * local[:, 0] + self.across * local[:, 2]
        placed[:, 1] = local[:, 1]
        placed[:, 2] = self.far + self.along * local[:, 2] - self.across * local[:, 0]
        far_side = 0 if placed[3, 2] > placed[10, 2] else 1
        size = view.scale(self.far) * self.height
        return Sketch(placed, partial(self._paint, light.at(depth), size, far_side))

    def _joints(self) -> Floats:
        """Skeleton in units of the height, shape (17, 3): right, up, forward."""
        phase = math.pi * self.walked / _STRIDE
        swing = math.sin(phase) if self.walking else 0.08
        lift = math.cos(phase) if self.walking else 0.0
        bob = 0.012 * abs(math.cos(phase)) if self.walking else 0.0
        spine = [(0.0, 0.51 + bob, 0.0), (0.0, 0.82 + bob, 0.0), (0.0, 0.925 + bob, 0.012)]
        left = [*_leg(-1.0, bob, swing, lift), *_arm(-1.0, bob, swing)]
        right = [*_leg(1.0, bob, -swing, -lift), *_arm(1.0, bob, -swing)]
        return np.array([*spine, *left, *right])

    def _paint(
        self, air: Air, size: float, far_side: int, canvas: Canvas, skeleton: Floats
    ) -> None:
        """Paint from the far limbs to the near ones; size is the body height in pixels."""
        near_side = 1 - far_side
        throat = skeleton[_HEAD] + np.array([0.0, 0.075 * size])
        pixels = np.concatenate([skeleton, throat[None]])
        limbs = _capsules(pixels[_FIRST], pixels[_LAST], _FIRST_RADII * size, _LAST_RADII * size)
        painter = _LimbPainter(self, canvas, air, size, pixels, limbs)
        painter.arm(far_side, 0.82)
        painter.leg(far_side, 0.82)
        painter.leg(near_side, 1.0)
        self._paint_trunk(canvas, air, size, pixels)
        skin = air.shaded(self.skin)
        canvas.fill_convex(limbs[_THROAT_LIMB], skin, PERSON)
        self._paint_head(canvas, air, size, pixels[_HEAD])
        painter.arm(near_side, 1.06)

    def _paint_trunk(self, canvas: Canvas, air: Air, size: float, pixels: Floats) -> None:
        front = abs(self.along)
        wide, waist = (0.085 + 0.045 * front) * size, (0.075 + 0.02 * front) * size
        outline = self._trunk(pixels, size, wide, waist)
        canvas.fill(outline, air.shaded(self.top), PERSON)
        if size > 20.0:
            dark = outline[1:5]
            inner = dark - np.array([0.75 * wide, 0.0])
            shadow = np.concatenate([dark, inner[::-1]])
            canvas.fill(shadow, air.shaded(self.top, 0.86), PERSON)
        if self.bag and self.along >= -0.5:
            centre = pixels[_NECK] + np.array([-self.across * wide * 1.1, 0.14 * size])
            box = centre + _CIRCLE * np.array([0.075, 0.115]) * size
            canvas.fill_convex(box, air.shaded(_BAG), PERSON)

    def _trunk(self, pixels: Floats, size: float, wide: float, waist: float) -> Floats:
        """Outline of jacket or coat in pixels, shape (8, 2)."""
        (hip_u, hip_v), (neck_u, neck_v) = pixels[[_HIP, _NECK]].tolist()
        hem = (0.17 if self.coat else 0.03) * size
        return np.array(
            [
                (neck_u - 0.4 * wide, neck_v - 0.02 * size),
                (neck_u + 0.4 * wide, neck_v - 0.02 * size),
                (neck_u + wide, neck_v + 0.04 * size),
                (hip_u + waist, hip_v - 0.05 * size),
                (hip_u + waist * 1.12, hip_v + hem),
                (hip_u - waist * 1.12, hip_v + hem),
                (hip_u - waist, hip_v - 0.05 * size),
                (neck_u - wide, neck_v + 0.04 * size),
            ]
        )

    def _paint_head(self, canvas: Canvas, air: Air, size: float, head: Floats) -> None:
        oval = _CIRCLE * (np.array([0.056, 0.071]) * size)
        back = head + np.array([-0.016 * self.across, -0.012]) * size
        canvas.fill_convex(back + oval, air.shaded(self.hair), PERSON)
        if self.along < 0.5:
            face = head + np.array([0.018 * self.across, 0.016]) * size
            canvas.fill_convex(face + oval * np.array([0.82, 0.78]), air.shaded(self.skin), PERSON)


class _LimbPainter:
    """Paints the limbs of one person, one side at a time (0 left, 1 right)."""

    def __init__(
        self,
        person: Person,
        canvas: Canvas,
        air: Air,
        size: float,
        pixels: Floats,
        limbs: Floats,
    ) -> None:
        self.person = person
        self.canvas = canvas
        self.air = air
        self.size = size
        self.pixels = pixels
        self.corners = fixed_point(limbs)

    def leg(self, side: int, gain: float) -> None:
        shoe, shin, thigh = self.corners[len(_LIMBS) * side :][:3]
        cloth = self.air.shaded(self.person.legs, gain)
        self.canvas.fill_fixed(shoe, self.air.shaded(_SHOE, gain), PERSON)
        self.canvas.fill_fixed(shin, cloth, PERSON)
        self.canvas.fill_fixed(thigh, cloth, PERSON)

    def arm(self, side: int, gain: float) -> None:
        lower, upper = self.corners[len(_LIMBS) * side :][3:5]
        sleeve = self.air.shaded(self.person.top, 0.88 * gain)
        if self.size > 24.0:
            hand = self.pixels[_HAND + _LIMB_JOINTS * side]
            skin = self.air.shaded(self.person.skin, gain)
            self.canvas.fill_convex(hand + 0.024 * self.size * _CIRCLE, skin, PERSON)
        self.canvas.fill_fixed(lower, sleeve, PERSON)
        self.canvas.fill_fixed(upper, sleeve, PERSON)


def _leg(side: float, bob: float, swing: float, lift: float) -> list[tuple[float, float, float]]:
    """Hip, knee, foot and toe of one side (-1 left, 1 right) in body heights."""
    angle = 0.48 * swing
    shin = angle - 0.75 * max(lift, 0.0) - 0.05
    hip = 0.50 + bob
    knee_up, knee_on = hip - 0.25 * math.cos(angle), 0.25 * math.sin(angle)
    foot_up, foot_on = knee_up - 0.235 * math.cos(shin), knee_on + 0.235 * math.sin(shin)
    return [
        (0.05 * side, hip, 0.0),
        (0.055 * side, knee_up, knee_on),
        (0.055 * side, foot_up, foot_on),
        (0.06 * side, max(foot_up - 0.012, 0.008), foot_on + 0.075),
    ]


def _arm(side: float, bob: float, swing: float) -> list[tuple[float, float, float]]:
    """Shoulder, elbow and hand of one side (-1 left, 1 right) in body heights."""
    angle = -0.42 * swing
    fore = angle + 0.35
    shoulder = 0.795 + bob
    elbow_up, elbow_on = shoulder - 0.17 * math.cos(angle), 0.17 * math.sin(angle)
    return [
        (0.115 * side, shoulder, 0.0),
        (0.14 * side, elbow_up, elbow_on),
        (0.135 * side, elbow_up - 0.16 * math.cos(fore), elbow_on + 0.16 * math.sin(fore)),
    ]


def _capsules(start: Floats, end: Floats, first: Floats, last: Floats) -> Floats:
    """Outlines of tapered limbs.

    Args:
        start: First joints in pixels, shape (K, 2).
        end: Last joints in pixels, shape (K, 2).
        first: Radii at the first joints in pixels, shape (K,).
        last: Radii at the last joints in pixels, shape (K,).

    Returns:
        Convex outlines in pixels, shape (K, 8, 2).
    """
    step = end - start
    length = np.hypot(step[:, 0], step[:, 1]) + 1e-6
    step /= length[:, None]
    normal = np.stack([-step[:, 1], step[:, 0]], axis=1)
    cap = _CAP[:, :1] * step[:, None] + _CAP[:, 1:] * normal[:, None]
    corners = np.empty((len(start), 8, 2))
    corners[:, :4] = start[:, None] + cap * first[:, None, None]
    corners[:, 4:] = end[:, None] - cap * last[:, None, None]
    return corners
