"""Procedural dash-cam road scene with exact per-pixel labels.

The world of a seed is fixed; time moves the camera forward and other cars and
people along. Everything is a pure function of seed, time and size.
"""

import math
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from lipdeploy.samples._scene_canvas import Canvas
from lipdeploy.samples._scene_ground import ground_top, paint_ground
from lipdeploy.samples._scene_lens import exposed
from lipdeploy.samples._scene_placement import Thing, crossings, things
from lipdeploy.samples._scene_sky import paint_sky, paint_skyline
from lipdeploy.samples._scene_view import View, view
from lipdeploy.samples._scene_world import World, world

CLASS_NAMES: tuple[str, ...] = (
    "sky",
    "building",
    "vegetation",
    "road",
    "sidewalk",
    "car",
    "person",
)

SMALLEST = 32  # pixels


@dataclass(frozen=True)
class Frame:
    """One picture with its labels."""

    image: npt.NDArray[np.uint8]  # (H, W, 3) RGB
    mask: npt.NDArray[np.uint8]  # (H, W) class ids 0..6


def render(seed: int, time_s: float, height: int, width: int, *, noise: bool = True) -> Frame:
    """Render one frame of a drive.

    Args:
        seed: Any integer; chooses the world.
        time_s: Time since the start of the drive in seconds, any finite value.
        height: Picture height in pixels, at least 32.
        width: Picture width in pixels, at least 32.
        noise: Whether to add camera noise (off compresses better).

    Returns:
        RGB image of shape (H, W, 3) and class ids of shape (H, W).

    Raises:
        ValueError: If a size is below 32 pixels or the time is not finite.
    """
    if height < SMALLEST or width < SMALLEST:
        raise ValueError(f"scene size must be at least 32x32 pixels, got {height}x{width}")
    if not math.isfinite(time_s):
        raise ValueError(f"scene time must be a finite number of seconds, got {time_s}")
    place = world(seed)
    camera = view(place, time_s, height, width)
    canvas = Canvas(height, width)
    paint_sky(canvas, camera, place, time_s)
    paint_skyline(canvas, camera, place, float(ground_top(camera)))
    ordered = things(place, camera, time_s)
    cast = (thing.shadow(camera, place.light) for thing in ordered)
    shadows = camera.project_each([outline for outline in cast if outline is not None])
    paint_ground(canvas, camera, place, shadows, crossings(place, camera))
    _paint_things(canvas, camera, place, ordered)
    colours = np.asarray(cv2.cvtColor(canvas.pixels, cv2.COLOR_RGBA2RGB), np.uint8)
    labels = np.asarray(cv2.extractChannel(canvas.pixels, 3), np.uint8)
    return Frame(exposed(colours, place, time_s, noise), labels)


def _paint_things(canvas: Canvas, camera: View, place: World, ordered: list[Thing]) -> None:
    """Paint things from far to near; one call projects the corners of all of them."""
    drawn = (thing.sketch(camera, place.light) for thing in ordered)
    sketches = [sketch for sketch in drawn if sketch is not None]
    outlines = camera.project_each([sketch.points for sketch in sketches])
    for sketch, pixels in zip(sketches, outlines, strict=True):
        sketch.paint(canvas, pixels)
