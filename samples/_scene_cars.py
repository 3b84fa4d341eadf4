"""Cars: a solid body and cabin with glass, lamps, plates and wheels."""

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from lipdeploy.samples._scene_canvas import CAR, Canvas, Colour, Floats
from lipdeploy.samples._scene_view import NEAR, View
from lipdeploy.samples._scene_world import Light

# length, width, height, belt line; cabin ends (rear low, rear high, front high, front low)
_KINDS: tuple[tuple[float, float, float, float, tuple[float, float, float, float]], ...] = (
    (4.0, 1.76, 1.48, 0.92, (-1.95, -1.45, 0.30, 1.05)),  # hatchback
    (4.6, 1.82, 1.45, 0.90, (-1.55, -0.95, 0.35, 1.15)),  # saloon
    (4.5, 1.88, 1.70, 1.05, (-2.15, -1.85, 0.45, 1.15)),  # sport utility
    (4.7, 1.84, 1.50, 0.92, (-2.25, -1.85, 0.35, 1.15)),  # estate
    (5.1, 1.96, 2.15, 1.15, (-2.52, -2.45, 1.05, 1.85)),  # van
)
KIND_COUNT = len(_KINDS)

_ROLES: dict[str, Colour] = {
    "glass": (52, 62, 72),
    "sheen": (112, 128, 140),
    "tail": (158, 26, 24),
    "head": (226, 226, 214),
    "plate": (214, 212, 198),
    "tyre": (28, 28, 30),
    "hub": (134, 136, 140),
    "trim": (44, 45, 48),
}


@dataclass(frozen=True)
class _Model:
    points: Floats  # (N, 3): right, up, forward in metres
    starts: npt.NDArray[np.int64]  # first point of each part
    roles: tuple[tuple[str, float], ...]  # paint and brightness of each part
    always: npt.NDArray[np.bool_]  # parts without a hidden back side


class _Parts:
    """Collects polygons whose corners run clockwise as seen from outside."""

    def __init__(self) -> None:
        self.polygons: list[Floats] = []
        self.roles: list[tuple[str, float]] = []
        self.always: list[bool] = []

    def add(self, corners: Floats, role: str, gain: float = 1.0, always: bool = False) -> None:
        self.polygons.append(corners)
        self.roles.append((role, gain))
        self.always.append(always)

    def model(self) -> _Model:
        sizes = [len(polygon) for polygon in self.polygons]
        starts = np.concatenate([[0], np.cumsum(sizes)[:-1]]).astype(np.int64)
        points = np.concatenate(self.polygons)
        return _Model(points, starts, tuple(self.roles), np.array(self.always))


def _rear(x: float, low: float, high: float, z: float, x_high: float, z_high: float) -> Floats:
    return np.array([[-x, low, z], [-x_high, high, z_high], [x_high, high, z_high], [x, low, z]])


def _turned(corners: Floats) -> Floats:
    return corners * np.array([-1.0, 1.0, -1.0])


def _inset(corners: Floats, across: float, up: float) -> Floats:
    """Shrink a quad (low left, high left, high right, low right) towards its centre."""
    low_left, high_left, high_right, low_right = corners
    result = []
    for side, height in ((across, up), (across, 1 - up), (1 - across, 1 - up), (1 - across, up)):
        low = low_left + (low_right - low_left) * side
        high = high_left + (high_right - high_left) * side
        result.append(low + (high - low) * height)
    return np.array(result)


def _side(z: tuple[float, float, float, float], x: tuple[float, float], y: tuple[float, float]) -> Floats:
    """Right-hand side quad: rear low, rear high, front high, front low."""
    return np.array(
        [[x[0], y[0], z[0]], [x[1], y[1], z[1]], [x[1], y[1], z[2]], [x[0], y[0], z[3]]]
    )


def _mirrored(corners: Floats) -> Floats:
    return corners[::-1] * np.array([-1.0, 1.0, 1.0])


