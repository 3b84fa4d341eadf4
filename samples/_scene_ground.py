"""Ground: grass, sidewalks, road with markings, its grain, shadows and haze."""

import cv2
import numpy as np

from lipdeploy.samples._scene_canvas import (
    ROAD,
    SIDEWALK,
    VEGETATION,
    Bytes,
    Canvas,
    Colour,
    Floats,
    darken,
)
from lipdeploy.samples._scene_texture import SIZE, ground_texture
from lipdeploy.samples._scene_view import FAR, View
from lipdeploy.samples._scene_world import World

_TEXELS = 14.0  # texels per metre
_GRAIN = np.zeros(256, np.float32)
_GRAIN[[VEGETATION, ROAD, SIDEWALK]] = (0.85, 0.30, 0.30)


def _depths(view: View) -> Floats:
    return np.geomspace(1.5, FAR, 56) + view.position


def band(view: View, left: float, right: float, along: Floats) -> Floats:
    """Outline of a strip of ground between two lateral offsets.

    Args:
        view: The camera.
        left: Lateral offset of one edge in metres.
        right: Lateral offset of the other edge in metres.
        along: Positions along the road in metres, shape (N,).

    Returns:
        Pixel corners, shape (2 N, 2).
    """
    points = np.zeros((2, along.size, 3))
    points[0, :, 0] = left
    points[1, :, 0] = right
    points[0, :, 2] = along
    points[1, :, 2] = along[::-1]
    return view.project(points.reshape(-1, 3))


def _quads(view: View, spans: Floats) -> Floats:
    """Pixel corners of ground rectangles (K, 4): left, right, start, end in metres."""
    points = np.zeros((len(spans), 4, 3))
    points[:, :, 0] = spans[:, [0, 0, 1, 1]]
    points[:, :, 2] = spans[:, [2, 3, 3, 2]]
    return view.project(points)


def _slots(view: View, step: float, reach: float) -> Floats:
    first = np.ceil((view.position + 1.5 - step) / step)
    return np.arange(first, first + reach / step) * step


def _paint_surfaces(canvas: Canvas, view: View, world: World, top: int) -> None:
    road, light = world.road, world.light
    along = _depths(view)
    tone = 88.0 + 26.0 * ((world.seed * 0.618) % 1.0)
    grass, asphalt = (92.0, 108.0, 58.0), (tone, tone, tone + 3.0)
    paving, kerb = (tone * 0.5 + 104, tone * 0.5 + 98, tone * 0.5 + 91), (176.0, 173.0, 166.0)
    canvas.pixels[top:] = (*(int(c) for c in light.shaded(grass, 0.0)), VEGETATION)
    for side in (-1.0, 1.0):
        walk = band(view, side * road.walk, side * road.outer, along)
        canvas.fill(walk, light.shaded(paving, 0.0), SIDEWALK)
        joints = _slots(view, 1.4, 16.0)
        spans = np.stack([np.full_like(joints, side * road.walk), np.full_like(joints, side * road.outer), joints, joints + 0.05], axis=1)  # fmt: skip
        canvas.fill_each(_quads(view, spans), light.shaded(paving, 0.0, 0.84), SIDEWALK)
        stone = band(view, side * road.half, side * (road.half + 0.22), along)
        canvas.fill(stone, light.shaded(kerb, 0.0), SIDEWALK)
    canvas.fill(band(view, -road.half, road.half, along), light.shaded(asphalt, 0.0), ROAD)
    for side in (-1.0, 1.0):
        gutter = band(view, side * (road.half - 0.25), side * road.half, along)
        canvas.fill(gutter, light.shaded(asphalt, 0.0, 0.78), ROAD)
    _paint_wear(canvas, view, world, light.shaded(asphalt, 0.0, 0.93))


def _paint_wear(canvas: Canvas, view: View, world: World, colour: Colour) -> None:
    """Tyre tracks and repaired patches."""
    road = world.road
    along = _depths(view)
    for lane in range(-road.lanes, road.lanes):
        centre = (lane + 0.5) * road.lane_width
        for wheel in (-0.78, 0.78):
            track = band(view, centre + wheel - 0.24, centre + wheel + 0.24, along)
            canvas.fill(track, colour, ROAD)
    starts = _slots(view, 17.0, 70.0)
    jitter = np.sin(starts * 12.9898 + world.seed) * 43758.5
    jitter -= np.floor(jitter)
    left = (jitter - 0.5) * 1.7 * road.lanes_half
    spans = np.stack([left, left + 1.0, starts + 9.0 * jitter, starts + 9.0 * jitter + 2.6], axis=1)
    canvas.fill_each(_quads(view, spans), tuple(0.9 * c for c in colour), ROAD)  # type: ignore[arg-type]


