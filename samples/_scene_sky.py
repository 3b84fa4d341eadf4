"""Sky with clouds, and the far skyline that stands on the horizon."""

import math
import random
from functools import lru_cache

import cv2
import numpy as np

from lipdeploy.samples._scene_canvas import BUILDING, SKY, VEGETATION, Canvas, Colour, Floats
from lipdeploy.samples._scene_texture import SIZE, cloud_texture
from lipdeploy.samples._scene_view import View
from lipdeploy.samples._scene_world import Light, World

# Far ridges: height (slope), waves per angle, distance in metres, colour.
_RIDGES: tuple[tuple[float, float, float, Colour], ...] = (
    (0.055, 1.0, 320.0, (84, 98, 78)),
    (0.030, 2.6, 190.0, (70, 88, 58)),
)


def _cloud_cover(view: View, rows: int, columns: int, clouds: float, time_s: float) -> Floats:
    """Cloud opacity on a coarse grid, shape (rows, columns), 0..1."""
    aspect = view.width / view.focal
    angle = (np.arange(columns) / columns - 0.5) * aspect + view.heading
    rise = (1.0 - np.arange(rows) / rows) * view.horizon / view.focal
    reach = 60.0 / (rise + 0.09)
    map_x = (angle[None, :] * reach[:, None] + 4.0 * time_s) % SIZE
    map_y = np.broadcast_to(((reach * 1.3) % SIZE)[:, None], map_x.shape)
    density = cv2.remap(
        cloud_texture(),
        map_x.astype(np.float32),
        map_y.astype(np.float32),
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_WRAP,
    )
    threshold = 220.0 - 170.0 * clouds
    cover = np.clip((density - threshold) / 90.0, 0.0, 1.0)
    cover *= np.clip(rise * 7.0 + 0.25, 0.0, 1.0)[:, None]
    return np.asarray(cover, np.float64)


def paint_sky(canvas: Canvas, view: View, world: World, time_s: float) -> None:
    """Paint gradient, sun glow and clouds over the upper part of the canvas.

    Args:
        canvas: The canvas.
        view: The camera.
        world: The world.
        time_s: Time in seconds; clouds drift slowly.
    """
    bottom = min(canvas.height, int(view.horizon) + 2)
    rows, columns = max(bottom // 3, 8), max(canvas.width // 3, 8)
    sky = _clear_sky(world.light, rows, columns)
    cover = _cloud_cover(view, rows, columns, world.light.clouds, time_s)[..., None]
    cloud = np.array(world.light.cloud) * (0.86 + 0.14 * cover)
    sky = sky * (1.0 - 0.85 * cover) + cloud * (0.85 * cover)
    small = np.clip(sky, 0, 255).astype(np.uint8)
    canvas.pixels[:bottom, :, :3] = cv2.resize(small, (canvas.width, bottom))
    canvas.pixels[:bottom, :, 3] = SKY


@lru_cache(maxsize=8)
def _clear_sky(light: Light, rows: int, columns: int) -> Floats:
    """Gradient and sun glow on a coarse grid, shape (rows, columns, 3), 0..255 and above."""
    fall = (np.arange(rows) / rows)[:, None, None] ** 1.4
    sky = np.array(light.zenith) * (1.0 - fall) + np.array(light.horizon) * fall
    across = np.arange(columns) / columns - 0.5 - 0.42 * light.sun_side
    glow = np.exp(-10.0 * (across[None, :] ** 2 + (1.0 - fall[..., 0] - 0.3) ** 2))
    glow = (38.0 * light.sun) * glow[..., None]
    return np.asarray(sky + glow * np.array((1.0, 0.92, 0.72)), np.float64)


@lru_cache(maxsize=256)
def _ridge(seed: int) -> Floats:
    """Heights of a far ridge over all angles, shape (256,), about 0..1."""
    rng = random.Random(seed)
    angle = np.linspace(0.0, math.tau, 256)
    total = np.zeros(256)
    for order in (3, 7, 13, 29, 61):
        total += np.sin(order * angle + rng.uniform(0.0, math.tau)) / order**0.7
    return np.asarray(0.5 + 0.5 * total / np.abs(total).max(), np.float64)


@lru_cache(maxsize=256)
def _towers(seed: int) -> tuple[tuple[float, float, float], ...]:
    """Far towers: angle, half width (radians) and height (slope) of each."""
    rng = random.Random(seed + 7)
    towers = []
    for slot in range(-26, 27):
        height = rng.choice((0.025, 0.04, 0.06, 0.085)) * rng.uniform(0.7, 1.2)
        towers.append((slot * 0.05 + rng.uniform(-0.02, 0.02), rng.uniform(0.012, 0.03), height))
    return tuple(towers)


def paint_skyline(canvas: Canvas, view: View, world: World, base: float) -> None:
    """Paint far hills, far towers and a line of trees on the horizon.

    Args:
        canvas: The canvas.
        view: The camera.
        world: The world.
        base: Row in pixels on which the skyline stands.
    """
    edge = np.array([[canvas.width + 8.0, base + 2.0], [-8.0, base + 2.0]])
    columns = np.linspace(-8.0, canvas.width + 8.0, 90)
    angle = (columns - 0.5 * canvas.width) / view.focal + view.heading
    where = angle * 256.0 / 2.2
    for order, (height, reach, depth, green) in enumerate(_RIDGES):
        ridge = np.interp(where * reach, np.arange(256.0), _ridge(world.seed + order), period=256.0)
        rows = base - (0.3 + ridge) * height * view.focal
        colour = world.light.shaded(green, depth)
        outline = np.concatenate([np.stack([columns, rows], axis=1), edge])
        canvas.fill(outline, colour, VEGETATION)
        if order == 0 and world.city > 0.35:
            _paint_towers(canvas, view, world, base)


def _paint_towers(canvas: Canvas, view: View, world: World, base: float) -> None:
    for index, (angle, half, height) in enumerate(_towers(world.seed)):
        left, right = (
            0.5 * canvas.width + view.focal * (angle + sign * half - view.heading)
            for sign in (-1, 1)
        )
        if right < 0 or left > canvas.width:
            continue
        top = base - height * view.focal * (0.4 + 0.9 * world.city)
        box = np.array([[left, base + 1], [left, top], [right, top], [right, base + 1]])
        tone = 112.0 + 9.0 * (index % 5)
        canvas.fill_convex(box, world.light.shaded((tone, tone - 4, tone - 8), 230.0), BUILDING)