def _add_body(parts: _Parts, length: float, width: float, belt: float) -> None:
    half, end = 0.5 * width, 0.5 * length
    low, mid = 0.24, 0.5
    for x in (-half + 0.16, half - 0.16):
        for z in (-end + 0.75, end - 0.75):
            tyre = np.array([[x - 0.13, 0, z], [x - 0.13, 0.5, z], [x + 0.13, 0.5, z], [x + 0.13, 0, z]])
            parts.add(tyre, "tyre", 1.0, always=True)
    rear_low = _rear(0.95 * half, low, mid, -end, half, -end - 0.04)
    rear_high = _rear(half, mid, belt, -end - 0.04, 0.95 * half, -end + 0.1)
    right_low = _side((-end, -end - 0.02, end, end), (0.97 * half, half), (low, mid))
    right_high = _side((-end, -end + 0.1, end - 0.16, end), (half, 0.95 * half), (mid, belt))
    deck = np.array([[-1.0, 0, -1], [-1.0, 0, 1], [1.0, 0, 1], [1.0, 0, -1]])
    deck = deck * np.array([0.95 * half, 0, end - 0.12]) + np.array([0, belt, 0])
    parts.add(deck, "body", 1.12)
    for right, gain in ((right_low, 0.74), (right_high, 0.92)):
        parts.add(right, "body", gain)
        parts.add(_mirrored(right), "body", gain)
    for rear, gain in ((rear_low, 0.72), (rear_high, 0.95)):
        parts.add(rear, "body", gain)
        parts.add(_turned(rear), "body", gain)
    sill = _side((-end, -end, end, end), (0.97 * half, 0.98 * half), (low, low + 0.1))
    parts.add(sill, "trim")
    parts.add(_mirrored(sill), "trim")
    for seam in (-0.28 * length * 0.5, 0.22 * length * 0.5):
        door = _side((seam, seam, seam + 0.025, seam + 0.025), (half, 0.96 * half), (low + 0.1, belt))
        parts.add(door, "body", 0.55)
        parts.add(_mirrored(door), "body", 0.55)


def _add_ends(parts: _Parts, length: float, width: float, belt: float) -> None:
    """Bumpers, lamps, plates and the grille."""
    half, z = 0.5 * width, -0.5 * length - 0.045
    bumper = _rear(0.93 * half, 0.24, 0.36, z + 0.02, 0.95 * half, z + 0.02)
    parts.add(bumper, "trim")
    parts.add(_turned(bumper), "trim")
    for sign in (-1.0, 1.0):
        lamp = _rear(0.2, belt - 0.27, belt - 0.07, z + 0.03, 0.19, z + 0.09)
        lamp = lamp + np.array([sign * (0.95 * half - 0.21), 0, 0])
        parts.add(lamp, "tail")
        front = _turned(_rear(0.22, belt - 0.32, belt - 0.16, z + 0.03, 0.2, z + 0.07))
        parts.add(front + np.array([sign * (0.95 * half - 0.24), 0, 0]), "head")
    parts.add(_rear(0.26, 0.46, 0.58, z, 0.26, z), "plate")
    parts.add(_turned(_rear(0.26, 0.36, 0.47, z, 0.26, z)), "plate")
    parts.add(_turned(_rear(0.5, 0.5, belt - 0.2, z, 0.52, z + 0.04)), "trim")


def _add_cabin(
    parts: _Parts, width: float, height: float, belt: float, ends: tuple[float, float, float, float]
) -> None:
    wide, slim = 0.47 * width, 0.385 * width
    right = _side(ends, (wide, slim), (belt - 0.01, height))
    rear = np.array([_mirrored(right)[3], _mirrored(right)[2], right[1], right[0]])
    front = np.array([right[3], right[2], _mirrored(right)[1], _mirrored(right)[0]])
    roof = np.array([_mirrored(right)[2], _mirrored(right)[1], right[2], right[1]])
    parts.add(roof, "body", 1.15)
    for face, gain in ((right, 0.86), (_mirrored(right), 0.86), (rear, 0.9), (front, 0.9)):
        parts.add(face, "body", gain)
        glass = _inset(face, 0.07, 0.12)
        parts.add(glass, "glass")
        parts.add(np.stack([0.5 * (glass[0] + glass[1]), glass[1], glass[2], 0.75 * glass[2] + 0.25 * glass[3]]), "sheen", 0.72)  # fmt: skip
    pillar_z = 0.5 * (ends[1] + ends[2])
    pillar = _side((pillar_z - 0.06, pillar_z - 0.06, pillar_z + 0.06, pillar_z + 0.06), (wide, slim), (belt, height))  # fmt: skip
    parts.add(pillar, "body", 0.8)
    parts.add(_mirrored(pillar), "body", 0.8)


