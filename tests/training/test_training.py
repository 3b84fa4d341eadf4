"""The loop: exact resume, files, refusals, Ctrl-C."""

import csv
import pickle
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from lipdeploy.cli import main
from lipdeploy.core.dataset import load_dataset
from lipdeploy.core.errors import InputError
from lipdeploy.training.checkpoint import load_checkpoint
from lipdeploy.training.data import Augmentation, Examples
from lipdeploy.training.loop import Trainer
from lipdeploy.training.loss import temperature_cross_entropy, temperature_for
from lipdeploy.training.progress import Step
from lipdeploy.training.settings import Settings


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Twelve images of a bright square on dark ground."""
    rng = np.random.default_rng(0)
    for split, count in (("train", 12), ("val", 3)):
        for kind in ("images", "masks"):
            (tmp_path / kind / split).mkdir(parents=True)
        for i in range(count):
            mask = np.zeros((32, 32), np.uint8)
            y, x = rng.integers(0, 20, 2)
            mask[y : y + 12, x : x + 12] = 1
            image = np.repeat(mask[..., None] * 150 + 50, 3, 2).astype(np.uint8)
            cv2.imwrite(str(tmp_path / f"images/{split}/{i}.png"), image)
            cv2.imwrite(str(tmp_path / f"masks/{split}/{i}.png"), mask)
    source = tmp_path / "data.yaml"
    source.write_text(
        "path: .\ntrain: images/train\nval: images/val\nmasks_dir: masks\nnames: [ground, square]\n"
    )
    return source


def settings(data: Path, folder: Path) -> Settings:
    folder.mkdir(exist_ok=True)
    return Settings(data=data, folder=folder, imgsz=(32, 32), epochs=2, batch=4)


def run(trainer: Trainer, stop_at: int | None = None) -> list[float]:
    losses: list[float] = []

    def report(step: Step) -> bool:
        losses.append(step.loss)
        return step.step != stop_at

    trainer.run(report)
    return losses


@pytest.mark.parametrize("stop_at", [2, 3, 4])
def test_resume_continues_exactly(data: Path, tmp_path: Path, stop_at: int) -> None:
    whole = Trainer(settings(data, tmp_path / "whole"), load_dataset(data))
    losses = run(whole)
    first = Trainer(settings(data, tmp_path / "parts"), load_dataset(data))
    before = run(first, stop_at)
    second = Trainer(settings(data, tmp_path / "parts"), load_dataset(data))
    second.resume(load_checkpoint(tmp_path / "parts/last.pt"))
    assert before + run(second) == losses
    for key, value in whole.network.state_dict().items():
        assert torch.equal(value, second.network.state_dict()[key]), key
    assert (tmp_path / "parts/results.csv").read_text() == (
        tmp_path / "whole/results.csv"
    ).read_text()


def test_resume_with_other_settings_is_refused(data: Path, tmp_path: Path) -> None:
    run(Trainer(settings(data, tmp_path / "a"), load_dataset(data)), 1)
    other = Settings(data=data, folder=tmp_path / "a", imgsz=(32, 32), epochs=3, batch=4)
    with pytest.raises(InputError, match="epochs 2 -> 3"):
        Trainer(other, load_dataset(data)).resume(load_checkpoint(tmp_path / "a/last.pt"))
    trainer = Trainer(settings(data, tmp_path / "a"), load_dataset(data))
    with pytest.raises(InputError, match=r"resume from last\.pt"):
        trainer.resume(load_checkpoint(tmp_path / "a/ckpt.pt"))


def test_command_writes_what_it_promises(data: Path, tmp_path: Path) -> None:
    args = ["train", "--data", str(data), "--imgsz", "32", "--epochs", "1", "--batch", "4"]
    args += ["--project", str(tmp_path / "runs"), "--name", "t"]
    assert main(args) == 0
    folder = tmp_path / "runs/t"
    rows = list(csv.DictReader((folder / "results.csv").read_text().splitlines()))
    assert set(rows[0]) >= {"epoch", "loss", "miou", "crpa_0.1", "crpa_0.25"}
    assert cv2.imread(str(folder / "results.png")) is not None
    record = torch.load(folder / "ckpt.pt", weights_only=True)
    assert record["class_names"] == ["ground", "square"]
    assert main(args) == 2  # the run is there already
    assert main([*args, "--resume"]) == 0


def test_interrupt_keeps_the_checkpoint(data: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "lipdeploy", "train", "--data", str(data), "--imgsz", "32"]
    command += ["--epochs", "500", "--batch", "4", "--project", str(tmp_path), "--name", "t"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 120
    while not (tmp_path / "t/last.pt").exists() and time.monotonic() < deadline:
        time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert "continue with --resume" in out
    assert load_checkpoint(tmp_path / "t/last.pt").progress["step"] > 0


class Bomb:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return exec, ("raise SystemExit('the bomb went off')",)


@pytest.mark.parametrize("content", [pickle.dumps(Bomb()), b"", b"not a checkpoint"])
def test_foreign_checkpoints_run_no_code(
    content: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "bomb.pt"
    path.write_bytes(content)
    assert main(["export", str(path), str(tmp_path / "m.onnx")]) == 2
    err = capsys.readouterr().err
    assert "is refused" in err
    assert "Traceback" not in err


def test_zipped_pickle_bomb_and_wrong_schema(tmp_path: Path) -> None:
    torch.save({"schema": 1, "model": Bomb()}, tmp_path / "a.pt")
    torch.save({"weights": torch.zeros(1)}, tmp_path / "b.pt")
    with pytest.raises(InputError, match="is refused"):
        load_checkpoint(tmp_path / "a.pt")
    with pytest.raises(InputError, match="not a lipdeploy checkpoint"):
        load_checkpoint(tmp_path / "b.pt")


def test_bad_masks_end_the_command_with_two(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cv2.imwrite(str(tmp_path / "masks/train/0.png"), np.full((32, 32), 9, np.uint8))
    assert main(["train", "--data", str(data), "--imgsz", "32", "--project", str(tmp_path)]) == 2
    assert "class id 9; expected 0..1 or 255" in capsys.readouterr().err


def test_cross_entropy_ignores_255_and_divides_by_the_temperature() -> None:
    torch.manual_seed(0)
    logits, labels = torch.randn(1, 3, 2, 2), torch.tensor([[[0, 1], [2, 255]]])
    rows = torch.log_softmax(7.0 * logits[0].double(), 0)
    expected = -(rows[0, 0, 0] + rows[1, 0, 1] + rows[2, 1, 0]) / 3 / 7.0
    assert float(temperature_cross_entropy(logits, labels, 7.0)) == pytest.approx(float(expected))


@pytest.mark.parametrize("eps", ["nan", "inf", "-1", "0"])
def test_target_budgets_out_of_range(data: Path, tmp_path: Path, eps: str) -> None:
    args = ["train", "--data", str(data), "--imgsz", "32", "--project", str(tmp_path)]
    assert main([*args, "--eps", eps]) == 2


def test_temperature_follows_the_target_budget() -> None:
    assert [temperature_for(eps) for eps in (0.25, 0.1, 0.01)] == [40.0, 100.0, 100.0]


def test_augmentation_moves_image_and_mask_alike() -> None:
    y, x = np.mgrid[0:64, 0:64]
    mask = ((y - 30) ** 2 + (x - 20) ** 2 < 150).astype(np.uint8)
    image = np.repeat(mask[..., None] * 255, 3, 2).astype(np.uint8)
    for seed in range(20):
        warp = Augmentation(flip_vertical=0.5, rotate_degrees=90)
        moved, labels = warp(image, mask, np.random.default_rng(seed))
        known = labels != 255
        agree = (moved[..., 0] > 127)[known] == (labels == 1)[known]
        assert agree.mean() > 0.97


def test_examples_refuse_a_mask_of_another_size(data: Path, tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "masks/train/0.png"), np.zeros((8, 8), np.uint8))
    with pytest.raises(InputError, match="8x8, its image 32x32"):
        Examples.load(load_dataset(data).pairs("train"), 2, 32, 32)
