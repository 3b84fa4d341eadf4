"""Ground: grass, sidewalks, road with markings, its grain, shadows and haze."""

from typing import NamedTuple

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
    fixed_point,
)
from lipdeploy.samples._scene_texture import SIZE, ground_texture
from lipdeploy.samples._scene_view import FAR, View
from lipdeploy.samples._scene_world import Light, World

_TEXELS = 14.0  # texels per metre
_GRAIN = np.zeros(256, np.float32)
_GRAIN[[VEGETATION, ROAD, SIDEWALK]] = (0.85, 0.30, 0.30)


_BAND_DEPTHS = np.geomspace(1.5, FAR, 56)
_ROW_DEPTHS = np.geomspace(1.0, FAR, 96)
_EDGE_DEPTHS = np.geomspace(40.0, FAR, 24)
_GRASS: Colour = (92.0, 108.0, 58.0)
_KERB: Colour = (176.0, 173.0, 166.0)
_LINE: Colour = (206, 205, 198)
_ZEBRA: Colour = (204, 203, 196)


class _Strip(NamedTuple):
    """A strip of ground along the road."""

    left: float  # lateral offset of one edge in metres
    right: float  # lateral offset of the other edge in metres
    colour: Colour
    label: int


def _paint_strips(canvas: Canvas, view: View, strips: list[_Strip]) -> None:
    """Paint strips that reach from the camera to the end of the ground."""
    along = _BAND_DEPTHS + view.position
    points = np.zeros((len(strips), 2, along.size, 3))
    points[:, 0, :, 0] = np.array([strip.left for strip in strips])[:, None]
    points[:, 1, :, 0] = np.array([strip.right for strip in strips])[:, None]
    points[:, 0, :, 2] = along
    points[:, 1, :, 2] = along[::-1]
    outlines = view.project(points).reshape(len(strips), -1, 2)
    for outline, strip in zip(outlines, strips, strict=True):
        canvas.fill(outline, strip.colour, strip.label)


def _quads(view: View, spans: Floats) -> Floats:
    """Pixel corners of ground rectangles (K, 4): left, right, start, end in metres."""
    points = np.zeros((len(spans), 4, 3))
    points[:, :, 0] = spans[:, [0, 0, 1, 1]]
    points[:, :, 2] = spans[:, [2, 3, 3, 2]]
    return view.project(points)


def _spans(left: Floats | float, right: Floats | float, start: Floats, length: float) -> Floats:
    """Ground rectangles (K, 4) for `_quads`, one for each start; all in metres."""
    spans = np.empty((start.size, 4))
    spans[:, 0] = left
    spans[:, 1] = right
    spans[:, 2] = start
    spans[:, 3] = start + length
    return spans


def _slots(view: View, step: float, reach: float) -> Floats:
    """Multiples of a step from just behind the near edge of the picture on, in metres."""
    first = np.ceil((view.position + 1.5 - step) / step)
    return np.arange(first, first + reach / step) * step


def _paint_surfaces(canvas: Canvas, view: View, world: World, top: int) -> None:
    """Grass, sidewalks and kerbs, then the road."""
    light = world.light
    tone = 88.0 + 26.0 * ((world.seed * 0.618) % 1.0)
    canvas.pixels[top:] = (*(int(c) for c in light.shaded(_GRASS, 0.0)), VEGETATION)
    paving = (tone * 0.5 + 104, tone * 0.5 + 98, tone * 0.5 + 91)
    for side in (-1.0, 1.0):
        _paint_sidewalk(canvas, view, world, side, paving)
    _paint_asphalt(canvas, view, world, (tone, tone, tone + 3.0))


def _paint_sidewalk(canvas: Canvas, view: View, world: World, side: float, paving: Colour) -> None:
    road, air = world.road, world.light.at(0.0)
    walk, outer = side * road.walk, side * road.outer
    kerb, kerb_end = side * road.half, side * (road.half + 0.22)
    _paint_strips(canvas, view, [_Strip(walk, outer, air.shaded(paving), SIDEWALK)])
    joints = _spans(walk, outer, _slots(view, 1.4, 16.0), 0.05)
    canvas.fill_each(_quads(view, joints), air.shaded(paving, 0.84), SIDEWALK)
    _paint_strips(canvas, view, [_Strip(kerb, kerb_end, air.shaded(_KERB), SIDEWALK)])


def _paint_asphalt(canvas: Canvas, view: View, world: World, asphalt: Colour) -> None:
    """Road surface with gutters, tyre tracks and repaired patches."""
    road, air = world.road, world.light.at(0.0)
    gutter, worn = air.shaded(asphalt, 0.78), air.shaded(asphalt, 0.93)
    strips = [_Strip(-road.half, road.half, air.shaded(asphalt), ROAD)]
    strips += [
        _Strip(side * (road.half - 0.25), side * road.half, gutter, ROAD) for side in (-1.0, 1.0)
    ]
    tracks = [
        (lane + 0.5) * road.lane_width + wheel
        for lane in range(-road.lanes, road.lanes)
        for wheel in (-0.78, 0.78)
    ]
    strips += [_Strip(track - 0.24, track + 0.24, worn, ROAD) for track in tracks]
    _paint_strips(canvas, view, strips)
    _paint_patches(canvas, view, world, worn)


