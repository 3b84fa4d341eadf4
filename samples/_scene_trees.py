"""Trees and hedges made of lumpy crowns with lit and dark leaf clusters."""

import math
import random
from dataclasses import dataclass
from functools import lru_cache, partial

import numpy as np

from lipdeploy.samples._scene_canvas import VEGETATION, Canvas, Colour, Floats, Sketch
from lipdeploy.samples._scene_view import NEAR, View
from lipdeploy.samples._scene_world import Air, Light

_CORNERS = 12
_VARIANTS = 8  # crown shapes
_BARK: Colour = (88, 74, 60)
_DARK_BARK: Colour = (66, 55, 46)
_ANGLES = np.arange(_CORNERS) * (math.tau / _CORNERS)
_CIRCLE = np.stack([np.cos(_ANGLES), np.sin(_ANGLES)], axis=1)


@lru_cache(maxsize=_VARIANTS)
def _lumps(variant: int) -> tuple[Floats, Floats, Floats]:
    """Polygons of a unit crown: dark body, lit body and leaf clusters, (K, 12, 2)."""
    rng = random.Random(900 + variant)
    body, lit = [(0.0, 0.0, 0.66)], [(-0.1, -0.15, 0.5)]
    for k in range(8):
        angle = math.tau * k / 8 + rng.uniform(-0.2, 0.2)
        reach = rng.uniform(0.5, 0.66)
        x, y, r = reach * math.cos(angle), 0.86 * reach * math.sin(angle), rng.uniform(0.3, 0.42)
        body.append((x, y, r))
        if y < 0.25:
            lit.append((x * 0.9 - 0.08, y * 0.9 - 0.07, r * 0.72))
    leaves = [_leaf(rng) for _ in range(44)]
    return _discs(body, rng), _discs(lit, rng), _discs(leaves, rng)


def _leaf(rng: random.Random) -> tuple[float, float, float]:
    """Centre and radius of a leaf cluster in a unit crown."""
    angle, reach = rng.uniform(0.0, math.tau), 0.84 * math.sqrt(rng.random())
    return reach * math.cos(angle), 0.86 * reach * math.sin(angle), rng.uniform(0.04, 0.11)


def _discs(circles: list[tuple[float, float, float]], rng: random.Random) -> Floats:
    discs = np.empty((len(circles), _CORNERS, 2))
    for index, (x, y, radius) in enumerate(circles):
        wobble = np.array([rng.uniform(0.82, 1.12) for _ in range(_CORNERS)])
        discs[index] = np.array([x, y]) + radius * wobble[:, None] * _CIRCLE
    return discs


@lru_cache(maxsize=32)
def _crown(variant: int, mirror: int) -> tuple[Floats, Floats, Floats]:
    """Polygons of a unit crown, turned over where mirror is -1."""
    turn = np.array([float(mirror), 1.0])
    body, lit, leaves = _lumps(variant)
    return body * turn, lit * turn, leaves * turn


def _paint_crown(
    canvas: Canvas,
    centre: Floats,
    radii: Floats,
    tones: tuple[Colour, ...],
    shape: tuple[Floats, Floats, Floats],
) -> None:
    """Paint one crown; tones are dark, lit, deep leaf and bright leaf colours."""
    body, lit, leaves = shape
    if radii[0] < 3.0:
        canvas.fill_convex(centre + 0.95 * radii * _CIRCLE, tones[0], VEGETATION)
        return
    canvas.fill_each(centre + body * radii, tones[0], VEGETATION)
    if radii[0] > 5.0:
        canvas.fill_each(centre + lit * radii, tones[1], VEGETATION)
    if radii[0] > 14.0:
        count = 44 if radii[0] > 30.0 else 22
        canvas.fill_each(centre + leaves[:count:2] * radii, tones[2], VEGETATION)
        canvas.fill_each(centre + leaves[1:count:2] * radii, tones[3], VEGETATION)


def _tones(colour: Colour, light: Light, air: Air) -> tuple[Colour, ...]:
    spread = 0.12 + 0.16 * light.sun
    gains = (0.84 - spread * 0.6, 0.92 + spread * 0.5, 0.80 - spread * 0.3, 0.96 + spread)
    return tuple(air.shaded(colour, gain) for gain in gains)


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
        """Outline of the cast shadow on the road, shape (12, 3) in metres, or None."""
        if light.sun < 0.3:
            return None
        points = np.zeros((_CORNERS, 3))
        shift = -light.sun_side * 0.55 * self.height
        points[:, 0] = self.lateral + shift + 1.3 * self.radius * _CIRCLE[:, 0]
        points[:, 2] = self.far + self.radius * _CIRCLE[:, 1]
        return points

    def sketch(self, view: View, light: Light) -> Sketch | None:
        """Corners and painter of trunk and crown.

        Args:
            view: The camera.
            light: The light of the world.

        Returns:
            The sketch, or None when nothing can be seen.
        """
        depth = self.far - view.position
        if depth < NEAR + 0.8 or view.outside(self.lateral, 1.2 * self.radius, self.far):
            return None
        crown = self.height - 0.85 * self.radius
        thick = 0.05 + 0.022 * self.height
        points = np.array(
            [
                (self.lateral - thick, 0.0, self.far),
                (self.lateral - 0.7 * thick, crown, self.far),
                (self.lateral + 0.7 * thick, crown, self.far),
                (self.lateral + thick, 0.0, self.far),
                (self.lateral + 0.2 * thick, 0.0, self.far),
                (self.lateral, crown, self.far),
            ]
        )
        return Sketch(points, partial(self._paint, light, depth, view.scale(self.far)))

    def _paint(
        self, light: Light, depth: float, scale: float, canvas: Canvas, pixels: Floats
    ) -> None:
        air = light.at(depth)
        canvas.fill_convex(pixels[:4], air.shaded(_BARK), VEGETATION)
        canvas.fill_convex(pixels[[4, 5, 2, 3]], air.shaded(_DARK_BARK), VEGETATION)
        radii = np.array([self.radius, 0.95 * self.radius]) * scale
        shape = _crown(self.variant % _VARIANTS, -light.sun_side)
        _paint_crown(canvas, pixels[5], radii, _tones(self.colour, light, air), shape)


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

    def sketch(self, view: View, light: Light) -> Sketch | None:
        """Centres and painter of the bushes.

        Args:
            view: The camera.
            light: The light of the world.

        Returns:
            The sketch, or None when nothing can be seen.
        """
        count = max(2, int(self.length / (0.9 * self.height)))
        places = [(step, self.start + self.length * step / count) for step in range(count, -1, -1)]
        bushes = [
            (step, along)
            for step, along in places
            if along - view.position >= NEAR + 0.8
            and not view.outside(self.lateral, self.height, along)
        ]
        if not bushes:
            return None
        points = np.array([(self.lateral, 0.42 * self.height, along) for _, along in bushes])
        return Sketch(points, partial(self._paint, view, light, bushes))

    def _paint(
        self,
        view: View,
        light: Light,
        bushes: list[tuple[int, float]],
        canvas: Canvas,
        pixels: Floats,
    ) -> None:
        """Paint the bushes, each a step number and a position, from far to near."""
        size = np.array([0.8, 0.62]) * self.height
        for (step, along), centre in zip(bushes, pixels, strict=True):
            tones = _tones(self.colour, light, light.at(along - view.position))
            shape = _crown((self.variant + step) % _VARIANTS, 1)
            _paint_crown(canvas, centre, size * view.scale(along), tones, shape)
