"""Camera that follows the road: projects road coordinates to pixels."""

import math
from dataclasses import dataclass

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
        return road.bend / road.bend_length * math.cos(self._bend_angle())

    def _bend_angle(self) -> float:
        return self.position / self.road.bend_length + self.road.bend_phase

    def offsets(self, depth: Floats) -> tuple[Floats, Floats]:
        """Bend and rise of the road ahead relative to the camera's direction.

        Args:
            depth: Distances ahead in metres, any shape.

        Returns:
            Lateral shift and height of the road centre in metres, same shape.
        """
        road = self.road
        here = self._bend_angle()
        bend = np.sin(here + depth / road.bend_length)
        bend -= math.sin(here) + math.cos(here) / road.bend_length * depth
        here = self.position / road.hill_length + road.hill_phase
        rise = np.sin(here + depth / road.hill_length)
        rise -= math.sin(here) + math.cos(here) / road.hill_length * depth
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
        angle = self._bend_angle()
        road = self.road
        bend = math.sin(angle + depth / road.bend_length) - math.sin(angle)
        bend -= math.cos(angle) / road.bend_length * depth
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