def _paint_markings(canvas: Canvas, view: View, world: World) -> None:
    road, light = world.road, world.light
    along = _depths(view)
    white = light.shaded((206, 205, 198), 0.0)
    for side in (-1.0, 1.0):
        edge = side * (road.lanes_half - 0.05)
        canvas.fill(band(view, edge - 0.06, edge + 0.06, along), white, ROAD)
    dividers = [k * road.lane_width for k in range(1 - road.lanes, road.lanes)]
    if road.lanes > 1:
        dividers.remove(0.0)
        for offset in (-0.13, 0.13):
            canvas.fill(band(view, offset - 0.06, offset + 0.06, along), white, ROAD)
    starts = _slots(view, 9.0, 130.0)
    for divider in dividers:
        low, high = np.full_like(starts, divider - 0.07), np.full_like(starts, divider + 0.07)
        spans = np.stack([low, high, starts, starts + 4.0], axis=1)
        canvas.fill_each(_quads(view, spans), white, ROAD)


def _paint_zebra(canvas: Canvas, view: View, world: World, places: tuple[float, ...]) -> None:
    half = world.road.lanes_half - 0.3
    bars = np.arange(-half, half, 1.0)
    white = world.light.shaded((204, 203, 196), 0.0)
    for place in places:
        start = np.full_like(bars, place - 1.5)
        spans = np.stack([bars, bars + 0.5, start, start + 3.0], axis=1)
        canvas.fill_each(_quads(view, spans), white, ROAD)


def _row_depths(view: View, rows: Floats) -> Floats:
    """Distance of the ground seen in each pixel row in metres."""
    depth = np.geomspace(1.0, FAR, 96)
    _, rise = view.offsets(depth)
    seen = view.horizon - 0.5 + (view.eye - rise) * view.focal / depth
    return np.interp(-rows, -np.maximum.accumulate(seen[::-1])[::-1], depth)


def _apply_grain(canvas: Canvas, view: View, top: int, shade: Bytes, depth: Floats) -> None:
    region = canvas.pixels[top:]
    bend, _ = view.offsets(depth)
    columns = np.arange(canvas.width) - 0.5 * canvas.width
    lateral = columns[None, :] * (depth / view.focal)[:, None] - bend[:, None]
    map_x = (lateral * _TEXELS) % SIZE
    map_y = np.broadcast_to((((depth + view.position) * _TEXELS) % SIZE)[:, None], map_x.shape)
    texture = cv2.remap(
        ground_texture(),
        map_x.astype(np.float32),
        map_y.astype(np.float32),
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_WRAP,
    )
    fade = np.clip(9.0 / depth, 0.0, 1.0).astype(np.float32)[:, None]
    strength = cv2.LUT(np.ascontiguousarray(region[..., 3]), _GRAIN)
    gain = (128.0 + (texture.astype(np.float32) - 128.0) * strength * fade) / 255.0 * shade
    level = np.clip(gain, 0, 255).astype(np.uint8)
    keep = np.full_like(level, 128)
    cv2.multiply(region, cv2.merge([level, level, level, keep]), region, scale=1.0 / 128.0)


def _apply_haze(canvas: Canvas, world: World, top: int, depth: Floats) -> None:
    far = int(np.count_nonzero(depth > 6.0))
    veil = np.zeros((far, 1, 4), np.float32)
    veil[:, 0, :3] = (1.0 - np.exp(-depth[:far] / world.light.haze_range))[:, None]
    haze = np.array((*world.light.haze, 0.0), np.float32) * veil
    region = canvas.pixels[top : top + far]
    region[:] = region * (1.0 - veil) + (haze + 0.01)


def ground_top(view: View) -> int:
    """First pixel row that shows ground.

    Args:
        view: The camera.

    Returns:
        Row index, at least 0 and below the picture height.
    """
    depth = np.geomspace(40.0, FAR, 24)
    _, rise = view.offsets(depth)
    seen = view.horizon - 0.5 + (view.eye - rise) * view.focal / depth
    return min(max(int(np.ceil(seen.min())), 0), view.height - 1)


def paint_ground(
    canvas: Canvas,
    view: View,
    world: World,
    shadows: list[Floats],
    crossings: tuple[float, ...],
) -> None:
    """Paint the whole ground with markings, grain, shadows and haze.

    Args:
        canvas: The canvas.
        view: The camera.
        world: The world.
        shadows: Shadow outlines in pixels, each of shape (N, 2).
        crossings: Positions of zebra crossings along the road in metres.
    """
    top = ground_top(view)
    _paint_surfaces(canvas, view, world, top)
    _paint_markings(canvas, view, world)
    _paint_zebra(canvas, view, world, crossings)
    shade: Bytes = np.full((canvas.height - top, canvas.width), 255, np.uint8)
    value = int(165 - 62 * world.light.sun)
    for outline in shadows:
        darken(shade, outline - np.array([0.0, top]), value)
    kernel = max(3, canvas.width // 120) | 1
    shade = np.asarray(cv2.blur(shade, (kernel, max(3, kernel // 2) | 1)), np.uint8)
    depth = _row_depths(view, np.arange(top, canvas.height, dtype=np.float64))
    _apply_grain(canvas, view, top, shade, depth)
    _apply_haze(canvas, world, top, depth)
