"""Trees and hedges made of lumpy crowns with lit and dark leaf clusters."""

import math
import random
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from lipdeploy.samples._scene_canvas import VEGETATION, Canvas, Colour, Floats
from lipdeploy.samples._scene_view import NEAR, View
from lipdeploy.samples._scene_world import Light

_CORNERS = 12
_ANGLES = np.arange(_CORNERS) * (math.tau / _CORNERS)
_CIRCLE = np.stack([np.cos(_ANGLES), np.sin(_ANGLES)], axis=1)


@lru_cache(maxsize=16)
def _lumps(variant: int) -> tuple[Floats, Floats, Floats]:
    """Polygons of a unit crown: dark body, lit body and leaf clusters, (K, 12, 2)."""
    rng = random.Random(900 + variant)
    body, lit, leaves = [(0.0, 0.0, 0.66)], [(-0.1, -0.15, 0.5)], []
    for k in range(8):
        angle = math.tau * k / 8 + rng.uniform(-0.2, 0.2)
        reach = rng.uniform(0.5, 0.66)
        x, y, r = reach * math.cos(angle), 0.86 * reach * math.sin(angle), rng.uniform(0.3, 0.42)
        body.append((x, y, r))
        if y < 0.25:
            lit.append((x * 0.9 - 0.08, y * 0.9 - 0.07, r * 0.72))
    for _ in range(44):
        angle, reach = rng.uniform(0.0, math.tau), 0.84 * math.sqrt(rng.random())
        leaves.append((reach * math.cos(angle), 0.86 * reach * math.sin(angle), rng.uniform(0.04, 0.11)))
    return _discs(body, rng), _discs(lit, rng), _discs(leaves, rng)


def _discs(circles: list[tuple[float, float, float]], rng: random.Random) -> Floats:
    discs = np.empty((len(circles), _CORNERS, 2))
    for index, (x, y, radius) in enumerate(circles):
        wobble = np.array([rng.uniform(0.82, 1.12) for _ in range(_CORNERS)])
        discs[index] = np.array([x, y]) + radius * wobble[:, None] * _CIRCLE
    return discs


def _paint_crown(
    canvas: Canvas, centre: Floats, radii: Floats, tones: tuple[Colour, ...], mirror: int, variant: int
) -> None:
    """Paint one crown; tones are dark, lit, deep leaf and bright leaf colours."""
    body, lit, leaves = _lumps(variant % 8)
    size = radii * np.array([float(mirror), 1.0])
    if radii[0] < 3.0:
        canvas.fill_convex(centre + 0.95 * radii * _CIRCLE, tones[0], VEGETATION)
        return
    canvas.fill_each(centre + body * size, tones[0], VEGETATION)
    if radii[0] > 5.0:
        canvas.fill_each(centre + lit * size, tones[1], VEGETATION)
    if radii[0] > 14.0:
        count = 44 if radii[0] > 30.0 else 22
        canvas.fill_each(centre + leaves[:count:2] * size, tones[2], VEGETATION)
        canvas.fill_each(centre + leaves[1:count:2] * size, tones[3], VEGETATION)


def _tones(colour: Colour, light: Light, depth: float) -> tuple[Colour, ...]:
    spread = 0.12 + 0.16 * light.sun
    gains = (0.84 - spread * 0.6, 0.92 + spread * 0.5, 0.80 - spread * 0.3, 0.96 + spread)
    return tuple(light.shaded(colour, depth, gain) for gain in gains)


@dataclass(frozen=True)
class Tree:
    """A tree with a trunk and a crown."""

    lateral: float  # metres from the road centre
    far: float  # position along the road in metres
    height: float  # metres
    radius: float  # crown radius in metres
    colour: Colour
    variant: int

    def shadow(self, view: View, light: Light) -> Floats | None:
        """Outline of the cast shadow in pixels, shape (12, 2), or None."""
        if light.sun < 0.3:
            return None
        points = np.zeros((_CORNERS, 3))
        shift = -light.sun_side * 0.55 * self.height
        points[:, 0] = self.lateral + shift + 1.3 * self.radius * _CIRCLE[:, 0]
        points[:, 2] = self.far + self.radius * _CIRCLE[:, 1]
        return view.project(points)

    def draw(self, canvas: Canvas, view: View, light: Light) -> None:
        """Paint trunk and crown.

        Args:
            canvas: The canvas.
            view: The camera.
            light: The light of the world.
        """
        depth = self.far - view.position
        if depth < NEAR + 0.8 or view.outside(self.lateral, 1.2 * self.radius, self.far):
            return
        crown = self.height - 0.85 * self.radius
        thick = 0.05 + 0.022 * self.height
        points = np.array(
            [
                [self.lateral - thick, 0.0, self.far],
                [self.lateral - 0.7 * thick, crown, self.far],
                [self.lateral + 0.7 * thick, crown, self.far],
                [self.lateral + thick, 0.0, self.far],
                [self.lateral + 0.2 * thick, 0.0, self.far],
                [self.lateral, crown, self.far],
            ]
        )
        pixels = view.project(points)
        canvas.fill_convex(pixels[:4], light.shaded((88, 74, 60), depth), VEGETATION)
        canvas.fill_convex(pixels[[4, 5, 2, 3]], light.shaded((66, 55, 46), depth), VEGETATION)
        scale = view.scale(self.far)
        radii = np.array([self.radius, 0.95 * self.radius]) * scale
        tones = _tones(self.colour, light, depth)
        _paint_crown(canvas, pixels[5], radii, tones, light.sun_side * -1, self.variant)


@dataclass(frozen=True)
class Hedge:
    """A row of bushes parallel to the road."""

    lateral: float  # metres from the road centre
    start: float  # metres along the road
    length: float  # metres
    height: float  # metres
    colour: Colour
    variant: int

    @property
    def far(self) -> float:
        """Position used to sort from far to near, in metres."""
        return self.start + self.length

    def shadow(self, view: View, light: Light) -> Floats | None:
        """Hedges cast no separate shadow."""
        return None

    def draw(self, canvas: Canvas, view: View, light: Light) -> None:
        """Paint the bushes from far to near.

        Args:
            canvas: The canvas.
            view: The camera.
            light: The light of the world.
        """
        count = max(2, int(self.length / (0.9 * self.height)))
        for step in range(count, -1, -1):
            along = self.start + self.length * step / count
            depth = along - view.position
            if depth < NEAR + 0.8 or view.outside(self.lateral, self.height, along):
                continue
            place = np.array([self.lateral, 0.42 * self.height, along])
            radii = np.array([0.8, 0.62]) * self.height * view.scale(along)
            tones = _tones(self.colour, light, depth)
            _paint_crown(canvas, view.project(place), radii, tones, 1, self.variant + step)
