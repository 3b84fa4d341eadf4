"""Camera that follows the road: projects road coordinates to pixels."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from lipdeploy.samples._scene_canvas import Floats
from lipdeploy.samples._scene_world import Road, World

NEAR = 1.2  # metres; nearer points are moved to this depth
FAR = 260.0  # metres; the ground ends here


@dataclass(frozen=True)
class View:
    """Pin-hole camera at one moment of the drive."""

    road: Road
    width: int  # pixels
    height: int  # pixels
    focal: float  # pixels
    horizon: float  # row of the horizon in pixels
    position: float  # ego position along the road in metres
    lateral: float  # camera offset from the road centre in metres
    eye: float  # camera height in metres

    @property
    def heading(self) -> float:
        """Slope of the road's bend at the camera (lateral metres per metre)."""
        road = self.road
        return road.bend / road.bend_length * math.cos(self._bend_angle)

    @cached_property
    def _bend_angle(self) -> float:
        return self.position / self.road.bend_length + self.road.bend_phase

    @cached_property
    def _bend_start(self) -> tuple[float, float]:
        """Value and slope of the unit bend at the camera."""
        here = self._bend_angle
        return math.sin(here), math.cos(here) / self.road.bend_length

    @cached_property
    def _hill_angle(self) -> float:
        return self.position / self.road.hill_length + self.road.hill_phase

    @cached_property
    def _hill_start(self) -> tuple[float, float]:
        """Value and slope of the unit hill at the camera."""
        here = self._hill_angle
        return math.sin(here), math.cos(here) / self.road.hill_length

    def offsets(self, depth: Floats) -> tuple[Floats, Floats]:
        """Bend and rise of the road ahead relative to the camera's direction.

        Args:
            depth: Distances ahead in metres, any shape.

        Returns:
            Lateral shift and height of the road centre in metres, same shape.
        """
        road = self.road
        value, slope = self._bend_start
        bend = np.sin(self._bend_angle + depth / road.bend_length)
        bend -= value + slope * depth
        value, slope = self._hill_start
        rise = np.sin(self._hill_angle + depth / road.hill_length)
        rise -= value + slope * depth
        return road.bend * bend, road.hill * rise

    def project(self, points: Floats) -> Floats:
        """Project road coordinates to pixels.

        Args:
            points: Shape (..., 3): lateral offset from the road centre, height
                over the road, and position along the road, all in metres.

        Returns:
            Pixel coordinates (u, v), shape (..., 2).
        """
        depth = np.maximum(points[..., 2] - self.position, NEAR)
        bend, rise = self.offsets(depth)
        scale = self.focal / depth
        pixels: Floats = np.empty((*points.shape[:-1], 2))
        pixels[..., 0] = 0.5 * self.width - 0.5 + (points[..., 0] + bend - self.lateral) * scale
        pixels[..., 1] = self.horizon - 0.5 + (self.eye - points[..., 1] - rise) * scale
        return pixels

    def project_each(self, outlines: Sequence[Floats]) -> list[Floats]:
        """Project several outlines in one go, which is far cheaper than one by one.

        Args:
            outlines: Road coordinates, each of shape (N, 3).

        Returns:
            Pixel coordinates of each outline, shape (N, 2).
        """
        if not outlines:
            return []
        pixels = self.project(np.concatenate(outlines))
        pieces, start = [], 0
        for outline in outlines:
            pieces.append(pixels[start : start + len(outline)])
            start += len(outline)
        return pieces

    def scale(self, position: float) -> float:
        """Pixels per metre at a position along the road.

        Args:
            position: Position along the road in metres.

        Returns:
            Pixels per metre.
        """
        return self.focal / max(position - self.position, NEAR)

    def outside(self, lateral: float, reach: float, position: float) -> bool:
        """Whether an upright object lies beside the picture.

        Args:
            lateral: Centre of the object, metres from the road centre.
            reach: Half its width in metres.
            position: Its position along the road in metres.

        Returns:
            True when no part of it can be seen.
        """
        depth = max(position - self.position, NEAR)
        road = self.road
        value, slope = self._bend_start
        bend = math.sin(self._bend_angle + depth / road.bend_length) - value
        bend -= slope * depth
        shift = lateral + road.bend * bend - self.lateral
        return abs(shift) - reach > 0.5 * self.width / self.focal * depth


def view(world: World, time_s: float, height: int, width: int) -> View:
    """Place the camera at a time of the drive.

    Args:
        world: The world.
        time_s: Time since the start of the drive in seconds.
        height: Picture height in pixels.
        width: Picture width in pixels.

    Returns:
        The camera.
    """
    road = world.road
    lane = road.lane_width * (road.lanes - 0.5 if world.seed % 2 else 0.5)
    return View(
        road=road,
        width=width,
        height=height,
        focal=world.focal * width,
        horizon=world.pitch * height,
        position=world.start + world.speed * time_s,
        lateral=lane + 0.12 * math.sin(0.4 * time_s),
        eye=world.eye,
    )
