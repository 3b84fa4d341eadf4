"""People: a walking skeleton with clothes, seen from any side."""

import math
from dataclasses import dataclass

import numpy as np

from lipdeploy.samples._scene_canvas import PERSON, Canvas, Colour, Floats
from lipdeploy.samples._scene_view import NEAR, View
from lipdeploy.samples._scene_world import Light

_STRIDE = 0.72  # metres per step
_ANGLES = np.arange(10) * (math.tau / 10)
_CIRCLE = np.stack([np.cos(_ANGLES), np.sin(_ANGLES)], axis=1)


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
        """Outline of the shadow in pixels, shape (10, 2), or None."""
        if self.far - view.position < NEAR + 0.8:
            return None
        lean = -0.8 * light.sun * light.sun_side
        points = np.zeros((10, 3))
        points[:, 0] = self.lateral + 0.5 * lean + (0.3 + 0.5 * abs(lean)) * _CIRCLE[:, 0]
        points[:, 2] = self.far + 0.28 * _CIRCLE[:, 1]
        return view.project(points)

    def _joints(self) -> Floats:
        """Skeleton in units of the height, shape (16, 3): right, up, forward."""
        phase = math.pi * self.walked / _STRIDE
        swing = math.sin(phase) if self.walking else 0.08
        lift = math.cos(phase) if self.walking else 0.0
        bob = 0.012 * abs(math.cos(phase)) if self.walking else 0.0
        joints = [(0.0, 0.51 + bob, 0.0), (0.0, 0.82 + bob, 0.0), (0.0, 0.925 + bob, 0.012)]
        for side, sign in ((-1.0, 1.0), (1.0, -1.0)):
            angle = 0.48 * swing * sign
            bend = 0.75 * max(lift * sign, 0.0)
            hip = (0.05 * side, 0.50 + bob, 0.0)
            knee = (0.055 * side, hip[1] - 0.25 * math.cos(angle), 0.25 * math.sin(angle))
            shin = angle - bend - 0.05
            foot = (0.055 * side, knee[1] - 0.235 * math.cos(shin), knee[2] + 0.235 * math.sin(shin))
            toe = (0.06 * side, max(foot[1] - 0.012, 0.008), foot[2] + 0.075)
            arm = -0.42 * swing * sign
            shoulder = (0.115 * side, 0.795 + bob, 0.0)
            elbow = (0.14 * side, shoulder[1] - 0.17 * math.cos(arm), 0.17 * math.sin(arm))
            fore = arm + 0.35
            hand = (0.135 * side, elbow[1] - 0.16 * math.cos(fore), elbow[2] + 0.16 * math.sin(fore))
            joints += [hip, knee, foot, toe, shoulder, elbow, hand]
        return np.array(joints)

    def draw(self, canvas: Canvas, view: View, light: Light) -> None:
        """Paint the person from the far limbs to the near ones.

        Args:
            canvas: The canvas.
            view: The camera.
            light: The light of the world.
        """
        depth = self.far - view.position
        if depth < NEAR + 1.0 or view.outside(self.lateral, 0.6, self.far):
            return
        local = self._joints() * self.height
        placed = np.empty_like(local)
        placed[:, 0] = self.lateral + self.along * local[:, 0] + self.across * local[:, 2]
        placed[:, 1] = local[:, 1]
        placed[:, 2] = self.far + self.along * local[:, 2] - self.across * local[:, 0]
        pixels = view.project(placed)
        size = view.scale(self.far) * self.height
        order = (0, 1) if placed[3, 2] > placed[10, 2] else (1, 0)
        self._limbs(canvas, pixels, size, light, depth, order[0], 0.82)
        self._legs(canvas, pixels, size, light, depth, order[1], 1.0)
        self._trunk(canvas, pixels, size, light, depth)
        self._arm(canvas, pixels, size, light, depth, order[1], 1.06)

    def _limbs(
        self, canvas: Canvas, pixels: Floats, size: float, light: Light, depth: float, side: int, gain: float
    ) -> None:
        self._arm(canvas, pixels, size, light, depth, side, gain)
        self._legs(canvas, pixels, size, light, depth, side, gain)

    def _legs(
        self, canvas: Canvas, pixels: Floats, size: float, light: Light, depth: float, side: int, gain: float
    ) -> None:
        hip, knee, foot, toe = pixels[3 + 7 * side : 7 + 7 * side]
        cloth = light.shaded(self.legs, depth, gain)
        shoe = light.shaded((40, 36, 34), depth, gain)
        canvas.fill_convex(_capsule(foot, toe, 0.026 * size, 0.020 * size), shoe, PERSON)
        canvas.fill_convex(_capsule(knee, foot, 0.042 * size, 0.028 * size), cloth, PERSON)
        canvas.fill_convex(_capsule(hip, knee, 0.062 * size, 0.044 * size), cloth, PERSON)

    def _arm(
        self, canvas: Canvas, pixels: Floats, size: float, light: Light, depth: float, side: int, gain: float
    ) -> None:
        shoulder, elbow, hand = pixels[7 + 7 * side : 10 + 7 * side]
        sleeve = light.shaded(self.top, depth, 0.88 * gain)
        skin = light.shaded(self.skin, depth, gain)
        if size > 24.0:
            canvas.fill_convex(hand + 0.024 * size * _CIRCLE, skin, PERSON)
        canvas.fill_convex(_capsule(elbow, hand, 0.03 * size, 0.024 * size), sleeve, PERSON)
        canvas.fill_convex(_capsule(shoulder, elbow, 0.04 * size, 0.032 * size), sleeve, PERSON)

    def _trunk(self, canvas: Canvas, pixels: Floats, size: float, light: Light, depth: float) -> None:
        hip, neck, head = pixels[:3]
        front = abs(self.along)
        wide, waist = (0.085 + 0.045 * front) * size, (0.075 + 0.02 * front) * size
        hem = (0.17 if self.coat else 0.03) * size
        outline = np.array(
            [
                [neck[0] - 0.4 * wide, neck[1] - 0.02 * size],
                [neck[0] + 0.4 * wide, neck[1] - 0.02 * size],
                [neck[0] + wide, neck[1] + 0.04 * size],
                [hip[0] + waist, hip[1] - 0.05 * size],
                [hip[0] + waist * 1.12, hip[1] + hem],
                [hip[0] - waist * 1.12, hip[1] + hem],
                [hip[0] - waist, hip[1] - 0.05 * size],
                [neck[0] - wide, neck[1] + 0.04 * size],
            ]
        )
        canvas.fill(outline, light.shaded(self.top, depth), PERSON)
        if size > 20.0:
            dark = outline[[1, 2, 3, 4]]
            inner = dark - np.array([0.75 * wide, 0.0])
            shadow = np.concatenate([dark, inner[::-1]])
            canvas.fill(shadow, light.shaded(self.top, depth, 0.86), PERSON)
        if self.bag:
            self._rucksack(canvas, neck, wide, size, light, depth)
        self._head(canvas, head, size, light, depth)

    def _rucksack(
        self, canvas: Canvas, neck: Floats, wide: float, size: float, light: Light, depth: float
    ) -> None:
        if self.along < -0.5:
            return
        centre = neck + np.array([-self.across * wide * 1.1, 0.14 * size])
        box = centre + _CIRCLE * np.array([0.075, 0.115]) * size
        canvas.fill_convex(box, light.shaded((64, 60, 66), depth), PERSON)

    def _head(self, canvas: Canvas, head: Floats, size: float, light: Light, depth: float) -> None:
        skin, hair = light.shaded(self.skin, depth), light.shaded(self.hair, depth)
        throat = head + np.array([0.0, 0.075 * size])
        canvas.fill_convex(_capsule(head, throat, 0.03 * size, 0.036 * size), skin, PERSON)
        oval = np.array([0.056, 0.071]) * size
        back = head + np.array([-0.016 * self.across, -0.012]) * size
        canvas.fill_convex(back + _CIRCLE * oval, hair, PERSON)
        if self.along < 0.5:
            face = head + np.array([0.018 * self.across, 0.016]) * size
            canvas.fill_convex(face + _CIRCLE * oval * np.array([0.82, 0.78]), skin, PERSON)


def _capsule(start: Floats, end: Floats, first: float, last: float) -> Floats:
    """Outline of a tapered limb in pixels, shape (8, 2)."""
    dx, dy = float(end[0] - start[0]), float(end[1] - start[1])
    length = math.hypot(dx, dy) + 1e-6
    dx, dy = dx / length, dy / length
    (a, b), (c, d) = start, end
    return np.array(
        [
            [a - dy * first, b + dx * first],
            [a - 0.7 * (dy + dx) * first, b + 0.7 * (dx - dy) * first],
            [a + 0.7 * (dy - dx) * first, b - 0.7 * (dx + dy) * first],
            [a + dy * first, b - dx * first],
            [c + dy * last, d - dx * last],
            [c + 0.7 * (dy + dx) * last, d - 0.7 * (dx - dy) * last],
            [c - 0.7 * (dy - dx) * last, d + 0.7 * (dx + dy) * last],
            [c - dy * last, d + dx * last],
        ]
    )
