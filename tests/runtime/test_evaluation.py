"""`certify` on a tiny model: every figure against a direct computation from the contract."""

import csv
import json
import math
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest

from lipdeploy.cli import main
from tests.runtime.conftest import save_tiny, tiny_manifest, tiny_model
from tests.runtime.labelled import write_data, write_model

EPS = (0.05, 0.4)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Three random 16x16 images; the third has no pixel of the last class and some ignored."""
    return write_data(tmp_path, 3)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_model(tmp_path)


def flips(radii: np.ndarray, eps: float) -> int:
    """Cheapest first, one by one."""
    left, count = eps * eps, 0
    for cost in sorted(float(r) ** 2 for r in radii.ravel()):
        left -= cost
        if left < 0:
            break
        count += 1
    return count


def images(folder: Path) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """(truth, predicted, radius) of the tiny model, computed here."""
    found = []
    for i in range(3):
        image = cv2.imread(str(folder / f"images/val/{i}.png"))
        assert image is not None
        scores = np.sort(image[..., ::-1].astype(np.float64) / 255, axis=-1)
        truth = cv2.imread(str(folder / f"masks/val/{i}.png"), cv2.IMREAD_UNCHANGED)
        radius = (scores[..., 2] - scores[..., 1]) / math.sqrt(2)
        found.append((np.asarray(truth), image[..., ::-1].argmax(-1), radius))
    return found


def test_metrics_follow_the_contract(data: Path, model: Path, tmp_path: Path) -> None:
    args = ["certify", str(model), "--data", str(data), "--project", str(tmp_path), "--name", "c"]
    assert main([*args, "--eps", str(EPS[1]), "--eps", str(EPS[0])]) == 0
    metrics = json.loads((tmp_path / "c/metrics.json").read_text())
    assert metrics["images"] == 3
    assert metrics["pixels"] == 256 + 256 + 224
    assert list(metrics["eps"]) == [str(e) for e in EPS]
    for eps in EPS:
        crpa, crs, fnr = [], [], []
        for truth, predicted, radius in images(tmp_path):
            known = truth != 255
            right = np.where(predicted == truth, radius, 0.0)
            crpa.append(1 - flips(right[known], eps) / known.sum())
            crs.append(1 - flips(radius[known], eps) / known.sum())
            last = truth == 2
            if last.any():
                fnr.append(flips(right[last], eps) / last.sum())
        row = metrics["eps"][str(eps)]
        assert row["crpa"] == pytest.approx(np.mean(crpa), abs=0.005)
        assert row["crs"] == pytest.approx(np.mean(crs), abs=0.005)
        assert row["worst_fnr"]["sky"] == pytest.approx(np.mean(fnr), abs=0.02)
        assert row["worst_iou_dataset"]["sky"] <= row["worst_iou"]["sky"] + 0.2
    rows = list(csv.DictReader((tmp_path / "c/per_image.csv").read_text().splitlines()))
    assert [row["name"] for row in rows] == ["0.png", "1.png", "2.png"]
    assert rows[2]["worst_fnr@0.4/sky"] == ""
    assert float(rows[0]["crpa@0.05"]) >= float(rows[0]["crpa@0.4"])


def test_classes_must_be_the_same(
    data: Path, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data.write_text(data.read_text().replace("sky", "sea"))
    assert main(["certify", str(model), "--data", str(data), "--project", str(tmp_path)]) == 2
    assert "must be the same" in capsys.readouterr().err


@pytest.mark.parametrize("eps", ["-1", "nan", "inf"])
def test_budgets_out_of_range(
    data: Path, model: Path, eps: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["certify", str(model), "--data", str(data), "--eps", eps]) == 2
    assert "expected a finite number" in capsys.readouterr().err


def test_level_none_is_refused(data: Path, tmp_path: Path) -> None:
    path = save_tiny(tmp_path / "none.onnx", tiny_manifest(16, 16, level="none"))
    args = ["certify", str(path), "--data", str(data), "--project", str(tmp_path)]
    assert main(args) == 3
    assert main([*args, "--unverified"]) == 0


def test_unverified_certifies_nothing(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """No record, and radii a thousand times too large: no figure may come from them."""
    path = tmp_path / "boast.onnx"
    onnx.save_model(tiny_model(tiny_manifest(16, 16), scale=1000.0), str(path))
    args = ["certify", str(path), "--data", str(data), "--project", str(tmp_path), "--name", "u"]
    assert main([*args, "--eps", "0.5", "--unverified", "--pictures", "1"]) == 0
    assert "nothing is claimed" in capsys.readouterr().out
    metrics = json.loads((tmp_path / "u/metrics.json").read_text())
    assert (metrics["level"], metrics["lipschitz"]) == ("none", None)
    row = metrics["eps"]["0.5"]
    assert row["crpa"] == row["crs"] == row["pixelwise_crs"] == 0
    assert set(row["worst_fnr"].values()) == {1.0}
    assert metrics["q2"]["stability50"] == 0
    assert metrics["pixel_accuracy"] > 0


def test_what_an_earlier_run_drew_goes(data: Path, model: Path, tmp_path: Path) -> None:
    args = ["certify", str(model), "--data", str(data), "--project", str(tmp_path), "--name", "r"]
    assert main([*args, "--pictures", "3"]) == 0
    assert len(list((tmp_path / "r/pictures").glob("*.png"))) == 9
    assert main([*args, "--pictures", "1"]) == 0
    assert len(list((tmp_path / "r/pictures").glob("*.png"))) == 3
    assert not list((tmp_path / "r").glob("records*"))


def test_shards_merge_to_the_figures_of_one_run(data: Path, model: Path, tmp_path: Path) -> None:
    args = ["certify", str(model), "--data", str(data), "--project", str(tmp_path)]
    assert main([*args, "--name", "whole"]) == 0
    for i in (2, 1):
        assert main([*args, "--name", "parts", "--shard", f"{i}/2"]) == 0
    merge = ["certify", "--merge", "--project", str(tmp_path), "--name", "parts"]
    assert main(merge) == 0
    for name in ("metrics.json", "per_image.csv"):
        assert (tmp_path / "whole" / name).read_text() == (tmp_path / "parts" / name).read_text()


def test_shards_that_do_not_make_a_whole(
    data: Path, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    args = ["certify", str(model), "--data", str(data), "--project", str(tmp_path), "--name", "p"]
    merge = ["certify", "--merge", "--project", str(tmp_path), "--name", "p"]
    assert main(merge) == 2
    assert main([*args, "--shard", "1/3"]) == 0
    assert main(merge) == 2
    assert "missing shard-000002-of-000003.jsonl.gz" in capsys.readouterr().err
    assert main([*args, "--shard", "4/3"]) == 2
    assert main([*args[:1], "--name", "p"]) == 2
    (tmp_path / "p/shard-000001-of-000003.jsonl.gz").write_text("{")
    assert main([*args, "--shard", "2/3"]) == 0
    assert main([*args, "--shard", "3/3"]) == 0
    assert main(merge) == 2
    assert "not a whole shard" in capsys.readouterr().err
