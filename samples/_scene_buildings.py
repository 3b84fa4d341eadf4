"""Buildings: houses with gable roofs and blocks with rows of windows."""

from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np

from lipdeploy.samples._scene_canvas import BUILDING, Canvas, Colour, Floats, Sketch, fixed_point
from lipdeploy.samples._scene_view import NEAR, View
from lipdeploy.samples._scene_world import Air, Light

_FRAME: Colour = (214, 210, 202)
_GLASS: Colour = (74, 88, 104)
_SHEEN: Colour = (128, 146, 162)
_LAMPLIGHT: Colour = (236.0, 200.0, 138.0)


class _Wall(NamedTuple):
    """Where an upright face stands and how it is seen."""

    ends: tuple[float, float, float, float]  # lateral, along of one end, then of the other (m)
    depth: float  # distance that sets haze and detail in metres
    gain: float  # brightness
    pixels_per_m: float


class _Patch(NamedTuple):
    """Polygons of one colour, each with the same number of corners."""

    points: Floats  # (K, N, 3): lateral, up, along the road in metres
    colour: Colour


@dataclass(frozen=True)
class Building:
    """A box beside the road; its facade is parallel to the road."""

    side: int  # -1 left, 1 right
    setback: float  # lateral distance of the facade from the road centre in metres
    start: float  # near end along the road in metres
    length: float  # metres along the road
    depth: float  # metres away from the road
    height: float  # metres up to the eaves
    roof: float  # height of a gable roof in metres, 0 for a flat roof
    colour: Colour
    roof_colour: Colour
    look: int  # any integer; chooses window style and lit windows

    @property
    def far(self) -> float:
        """Position used to sort from far to near, in metres."""
        return self.start + self.length

    def shadow(self, view: View, light: Light) -> Floats | None:
        """Outline of the cast shadow on the road, shape (4, 3) in metres, or None."""
        if light.sun < 0.3 or self.side != light.sun_side:
            return None
        near, far = max(self.start, view.position + NEAR), self.far
        if near >= far:
            return None
        reach = self.side * max(self.setback - 0.55 * self.height, 0.5)
        wall = self.side * self.setback
        return np.array([(wall, 0, near), (reach, 0, near), (reach, 0, far), (wall, 0, far)])

    def sketch(self, view: View, light: Light) -> Sketch | None:
        """Corners and painter of the building.

        Args:
            view: The camera.
            light: The light of the world.

        Returns:
            The sketch, or None when nothing can be seen.
        """
        near = max(self.start, view.position + NEAR)
        if near >= self.far - 0.1:
            return None
        range_m = max(near - view.position, 0.0)
        patches: list[_Patch] = []
        if self._end_shows(view, near):
            patches += self._wall(self._end(view, near, range_m), light)
        if self.roof > 0.0:
            patches += self._gable(view, light.at(range_m), near)
        patches += self._wall(self._front(view, light, near, range_m), light)
        points = np.concatenate([patch.points.reshape(-1, 3) for patch in patches])
        return Sketch(points, partial(_paint, patches))

    def _end_shows(self, view: View, near: float) -> bool:
        middle = 0.5 * (self.side * self.setback + self.side * (self.setback + self.depth))
        ahead = self.start > view.position + NEAR
        return ahead and not view.outside(middle, 0.5 * self.depth, near)

    def _end(self, view: View, near: float, range_m: float) -> _Wall:
        """The wall that faces the camera."""
        inner, outer = self.side * self.setback, self.side * (self.setback + self.depth)
        scale = view.focal / max(range_m, NEAR)
        return _Wall((outer, near, inner, near), range_m, 0.86, scale)

    def _front(self, view: View, light: Light, near: float, range_m: float) -> _Wall:
        """The facade along the road."""
        inner = self.side * self.setback
        sunny = 1.0 + 0.14 * light.sun * (-self.side * light.sun_side)
        depth = range_m + 0.3 * self.length
        return _Wall((inner, near, inner, self.far), depth, sunny, view.focal / max(depth, NEAR))

    def _wall(self, wall: _Wall, light: Light) -> list[_Patch]:
        """A wall with plinth, cornice and windows."""
        air, gain = light.at(wall.depth), wall.gain
        plinth = 0.6 if self.roof else 3.2
        red, green, blue = self.colour
        shop = (0.62 * red + 14.0, 0.62 * green + 14.0, 0.62 * blue + 14.0)
        bands = [
            ((0.0, 1.0, 0.0, self.height), self.colour, gain),
            ((0.0, 1.0, -0.5, plinth), shop, gain),
        ]
        if wall.depth < 90.0:
            bands += [
                ((0.0, 1.0, plinth, plinth + 0.25), self.colour, 1.12 * gain),
                ((0.0, 1.0, self.height - 0.4, self.height), self.colour, 0.8 * gain),
            ]
        quads = _quads(np.array([span for span, _, _ in bands]), wall)
        patches = [
            _Patch(quads[index : index + 1], air.shaded(colour, shade))
            for index, (_, colour, shade) in enumerate(bands)
        ]
        x0, s0, x1, s1 = wall.ends
        wide = abs(x1 - x0) + abs(s1 - s0) > 2.5
        if wide and 1.2 * wall.pixels_per_m > 3.0:
            patches += self._windows(wall, air, light.lamps)
        return patches

    def _windows(self, wall: _Wall, air: Air, lamps: float) -> list[_Patch]:
        """Window frames, panes and the sheen on their upper edge."""
        spans = self._window_spans(wall)
        if not len(spans):
            return []
        patches = []
        if wall.pixels_per_m * 0.12 > 0.8:
            frame = spans + np.array([-0.006, 0.006, -0.1, 0.1])
            frame[:, :2] = np.clip(frame[:, :2], 0.0, 1.0)
            patches.append(_Patch(_quads(frame, wall), air.shaded(_FRAME, 0.86 * wall.gain)))
        lit = (np.arange(len(spans)) * 7919 + self.look * 131) % 100 < 100 * lamps
        dark = spans[~lit]
        patches.append(_Patch(_quads(dark, wall), air.shaded(_GLASS, wall.gain)))
        patches.append(_Patch(_quads(spans[lit], wall), _LAMPLIGHT))
        if wall.pixels_per_m * 0.5 > 4.0:
            dark[:, 2] = dark[:, 3] - 0.55
            patches.append(_Patch(_quads(dark, wall), air.shaded(_SHEEN, wall.gain)))
        return patches

    def _window_spans(self, wall: _Wall) -> Floats:
        """Window rectangles; on a cut facade they keep their place in the world."""
        _, near, _, far = wall.ends
        length = self.length if far != near else self.depth
        count = max(2, int(length / (2.6 + 0.25 * (self.look % 4))))
        pitch = length / count
        centres = (np.arange(count) + 0.5) * pitch
        half = pitch * (0.24 + 0.05 * (self.look % 3))
        left, right = centres - half, centres + half
        if far != near:
            cut = near - self.start
            left, right = np.maximum(left - cut, 0.0), right - cut
            length = far - near
            left, right = left[right > 0.3], right[right > 0.3]
        low = np.arange(1.0 if self.roof else 0.7, self.height - 1.7, 3.0)
        spans = np.empty((low.size, left.size, 4))
        spans[..., 0] = left / length
        spans[..., 1] = right / length
        spans[..., 2] = low[:, None]
        spans[..., 3] = low[:, None] + 1.5 + 0.1 * (self.look % 3)
        return spans.reshape(-1, 4)

    def _gable(self, view: View, air: Air, near: float) -> list[_Patch]:
        """The roof above the facade and the triangle above the wall that faces the camera."""
        inner = self.side * (self.setback - 0.4)
        ridge = self.side * (self.setback + 0.5 * self.depth)
        outer = self.side * (self.setback + self.depth)
        eaves, top = self.height, self.height + self.roof
        peak = (ridge, top, near)
        triangle = np.array([[(inner, eaves - 0.05, near), peak, (outer, eaves, near)]])
        low = eaves - 0.2
        slope = np.array(
            [[(inner, low, near), peak, (ridge, top, self.far), (inner, low, self.far)]]
        )
        roof = _Patch(slope, air.shaded(self.roof_colour))
        if self.start > view.position + NEAR:
            return [_Patch(triangle, air.shaded(self.colour, 0.86)), roof]
        return [roof]


def _quads(spans: Floats, wall: _Wall) -> Floats:
    """Corners of rectangles on a wall.

    Args:
        spans: Left and right end (shares of the wall, 0..1), low and high end
            (metres) of each, shape (K, 4).
        wall: The wall.

    Returns:
        Road coordinates in metres, shape (K, 4, 3).
    """
    x0, s0, x1, s1 = wall.ends
    points = np.empty((len(spans), 4, 3))
    share = spans[:, [0, 0, 1, 1]]
    points[..., 0] = x0 + (x1 - x0) * share
    points[..., 1] = spans[:, [2, 3, 3, 2]]
    points[..., 2] = s0 + (s1 - s0) * share
    return points


def _paint(patches: list[_Patch], canvas: Canvas, pixels: Floats) -> None:
    corners = fixed_point(pixels)
    start = 0
    for points, colour in patches:
        count, sides, _ = points.shape
        end = start + count * sides
        for polygon in corners[start:end].reshape(count, sides, 2):
            canvas.fill_fixed(polygon, colour, BUILDING)
        start = end
