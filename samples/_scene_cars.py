"""Cars: a solid body and cabin with glass, lamps, plates and wheels."""

import dataclasses
import math
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from lipdeploy.samples._scene_canvas import CAR, Canvas, Colour, Floats, Sketch, fixed_point
from lipdeploy.samples._scene_view import NEAR, View
from lipdeploy.samples._scene_world import Air, Light

_Ends = tuple[float, float, float, float]


class _Kind(NamedTuple):
    """Sizes of one kind of car in metres."""

    length: float
    width: float
    height: float
    belt: float  # height of the belt line
    cabin: _Ends  # cabin ends: rear low, rear high, front high, front low


_KINDS = (
    _Kind(4.0, 1.76, 1.48, 0.92, (-1.95, -1.45, 0.30, 1.05)),  # hatchback
    _Kind(4.6, 1.82, 1.45, 0.90, (-1.55, -0.95, 0.35, 1.15)),  # saloon
    _Kind(4.5, 1.88, 1.70, 1.05, (-2.15, -1.85, 0.45, 1.15)),  # sport utility
    _Kind(4.7, 1.84, 1.50, 0.92, (-2.25, -1.85, 0.35, 1.15)),  # estate
    _Kind(5.1, 1.96, 2.15, 1.15, (-2.52, -2.45, 1.05, 1.85)),  # van
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


_BRIGHT: dict[str, Colour] = {"tail": (255, 52, 40), "head": (255, 250, 226)}


@dataclass(frozen=True)
class _Model:
    """Parts of a car, each a polygon of corners in one long list."""

    points: Floats  # (N, 3): right, up, forward in metres
    starts: npt.NDArray[np.int64]  # first corner of each part
    following: npt.NDArray[np.int64]  # next corner of the same part, for each corner
    slices: tuple[slice, ...]  # corners of each part
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
        ends = np.cumsum([len(polygon) for polygon in self.polygons]).astype(np.int64)
        starts = np.concatenate([[0], ends[:-1]]).astype(np.int64)
        following = np.arange(1, ends[-1] + 1)
        following[ends - 1] = starts
        slices = tuple(slice(*pair) for pair in zip(starts.tolist(), ends.tolist(), strict=True))
        points = np.concatenate(self.polygons)
        roles, always = tuple(self.roles), np.array(self.always)
        return _Model(points, starts, following, slices, roles, always)


def _rear(x: float, low: float, high: float, z: float, x_high: float, z_high: float) -> Floats:
    return np.array([[-x, low, z], [-x_high, high, z_high], [x_high, high, z_high], [x, low, z]])


def _turned(corners: Floats) -> Floats:
    turned: Floats = corners * np.array([-1.0, 1.0, -1.0])
    return turned


def _inset(corners: Floats, across: float, up: float) -> Floats:
    """Shrink a quad (low left, high left, high right, low right) towards its centre."""
    low_left, high_left, high_right, low_right = corners
    result = []
    for side, height in ((across, up), (across, 1 - up), (1 - across, 1 - up), (1 - across, up)):
        low = low_left + (low_right - low_left) * side
        high = high_left + (high_right - high_left) * side
        result.append(low + (high - low) * height)
    return np.array(result)


def _side(z: _Ends, x: tuple[float, float], y: tuple[float, float]) -> Floats:
    """Right-hand side quad: rear low, rear high, front high, front low."""
    low, high = (x[0], y[0]), (x[1], y[1])
    return np.array([(*low, z[0]), (*high, z[1]), (*high, z[2]), (*low, z[3])])


def _mirrored(corners: Floats) -> Floats:
    mirrored: Floats = corners[::-1] * np.array([-1.0, 1.0, 1.0])
    return mirrored


_LOW, _MID = 0.24, 0.5  # heights of the sill and of the widest line in metres


def _add_body(parts: _Parts, kind: _Kind) -> None:
    half, end, belt = 0.5 * kind.width, 0.5 * kind.length, kind.belt
    _add_treads(parts, half, end)
    deck = np.array([[-1.0, 0, -1], [-1.0, 0, 1], [1.0, 0, 1], [1.0, 0, -1]])
    deck = deck * np.array([0.95 * half, 0, end - 0.12]) + np.array([0, belt, 0])
    parts.add(deck, "body", 1.12)
    right_low = _side((-end, -end - 0.02, end, end), (0.97 * half, half), (_LOW, _MID))
    right_high = _side((-end, -end + 0.1, end - 0.16, end), (half, 0.95 * half), (_MID, belt))
    for right, gain in ((right_low, 0.74), (right_high, 0.92)):
        parts.add(right, "body", gain)
        parts.add(_mirrored(right), "body", gain)
    rear_low = _rear(0.95 * half, _LOW, _MID, -end, half, -end - 0.04)
    rear_high = _rear(half, _MID, belt, -end - 0.04, 0.95 * half, -end + 0.1)
    for rear, gain in ((rear_low, 0.72), (rear_high, 0.95)):
        parts.add(rear, "body", gain)
        parts.add(_turned(rear), "body", gain)
    _add_seams(parts, kind)


def _add_treads(parts: _Parts, half: float, end: float) -> None:
    """Tyres as seen from the front or the rear."""
    for x in (-half + 0.16, half - 0.16):
        left, right = x - 0.13, x + 0.13
        for z in (-end + 0.75, end - 0.75):
            tread = np.array([(left, 0.0, z), (left, 0.5, z), (right, 0.5, z), (right, 0.0, z)])
            parts.add(tread, "tyre", 1.0, always=True)


def _add_seams(parts: _Parts, kind: _Kind) -> None:
    """Sills and door seams."""
    half, end = 0.5 * kind.width, 0.5 * kind.length
    sill = _side((-end, -end, end, end), (0.97 * half, 0.98 * half), (_LOW, _LOW + 0.1))
    parts.add(sill, "trim")
    parts.add(_mirrored(sill), "trim")
    for rear in (-0.28 * kind.length * 0.5, 0.22 * kind.length * 0.5):
        front = rear + 0.025
        door = _side((rear, rear, front, front), (half, 0.96 * half), (_LOW + 0.1, kind.belt))
        parts.add(door, "body", 0.55)
        parts.add(_mirrored(door), "body", 0.55)


def _add_ends(parts: _Parts, kind: _Kind) -> None:
    """Bumpers, lamps, plates and the grille."""
    half, z, belt = 0.5 * kind.width, -0.5 * kind.length - 0.045, kind.belt
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


def _add_cabin(parts: _Parts, kind: _Kind) -> None:
    across, up = (0.47 * kind.width, 0.385 * kind.width), (kind.belt - 0.01, kind.height)
    right = _side(kind.cabin, across, up)
    left = _mirrored(right)
    rear = np.array([left[3], left[2], right[1], right[0]])
    front = np.array([right[3], right[2], left[1], left[0]])
    parts.add(np.array([left[2], left[1], right[2], right[1]]), "body", 1.15)
    for face, gain in ((right, 0.86), (left, 0.86), (rear, 0.9), (front, 0.9)):
        parts.add(face, "body", gain)
        _add_glass(parts, _inset(face, 0.07, 0.12))
    middle = 0.5 * (kind.cabin[1] + kind.cabin[2])
    ends = (middle - 0.06, middle - 0.06, middle + 0.06, middle + 0.06)
    pillar = _side(ends, across, (kind.belt, kind.height))
    parts.add(pillar, "body", 0.8)
    parts.add(_mirrored(pillar), "body", 0.8)


def _add_glass(parts: _Parts, glass: Floats) -> None:
    """A pane with a sheen over its far half."""
    parts.add(glass, "glass")
    low_left, high_left, high_right, low_right = glass
    near, far = 0.5 * (low_left + high_left), 0.75 * high_right + 0.25 * low_right
    parts.add(np.stack([near, high_left, high_right, far]), "sheen", 0.72)


def _add_wheels(parts: _Parts, kind: _Kind) -> None:
    angle = np.linspace(math.tau, 0.0, 15)[:-1]
    for z in (-0.5 * kind.length + 0.78, 0.5 * kind.length - 0.82):
        for radius, role, out in ((0.37, "trim", 0.0), (0.315, "tyre", 0.01), (0.19, "hub", 0.02)):
            disc = np.empty((14, 3))
            disc[:, 0] = 0.5 * kind.width + out
            disc[:, 1] = 0.32 + radius * np.sin(angle)
            disc[:, 2] = z + radius * np.cos(angle)
            parts.add(disc, role)
            parts.add(_mirrored(disc), role)


@lru_cache(maxsize=2 * KIND_COUNT)
def _model(kind: int, direction: int) -> _Model:
    """Model of a kind, facing along the road (1) or against it (-1)."""
    parts = _Parts()
    for add in (_add_body, _add_ends, _add_cabin, _add_wheels):
        add(parts, _KINDS[kind])
    model = parts.model()
    turn = np.array([direction, 1.0, direction])
    return dataclasses.replace(model, points=model.points * turn)


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
        """Outline of the shadow under the car, shape (4, 3) in metres, or None."""
        kind = _KINDS[self.kind]
        if self.far - 0.5 * kind.length < view.position + NEAR:
            return None
        lean = -0.7 * light.sun * light.sun_side
        low, high = self.lateral - 0.52 * kind.width, self.lateral + 0.52 * kind.width
        left, right = low + min(lean, 0.0), high + max(lean, 0.0)
        near, far = self.far - 0.52 * kind.length, self.far + 0.5 * kind.length
        return np.array([(left, 0, near), (left, 0, far), (right, 0, far), (right, 0, near)])

    def sketch(self, view: View, light: Light) -> Sketch | None:
        """Corners and painter of the car.

        Args:
            view: The camera.
            light: The light of the world.

        Returns:
            The sketch, or None when nothing can be seen.
        """
        depth = self.far - view.position
        length = _KINDS[self.kind].length
        if depth - 0.5 * length < NEAR or view.outside(self.lateral, 2.6, self.far - 2.0):
            return None
        model = _model(self.kind, self.direction)
        points = model.points + np.array([self.lateral, 0.0, self.far])
        smallest = 0.5 if depth < 70.0 else 2.0
        lamps_on = self.moving and light.tint[1] < 0.85
        return Sketch(points, partial(self._paint, model, light.at(depth), smallest, lamps_on))

    def _paint(
        self,
        model: _Model,
        air: Air,
        smallest: float,
        lamps_on: bool,
        canvas: Canvas,
        pixels: Floats,
    ) -> None:
        """Paint every part that faces the camera and covers `smallest` square pixels."""
        areas = _areas(model, pixels)
        shown = np.where(model.always, np.abs(areas), areas) > smallest
        paint = {**_ROLES, **(_BRIGHT if lamps_on else {}), "body": self.colour}
        corners = fixed_point(pixels)
        for index in np.flatnonzero(shown).tolist():
            role, gain = model.roles[index]
            canvas.fill_fixed(corners[model.slices[index]], air.shaded(paint[role], gain), CAR)


def _areas(model: _Model, pixels: Floats) -> Floats:
    """Signed area of each part in square pixels; positive faces the camera."""
    u, v = pixels[:, 0], pixels[:, 1]
    cross = u * v[model.following] - u[model.following] * v
    areas: Floats = 0.5 * np.add.reduceat(cross, model.starts)
    return areas
