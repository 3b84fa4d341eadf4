"""`lipdeploy attack`: the bracket holds, and a refuted certificate is told."""

import csv
from pathlib import Path

import cv2
import numpy as np
import pytest

from lipdeploy.cli import main
from lipdeploy.training.checkpoint import Checkpoint, save_checkpoint
from tests.export.conftest import trained_like


@pytest.fixture
def arguments(tmp_path: Path) -> list[str]:
    """A command that attacks two random images of two classes with a size-S network."""
    rng = np.random.default_rng(0)
    for kind in ("images/val", "masks/val"):
        (tmp_path / kind).mkdir(parents=True)
    for i in range(2):
        image = rng.integers(0, 256, (32, 32, 3), np.uint8)
        cv2.imwrite(str(tmp_path / f"images/val/{i}.png"), image)
        cv2.imwrite(str(tmp_path / f"masks/val/{i}.png"), rng.integers(0, 2, (32, 32), np.uint8))
    data = tmp_path / "data.yaml"
    data.write_text("train: images/val\nval: images/val\nmasks_dir: masks\nnames: [a, b]\n")
    network = trained_like(2)
    save_checkpoint(Checkpoint(network, ("a", "b"), (32, 32), {}, {}, {}), tmp_path / "c.pt")
    command = ["attack", str(tmp_path / "c.pt"), "--data", str(data), "--steps", "8"]
    return [*command, "--eps", "0.5", "--project", str(tmp_path), "--name", "a"]


def test_certified_attacked_clean(arguments: list[str], tmp_path: Path) -> None:
    assert main(arguments) == 0
    rows = list(csv.DictReader((tmp_path / "a/per_image.csv").read_text().splitlines()))
    assert [row["name"] for row in rows] == ["0.png", "1.png"]
    for row in rows:
        assert float(row["certified"]) <= float(row["attacked"]) <= float(row["clean"])
    assert any(float(row["attacked"]) < float(row["clean"]) for row in rows)


def test_an_attack_below_the_certificate_ends_with_three(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With radii a thousand times too large the certificate is wrong, and the attack shows it."""
    right = "lipdeploy.export.bracket.radius_from_margin"
    monkeypatch.setattr(right, lambda margin, _: margin * 1000)
    assert main(arguments) == 3
    assert "is below certified" in capsys.readouterr().err