def _paint_patches(canvas: Canvas, view: View, world: World, worn: Colour) -> None:
    starts = _slots(view, 17.0, 70.0)
    jitter = np.sin(starts * 12.9898 + world.seed) * 43758.5
    jitter -= np.floor(jitter)
    left = (jitter - 0.5) * 1.7 * world.road.lanes_half
    red, green, blue = worn
    spans = _spans(left, left + 1.0, starts + 9.0 * jitter, 2.6)
    canvas.fill_each(_quads(view, spans), (0.9 * red, 0.9 * green, 0.9 * blue), ROAD)


def _paint_markings(canvas: Canvas, view: View, world: World) -> None:
    """Edge lines, a double line between two-lane directions, and dashed dividers."""
    road = world.road
    white = world.light.shaded(_LINE, 0.0)
    centres = [-(road.lanes_half - 0.05), road.lanes_half - 0.05]
    dividers = [k * road.lane_width for k in range(1 - road.lanes, road.lanes)]
    if road.lanes > 1:
        dividers.remove(0.0)
        centres += [-0.13, 0.13]
    lines = [_Strip(centre - 0.06, centre + 0.06, white, ROAD) for centre in centres]
    _paint_strips(canvas, view, lines)
    starts = _slots(view, 9.0, 130.0)
    for divider in dividers:
        dashes = _spans(divider - 0.07, divider + 0.07, starts, 4.0)
        canvas.fill_each(_quads(view, dashes), white, ROAD)


def _paint_zebra(canvas: Canvas, view: View, world: World, places: tuple[float, ...]) -> None:
    half = world.road.lanes_half - 0.3
    bars = np.arange(-half, half, 1.0)
    white = world.light.shaded(_ZEBRA, 0.0)
    for place in places:
        spans = _spans(bars, bars + 0.5, np.full_like(bars, place - 1.5), 3.0)
        canvas.fill_each(_quads(view, spans), white, ROAD)


def _row_depths(view: View, rows: Floats) -> Floats:
    """Distance of the ground seen in each pixel row in metres."""
    depth = _ROW_DEPTHS
    _, rise = view.offsets(depth)
    seen = view.horizon - 0.5 + (view.eye - rise) * view.focal / depth
    return np.interp(-rows, -np.maximum.accumulate(seen[::-1])[::-1], depth)


def _wrapped(texels: Floats) -> Floats:
    """Remainder after division by the texture size, much faster than `%` (and exact)."""
    wrapped: Floats = texels - SIZE * np.floor(texels * (1.0 / SIZE))
    return wrapped


def _grain(view: View, depth: Floats) -> Bytes:
    """Ground texture as seen by the camera, one row for each depth."""
    bend, _ = view.offsets(depth)
    columns = np.arange(view.width) - 0.5 * view.width
    lateral = columns[None, :] * (depth / view.focal)[:, None] - bend[:, None]
    map_x = _wrapped(lateral * _TEXELS).astype(np.float32)
    rows = _wrapped((depth + view.position) * _TEXELS).astype(np.float32)
    map_y = np.repeat(rows[:, None], view.width, axis=1)
    seen = cv2.remap(ground_texture(), map_x, map_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP)
    return np.asarray(seen, np.uint8)


def _apply_grain(canvas: Canvas, view: View, top: int, shade: Bytes, depth: Floats) -> None:
    """Multiply the ground by its grain and by the cast shadows."""
    region = canvas.pixels[top:]
    fade = np.clip(9.0 / depth, 0.0, 1.0).astype(np.float32)[:, None]
    gain = _grain(view, depth).astype(np.float32)
    gain -= 128.0
    gain *= cv2.LUT(cv2.extractChannel(region, 3), _GRAIN)
    gain *= fade
    gain += 128.0
    gain /= 255.0
    gain *= shade
    level = np.clip(gain, 0, 255, out=gain).astype(np.uint8)
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
    depth = _EDGE_DEPTHS
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
    shade = _shade(canvas.height - top, canvas.width, top, shadows, world.light)
    depth = _row_depths(view, np.arange(top, canvas.height, dtype=np.float64))
    _apply_grain(canvas, view, top, shade, depth)
    _apply_haze(canvas, world, top, depth)


def _shade(height: int, width: int, top: int, shadows: list[Floats], light: Light) -> Bytes:
    """Brightness left by cast shadows below row `top`, shape (height, width), 0..255."""
    shade: Bytes = np.full((height, width), 255, np.uint8)
    value = int(165 - 62 * light.sun)
    lift = np.array([0.0, top])
    for outline in shadows:
        darken(shade, fixed_point(outline - lift), value)
    across = max(3, width // 120) | 1
    down = max(3, across // 2) | 1
    return np.asarray(cv2.blur(shade, (across, down)), np.uint8)
