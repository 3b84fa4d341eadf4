"""The clip writer, read back with OpenCV."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from lipdeploy.samples import clip, scene


def test_a_clip_reads_back(tmp_path: Path) -> None:
    path = tmp_path / "drive.mp4"
    clip.write_clip(path, 0.7, 10, 96, 160, seed=3)
    capture = cv2.VideoCapture(str(path))
    frames = []
    while (read := capture.read())[0]:
        frames.append(read[1])
    capture.release()
    assert [frame.shape for frame in frames] == [(96, 160, 3)] * 7
    drawn = scene.render(3, 0.6, 96, 160, noise=False).image[..., ::-1]
    assert np.abs(frames[-1].astype(int) - drawn).mean() < 12.0


@pytest.mark.parametrize("seconds", [0.0, -1.0, float("nan"), float("inf")])
def test_a_clip_without_frames_is_refused(tmp_path: Path, seconds: float) -> None:
    with pytest.raises(ValueError, match="has no frame"):
        clip.write_clip(tmp_path / "drive.mp4", seconds, 10, 64, 64, seed=0)
    assert not list(tmp_path.iterdir())


def test_a_clip_in_a_missing_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OSError, match=r"cannot be written as mp4"):
        clip.write_clip(tmp_path / "missing" / "drive.mp4", 0.1, 10, 64, 64, seed=0)