def _add_wheels(parts: _Parts, length: float, width: float) -> None:
    angle = np.linspace(math.tau, 0.0, 15)[:-1]
    for z in (-0.5 * length + 0.78, 0.5 * length - 0.82):
        for radius, role, out in ((0.37, "trim", 0.0), (0.315, "tyre", 0.01), (0.19, "hub", 0.02)):
            disc = np.empty((14, 3))
            disc[:, 0] = 0.5 * width + out
            disc[:, 1] = 0.32 + radius * np.sin(angle)
            disc[:, 2] = z + radius * np.cos(angle)
            parts.add(disc, role)
            parts.add(_mirrored(disc), role)


@lru_cache(maxsize=KIND_COUNT)
def _model(kind: int) -> _Model:
    length, width, height, belt, ends = _KINDS[kind]
    parts = _Parts()
    _add_body(parts, length, width, belt)
    _add_ends(parts, length, width, belt)
    _add_cabin(parts, width, height, belt, ends)
    _add_wheels(parts, length, width)
    return parts.model()


@dataclass(frozen=True)
class Car:
    """A car standing or driving along the road."""

    lateral: float  # metres from the road centre
    far: float  # position of its centre along the road in metres
    direction: int  # 1: same direction as the camera, -1: oncoming
    kind: int  # 0..KIND_COUNT - 1
    colour: Colour
    moving: bool  # headlamps and tail lamps are brighter

    def shadow(self, view: View, light: Light) -> Floats | None:
        """Outline of the shadow under the car in pixels, shape (4, 2), or None."""
        length, width = _KINDS[self.kind][:2]
        if self.far - 0.5 * length < view.position + NEAR:
            return None
        lean = -0.7 * light.sun * light.sun_side
        low, high = self.lateral - 0.52 * width, self.lateral + 0.52 * width
        left, right = low + min(lean, 0.0), high + max(lean, 0.0)
        near, far = self.far - 0.52 * length, self.far + 0.5 * length
        corners = [[left, 0, near], [left, 0, far], [right, 0, far], [right, 0, near]]
        return view.project(np.array(corners))

    def draw(self, canvas: Canvas, view: View, light: Light) -> None:
        """Paint every visible part of the car.

        Args:
            canvas: The canvas.
            view: The camera.
            light: The light of the world.
        """
        depth = self.far - view.position
        length = _KINDS[self.kind][0]
        if depth - 0.5 * length < NEAR or view.outside(self.lateral, 2.6, self.far - 2.0):
            return
        model = _model(self.kind)
        points = model.points * np.array([self.direction, 1.0, self.direction])
        pixels = view.project(points + np.array([self.lateral, 0.0, self.far]))
        areas = self._areas(model, pixels)
        shown = np.where(model.always, np.abs(areas), areas) > (0.5 if depth < 70.0 else 2.0)
        ends = np.append(model.starts[1:], len(pixels))
        paint = self._paint(light, depth)
        for index in np.flatnonzero(shown):
            corners = pixels[model.starts[index] : ends[index]]
            role, gain = model.roles[index]
            canvas.fill_convex(corners, light.shaded(paint[role], depth, gain), CAR)

    @staticmethod
    def _areas(model: _Model, pixels: Floats) -> Floats:
        """Signed area of each part in square pixels; positive faces the camera."""
        count = len(pixels)
        following = np.arange(1, count + 1)
        lasts = np.append(model.starts[1:], count) - 1
        following[lasts] = model.starts
        u, v = pixels[:, 0], pixels[:, 1]
        cross = u * v[following] - u[following] * v
        return 0.5 * np.add.reduceat(cross, model.starts)

    def _paint(self, light: Light, depth: float) -> dict[str, Colour]:
        paint = dict(_ROLES)
        paint["body"] = self.colour
        if self.moving and light.tint[1] < 0.85:
            paint["tail"], paint["head"] = (255, 52, 40), (255, 250, 226)
        return paint
