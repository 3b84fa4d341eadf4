"""Region of interest, targets, curves, pixelwise figures, tables and pictures of `certify`."""

from __future__ import annotations

import hashlib
import math
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from lipdeploy.cli.certify_tables import WIDTH, tables
from lipdeploy.core.manifest import Manifest
from lipdeploy.runtime.evaluation import page_writer
from lipdeploy.runtime.session import Prediction
from tests.runtime.conftest import CLASSES
from tests.runtime.labelled import (
    SIDE,
    certify,
    metrics_of,
    rows_of,
    write_all,
    written,
)

IMAGES = 4


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_all(tmp_path, IMAGES)


def read(path: Path) -> np.ndarray:
    return np.asarray(cv2.imread(str(path), cv2.IMREAD_UNCHANGED))


def example(folder: Path, index: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Truth, prediction and radius of the tiny model, computed here."""
    pixels = read(folder / f"images/val/{index}.png")[..., ::-1]
    scores = np.sort(pixels.astype(np.float32) / np.float32(255), axis=-1).astype(np.float64)
    radius = (scores[..., 2] - scores[..., 1]) / math.sqrt(2)
    return read(folder / f"masks/val/{index}.png"), pixels.argmax(-1), radius


def write_roi(path: Path, outside: np.ndarray) -> Path:
    cv2.imwrite(str(path), np.where(outside, 0, 7).astype(np.uint8))
    return path


def test_roi_is_as_if_the_labels_outside_were_ignored(folder: Path) -> None:
    outside = np.add.outer(np.arange(SIDE), np.arange(SIDE)) % 3 == 0
    outside[:, 10:] = True
    roi = write_roi(folder / "roi.png", outside)
    assert certify(folder, "roi", "--roi", str(roi)) == 0
    for mask in (folder / "masks/val").iterdir():
        cv2.imwrite(str(mask), np.where(outside, 255, read(mask)).astype(np.uint8))
    assert certify(folder, "masked") == 0
    with_roi, masked = metrics_of(folder / "roi"), metrics_of(folder / "masked")
    sha256 = hashlib.sha256(roi.read_bytes()).hexdigest()
    assert with_roi.pop("roi") == {"name": "roi.png", "sha256": sha256}
    assert masked.pop("roi") is None
    assert with_roi == masked
    assert written(folder / "roi")[1:] == written(folder / "masked")[1:]


def test_roi_of_another_size_and_in_colour(folder: Path) -> None:
    small = np.zeros((SIDE // 2, SIDE // 2, 3), np.uint8)
    small[:4, :, 0] = 1
    cv2.imwrite(str(folder / "roi.png"), small)
    assert certify(folder, "roi", "--roi", str(folder / "roi.png")) == 0
    labelled = [int((example(folder, i)[0][:8] != 255).sum()) for i in range(IMAGES)]
    assert metrics_of(folder / "roi")["pixels"] == sum(labelled)


def test_an_image_without_a_pixel_inside_has_empty_cells(folder: Path) -> None:
    roi = write_roi(folder / "roi.png", np.arange(SIDE)[:, np.newaxis] * np.ones(SIDE) >= 2)
    assert certify(folder, "roi", "--roi", str(roi)) == 0
    rows = rows_of(folder / "roi/per_image.csv")
    assert rows[2]["pixels"] == "0"
    assert {value for key, value in rows[2].items() if key not in {"index", "name", "pixels"}} == {
        ""
    }
    assert metrics_of(folder / "roi")["images"] == IMAGES


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "is not a file"),
        (b"", "cannot be decoded"),
        (b"text", "cannot be decoded"),
        (np.zeros((4, 4), np.uint8), "is 0 everywhere; nothing would count"),
        (np.ones((4, 4, 4), np.uint8), "has transparency"),
    ],
)
def test_roi_that_cannot_be_used(
    folder: Path, content: Any, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = folder / "roi.png"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        cv2.imwrite(str(path), content)
    assert certify(folder, "r", "--roi", str(path)) == 2
    assert message in capsys.readouterr().err


def test_roi_that_vanishes_at_the_network(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mask = np.zeros((SIDE * 10, SIDE * 10), np.uint8)
    mask[3, 3] = 255  # at no centre of the network's pixels
    cv2.imwrite(str(folder / "roi.png"), mask)
    assert certify(folder, "r", "--roi", str(folder / "roi.png")) == 2
    assert "is 0 everywhere at the network's size 16x16" in capsys.readouterr().err


def test_targets_are_free(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert certify(folder, "g", "--gamma-accuracy", "0.2", "--gamma-fnr", "0.9") == 0
    q2 = metrics_of(folder / "g")["q2"]
    assert list(q2["accuracy"]) == ["0.2"]
    assert list(q2["fnr"]["road"]) == ["0.9"]
    expected, alone = [], []
    for i in range(IMAGES):
        truth, predicted, radius = example(folder, i)
        known = truth != 255
        costs = np.sort(np.where(predicted == truth, radius, 0)[known])
        count = -(-8 * int(known.sum()) // 10)
        expected.append(math.sqrt((costs[:count] ** 2).sum()))
        alone.append(costs[count - 1])
    assert q2["accuracy"]["0.2"] == pytest.approx(np.mean(expected), rel=1e-6)
    assert q2["pixelwise_accuracy"]["0.2"] == pytest.approx(np.mean(alone), rel=1e-6)
    assert "\n  0.2" in capsys.readouterr().out


@pytest.mark.parametrize("flag", ["--gamma-accuracy", "--gamma-fnr"])
@pytest.mark.parametrize("value", ["1.5", "-0.1", "nan"])
def test_targets_out_of_range(
    folder: Path, flag: str, value: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert certify(folder, "g", flag, value) == 2
    assert "expected a share, 0 to 1" in capsys.readouterr().err


def test_columns_are_known_in_advance(folder: Path) -> None:
    assert certify(folder, "all", "--eps", "0.1") == 0
    for kind in ("images", "masks"):
        for i in (0, 1, 3):
            (folder / kind / f"val/{i}.png").unlink()
    assert certify(folder, "one", "--eps", "0.1") == 0
    every, single = (rows_of(folder / name / "per_image.csv") for name in ("all", "one"))
    assert list(every[0]) == list(single[0])
    assert list(every[0])[:4] == ["index", "name", "pixels", "pixel_accuracy"]
    assert [(row["index"], row["name"]) for row in every] == [
        (str(i), f"{i}.png") for i in range(IMAGES)
    ]
    of_sky = {key: value for key, value in single[0].items() if key.endswith("/sky")}
    assert set(of_sky.values()) == {""}
    assert {"fnr/sky", "worst_iou@0.1/sky", "pixelwise_worst_fnr@0.1/sky"} <= set(of_sky)
    assert {"fnr_budget@0.7/sky", "pixelwise_fnr_budget@0.7/sky"} <= set(of_sky)


def test_pixelwise_figures(folder: Path) -> None:
    assert certify(folder, "p", "--eps", "0.1") == 0
    rows, found = rows_of(folder / "p/per_image.csv"), metrics_of(folder / "p")["eps"]["0.1"]
    hits = unions = 0
    for i in range(IMAGES):
        truth, predicted, radius = example(folder, i)
        known, weak = truth != 255, radius <= 0.1
        road, called = known & (truth == 0), known & (predicted == 0)
        rate = (road & ((predicted != 0) | weak)).sum() / road.sum()
        hit = (road & called & ~weak).sum()
        union = (road | called | (known & weak)).sum()
        assert float(rows[i]["pixelwise_worst_fnr@0.1/road"]) == pytest.approx(rate)
        assert float(rows[i]["pixelwise_worst_iou@0.1/road"]) == pytest.approx(hit / union)
        assert float(rows[i]["pixelwise_worst_iou@0.1/road"]) <= float(
            rows[i]["worst_iou@0.1/road"]
        )
        hits, unions = hits + hit, unions + union
    assert found["pixelwise_worst_iou_dataset"]["road"] == pytest.approx(hits / unions)
    assert found["pixelwise_worst_fnr"]["sky"] >= found["worst_fnr"]["sky"]


def test_curves_are_the_figures_on_a_grid(folder: Path) -> None:
    assert certify(folder, "c", "--eps", "0.2") == 0
    curve = rows_of(folder / "c/curve.csv")
    metrics = metrics_of(folder / "c")
    assert [float(row["eps"]) for row in curve] == pytest.approx(np.linspace(0, 0.4, 41))
    assert certify(folder, "d", *(f"--eps={curve[i]['eps']}" for i in (1, 20, 40))) == 0
    direct = metrics_of(folder / "d")["eps"]
    for i in (1, 20, 40):
        row = direct[curve[i]["eps"]]
        for key in ("crpa", "crs", "pixelwise_crpa", "pixelwise_crs"):
            assert float(curve[i][key]) == row[key]
        for label in CLASSES:
            assert float(curve[i][f"worst_fnr/{label}"]) == row["worst_fnr"][label]
        assert float(curve[i]["clean_pixel_accuracy"]) == metrics["pixel_accuracy"]
        assert float(curve[i]["clean_fnr/sky"]) == metrics["clean"]["fnr"]["sky"]
    crpa, clean = [], []
    for i in range(IMAGES):
        truth, predicted, radius = example(folder, i)
        costs = np.sort(np.where(predicted == truth, radius, 0)[truth != 255]) ** 2
        crpa.append(1 - (np.cumsum(costs) <= 0.2**2).sum() / costs.size)
        sky = truth == 2
        clean += [(predicted[sky] != 2).mean()] if sky.any() else []
    assert float(curve[20]["crpa"]) == pytest.approx(np.mean(crpa))
    assert metrics["clean"]["fnr"]["sky"] == pytest.approx(np.mean(clean))
    assert (folder / "c/curve.png").stat().st_size > 10_000


def test_without_matplotlib_one_line_says_how_to_get_it(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delitem(sys.modules, "lipdeploy.runtime.evaluation.curve_plot", raising=False)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert certify(folder, "c") == 0
    assert 'pip install "lipdeploy[certify]"' in capsys.readouterr().out
    assert not (folder / "c/curve.png").exists()


def test_tables_fit_eleven_classes_and_six_budgets() -> None:
    labels = [f"{name}_symbol" for name in "abcdefghijk"]
    shares = ("crpa", "crs", "pixelwise_crpa", "pixelwise_crs")
    row = dict.fromkeys(shares, 0.5) | {
        key: dict.fromkeys(labels, 0.25) for key in ("worst_fnr", "worst_iou_dataset")
    }
    gammas = {"0.7": 1.0, "0.85": None}
    metrics = {
        "images": 2,
        "pixels": 9,
        "pixel_accuracy": 0.9,
        "miou": None,
        "lipschitz": 1.0,
        "level": "statistical",
        "roi": None,
        "clean": {"iou_dataset": dict.fromkeys(labels, 0.5), "fnr": dict.fromkeys(labels, 0.125)},
        "eps": {str(eps): row for eps in (0.01, 0.025, 0.05, 0.075, 0.1, 0.2)},
        "q2": {"accuracy": gammas, "pixelwise_accuracy": gammas}
        | {"stability50": 1.0, "pixelwise_stability50": 0.5, "fnr": dict.fromkeys(labels, gammas)},
    }
    lines = tables(metrics).splitlines()
    assert max(map(len, lines)) <= WIDTH
    for label in labels:
        assert sum(label in line for line in lines) == 3
    assert sum(line.startswith("0 (clean)") for line in lines) == 5
    assert "mIoU -" in lines[0]


def test_only_the_chosen_tables(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert certify(folder, "m", "--metric", "stability", "--metric", "fnr") == 0
    out = capsys.readouterr().out
    assert "pixelwise CRS" in out
    assert "largest FNR" in out
    assert "CRPA" not in out
    assert "IoU over" not in out
    assert certify(folder, "m", "--metric", "recall") == 2


def test_pictures_of_the_first_images(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[float] = []

    def draw(
        image: np.ndarray, truth: np.ndarray, found: Prediction, manifest: Manifest, eps: float
    ) -> dict[str, np.ndarray]:
        assert image.shape == (*truth.shape, 3) == (*found.mask.shape, 3)
        assert manifest.class_names == CLASSES
        seen.append(eps)
        return dict.fromkeys(("regions", "worst_fnr", "vanishing"), image)

    monkeypatch.setattr(page_writer, "certificate_pictures", draw)
    assert certify(folder, "p", "--eps", "0.1", "--eps", "0.3", "--pictures", "2") == 0
    assert seen == [0.3, 0.3]
    names = sorted(path.name for path in (folder / "p/pictures").iterdir())
    assert len(names) == 6
    assert names[0] == "000000_0_regions.png"
    assert (read(folder / "p/pictures" / names[0]) == read(folder / "images/val/0.png")).all()
