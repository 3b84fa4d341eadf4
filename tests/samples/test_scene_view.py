"""Geometry under the renderer: projection, texture wrap and fixed point."""

from __future__ import annotations

import numpy as np
import pytest

from lipdeploy.samples._scene_canvas import fixed_point
from lipdeploy.samples._scene_ground import _wrapped
from lipdeploy.samples._scene_texture import SIZE
from lipdeploy.samples._scene_view import NEAR, view
from lipdeploy.samples._scene_world import world


def test_projection_agrees_with_a_pin_hole_camera_on_a_bent_road() -> None:
    camera = view(world(11), 3.0, 128, 224)
    points = np.random.default_rng(0).uniform((-9, 0, -5), (9, 8, 90), (50, 3))
    points[:, 2] += camera.position
    road, here = camera.road, camera.position
    for (lateral, up, along), (u, v) in zip(points, camera.project(points), strict=True):
        depth = max(along - camera.position, NEAR)
        bend = road.bend * off_tangent(here, depth, road.bend_length, road.bend_phase)
        rise = road.hill * off_tangent(here, depth, road.hill_length, road.hill_phase)
        x, y = lateral + bend - camera.lateral, camera.eye - up - rise
        assert u == pytest.approx(111.5 + x * camera.focal / depth)
        assert v == pytest.approx(camera.horizon - 0.5 + y * camera.focal / depth)


def off_tangent(position: float, depth: float, length: float, phase: float) -> float:
    """How far a sine has left its tangent, `depth` metres on."""
    here = position / length + phase
    return float(np.sin(here + depth / length) - np.sin(here) - np.cos(here) / length * depth)


def test_projecting_together_equals_one_by_one() -> None:
    camera = view(world(1), 0.5, 128, 224)
    rng = np.random.default_rng(1)
    ahead = np.array([0.0, 0.0, camera.position])
    outlines = [rng.uniform(0, 60, (n, 3)) + ahead for n in (1, 4, 12, 3)]
    together = camera.project_each(outlines)
    assert all(
        np.array_equal(camera.project(outline), pixels)
        for outline, pixels in zip(outlines, together, strict=True)
    )
    assert camera.project_each([]) == []


def test_texels_wrap_like_the_remainder() -> None:
    texels = np.random.default_rng(2).uniform(-1e6, 1e6, 10_000)
    edges = np.array([0.0, -0.0, 512.0, -512.0, -1e-20, 511.9999999999999])
    for values in (texels, edges):
        assert np.array_equal(_wrapped(values), values % SIZE)


def test_fixed_point_is_clamped_and_in_sixteenths() -> None:
    fixed = fixed_point(np.array([[1.5, -2.25], [1e12, -1e12]]))
    assert fixed.dtype == np.int32
    assert fixed.tolist() == [[24, -36], [960_000, -960_000]]
