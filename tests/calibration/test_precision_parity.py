"""Every precision on every engine keeps to float64 on real frames; a break is counted."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from lipdeploy.calibration.transformation import PRECISIONS
from lipdeploy.cli import main
from lipdeploy.runtime.session import Prediction, available_engines

ENGINES = [name for name in ("onnxruntime", "openvino") if name in available_engines()]
FRAMES = 12


@pytest.fixture(scope="module")
def benchmark_module(load_benchmark: Callable[[str], ModuleType]) -> ModuleType:
    return load_benchmark("precision_parity")


@pytest.fixture(scope="module")
def real_data(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Kvasir-SEG under the names of the small network's classes."""
    if not (shared_data / "kvasir").is_dir():
        pytest.skip("real data not present: ../shared/data/kvasir is not beside this repository")
    path = tmp_path_factory.mktemp("kvasir") / "kvasir.yaml"
    path.write_text(
        f"path: {shared_data / 'kvasir'}\ntrain: images/train\nval: images/val\n"
        "masks_dir: masks\nnames: {0: left, 1: right}\n"
    )
    return path


def test_real_frames_on_every_engine_at_every_precision(
    benchmark_module: ModuleType, real_data: Path, source_path: Path, tmp_path: Path
) -> None:
    """Level `statistical`, which takes 1,000 frames; on 16 x 16 pixels they take seconds."""
    options = [word for name in ENGINES for word in ("--engine", name)]
    files = [source_path]
    for precision in PRECISIONS:
        files.append(tmp_path / f"{precision}.onnx")
        args = [str(source_path), str(files[-1]), "--precision", precision, *options]
        args += ["--data", str(real_data), "--split", "val"]
        args += ["--method", "entropy"] if precision == "int8" else []
        assert main(["calibrate", *args]) == 0
    frames = benchmark_module.real_frames(source_path, real_data, ["train", "val"], FRAMES, 5)
    rows = benchmark_module.compared(files, ENGINES, frames)
    judged = [row for row in rows if row.level == "statistical"]
    assert len(judged) == len(PRECISIONS) * len(ENGINES)
    for row in judged:
        assert (row.frames, row.attacked, row.pixels) == (FRAMES, 2, FRAMES * 256)
        assert (row.over_claims, row.wrong_masks) == (0, 0)
        assert 0 < row.largest_error <= row.slack
        assert not row.broken


@pytest.mark.parametrize("broken", ["", "radius", "mask", "logits"])
def test_each_kind_of_break_is_counted(benchmark_module: ModuleType, broken: str) -> None:
    """One pixel beyond what is allowed, in one of the three."""
    exact = np.zeros((2, 3, 4))
    exact[1] = 0.5  # D is 0.1, L is 2: radius (0.5 - 0.2) / (2 sqrt 2), float64 0.5 / (2 sqrt 2)
    logits, mask = exact.copy(), np.ones((3, 4), np.uint8)
    radius = np.full((3, 4), 0.106, np.float32)
    logits[0, 0, 0] = 0.1 + 1e-6 if broken == "logits" else 0.1 - 1e-6
    if broken == "radius":
        radius[1, 2] = np.nextafter(np.float32(0.5 / np.sqrt(8)), np.float32(1))
    if broken == "mask":
        mask[2, 3] = 0
    row = benchmark_module.Row("int8", "statistical", "any", 0.1)
    row.add(Prediction(mask, radius, np.zeros(1, np.float32)), logits, exact, 2.0, False)
    assert row.broken == bool(broken)
    assert (row.over_claims, row.wrong_masks) == (broken == "radius", broken == "mask")
    row.level = "none"
    assert not row.broken


def test_a_mask_may_differ_where_the_margin_is_small(benchmark_module: ModuleType) -> None:
    exact = np.stack([np.zeros((3, 4)), np.full((3, 4), 0.19)])
    row = benchmark_module.Row("int8", "statistical", "any", 0.1)
    nothing = Prediction(
        np.zeros((3, 4), np.uint8), np.zeros((3, 4), np.float32), np.zeros(1, np.float32)
    )
    row.add(nothing, exact, exact, 2.0, True)
    assert not row.broken


def test_frames_are_made_once_and_kept(benchmark_module: ModuleType, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    made = [(rng.integers(0, 256, (4, 5, 3), np.uint8), k == 1) for k in range(3)]
    path = tmp_path / "frames.npz"
    for source in (made, []):  # the second time they come from the file
        found = benchmark_module.kept_frames(path, lambda frames=source: iter(frames))
        assert [attacked for _, attacked in found] == [False, True, False]
        for (frame, _), (expected, _) in zip(found, made, strict=True):
            np.testing.assert_array_equal(frame, expected)
