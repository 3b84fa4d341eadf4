"""Buildings: houses with gable roofs and blocks with rows of windows."""

from dataclasses import dataclass

import numpy as np

from lipdeploy.samples._scene_canvas import BUILDING, Canvas, Colour, Floats
from lipdeploy.samples._scene_view import NEAR, View
from lipdeploy.samples._scene_world import Light


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
        """Outline of the cast shadow in pixels, shape (4, 2), or None."""
        if light.sun < 0.3 or self.side != light.sun_side:
            return None
        near = max(self.start, view.position + NEAR)
        if near >= self.far:
            return None
        reach = self.side * max(self.setback - 0.55 * self.height, 0.5)
        wall = self.side * self.setback
        corners = [[wall, 0, near], [reach, 0, near], [reach, 0, self.far], [wall, 0, self.far]]
        return view.project(np.array(corners, dtype=np.float64))

    def draw(self, canvas: Canvas, view: View, light: Light) -> None:
        """Paint the building.

        Args:
            canvas: The canvas.
            view: The camera.
            light: The light of the world.
        """
        near = max(self.start, view.position + NEAR)
        if near >= self.far - 0.1:
            return
        inner = self.side * self.setback
        outer = self.side * (self.setback + self.depth)
        range_m = max(near - view.position, 0.0)
        sunny = 1.0 + 0.14 * light.sun * (-self.side * light.sun_side)
        front = (inner, near, inner, self.far)
        end = (outer, near, inner, near)
        if self.start > view.position + NEAR and not view.outside(
            0.5 * (inner + outer), 0.5 * self.depth, near
        ):
            self._wall(canvas, view, light, end, range_m, 0.86)
        if self.roof > 0.0:
            self._gable(canvas, view, light, near, range_m)
        self._wall(canvas, view, light, front, range_m + 0.3 * self.length, sunny)

    def _quads(self, view: View, base: tuple[float, float, float, float], spans: Floats) -> Floats:
        """Rectangles on a wall: spans (K, 4) are left, right (0..1), low, high (m)."""
        x0, s0, x1, s1 = base
        points = np.empty((len(spans), 4, 3))
        share = spans[:, [0, 0, 1, 1]]
        points[..., 0] = x0 + (x1 - x0) * share
        points[..., 2] = s0 + (s1 - s0) * share
        points[..., 1] = spans[:, [2, 3, 3, 2]]
        return view.project(points)

    def _wall(
        self,
        canvas: Canvas,
        view: View,
        light: Light,
        base: tuple[float, float, float, float],
        depth: float,
        gain: float,
    ) -> None:
        plinth = 0.6 if self.roof else 3.2
        shop = tuple(0.62 * c + 14.0 for c in self.colour)
        rows = np.array(
            [
                [0.0, 1.0, 0.0, self.height],
                [0.0, 1.0, -0.5, plinth],
                [0.0, 1.0, plinth, plinth + 0.25],
                [0.0, 1.0, self.height - 0.4, self.height],
            ]
        )
        quads = self._quads(view, base, rows)
        canvas.fill_convex(quads[0], light.shaded(self.colour, depth, gain), BUILDING)
        lower = (shop[0], shop[1], shop[2])
        canvas.fill_convex(quads[1], light.shaded(lower, depth, gain), BUILDING)
        if depth < 90.0:
            canvas.fill_convex(quads[2], light.shaded(self.colour, depth, 1.12 * gain), BUILDING)
            canvas.fill_convex(quads[3], light.shaded(self.colour, depth, 0.8 * gain), BUILDING)
        span = abs(base[2] - base[0]) + abs(base[3] - base[1])
        if 1.2 * view.focal / max(depth, NEAR) > 3.0 and span > 2.5:
            self._windows(canvas, view, light, base, depth, gain)

    def _window_spans(self, base: tuple[float, float, float, float]) -> Floats:
        """Window rectangles; on a cut facade they keep their place in the world."""
        x0, s0, x1, s1 = base
        along = s1 != s0
        length = self.length if along else self.depth
        count = max(2, int(length / (2.6 + 0.25 * (self.look % 4))))
        pitch = length / count
        centres = (np.arange(count) + 0.5) * pitch
        half = pitch * (0.24 + 0.05 * (self.look % 3))
        left, right = centres - half, centres + half
        if along:
            cut = s0 - self.start
            left, right = np.maximum(left - cut, 0.0), right - cut
            length = s1 - s0
            left, right = left[right > 0.3], right[right > 0.3]
        low = np.arange(1.0 if self.roof else 0.7, self.height - 1.7, 3.0)
        shape = (low.size, left.size)
        lows = np.broadcast_to(low[:, None], shape)
        columns = (left / length, right / length)
        spans = [np.broadcast_to(c, shape) for c in columns]
        return np.stack([*spans, lows, lows + 1.5 + 0.1 * (self.look % 3)], axis=-1).reshape(-1, 4)

    def _windows(
        self,
        canvas: Canvas,
        view: View,
        light: Light,
        base: tuple[float, float, float, float],
        depth: float,
        gain: float,
    ) -> None:
        spans = self._window_spans(base)
        if not len(spans):
            return
        quads = self._quads(view, base, spans)
        pixels = view.focal / max(depth, NEAR)
        if pixels * 0.12 > 0.8:
            frame = spans + np.array([-0.006, 0.006, -0.1, 0.1])
            frame[:, :2] = np.clip(frame[:, :2], 0.0, 1.0)
            canvas.fill_each(self._quads(view, base, frame), light.shaded((214, 210, 202), depth, 0.86 * gain), BUILDING)  # fmt: skip
        lit = (np.arange(len(spans)) * 7919 + self.look * 131) % 100 < 100 * light.lamps
        glass = light.shaded((74, 88, 104), depth, gain)
        canvas.fill_each(quads[~lit], glass, BUILDING)
        canvas.fill_each(quads[lit], (236.0, 200.0, 138.0), BUILDING)
        if pixels * 0.5 > 4.0:
            upper = spans.copy()
            upper[:, 2] = spans[:, 3] - 0.55
            sheen = light.shaded((128, 146, 162), depth, gain)
            canvas.fill_each(self._quads(view, base, upper[~lit]), sheen, BUILDING)

    def _gable(self, canvas: Canvas, view: View, light: Light, near: float, depth: float) -> None:
        inner = self.side * (self.setback - 0.4)
        ridge = self.side * (self.setback + 0.5 * self.depth)
        outer = self.side * (self.setback + self.depth)
        eaves, top = self.height, self.height + self.roof
        points = np.array(
            [
                [inner, eaves - 0.2, near],
                [ridge, top, near],
                [ridge, top, self.far],
                [inner, eaves - 0.2, self.far],
                [inner, eaves - 0.05, near],
                [ridge, top, near],
                [outer, eaves, near],
            ]
        )
        pixels = view.project(points)
        if self.start > view.position + NEAR:
            canvas.fill_convex(pixels[4:], light.shaded(self.colour, depth, 0.86), BUILDING)
        canvas.fill_convex(pixels[:4], light.shaded(self.roof_colour, depth), BUILDING)
