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
from lipdeploy.core.errors import InputError, LipdeployError
from lipdeploy.training.checkpoint import load_checkpoint
from lipdeploy.training.data import Augmentation, Examples
from lipdeploy.training.evaluation import evaluate
from lipdeploy.training.loop import Trainer
from lipdeploy.training.loss import temperature_cross_entropy, temperature_for
from lipdeploy.training.progress import Step
from lipdeploy.training.settings import Settings
from tests.training.toy_data import toy_settings, write_toy_data


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Twelve images of a bright square on dark ground."""
    return write_toy_data(tmp_path)


def run(trainer: Trainer, stop_at: int | None = None) -> list[float]:
    losses: list[float] = []

    def report(step: Step) -> bool:
        losses.append(step.loss)
        return step.step != stop_at

    trainer.run(report)
    return losses


def rows(folder: Path) -> list[dict[str, str]]:
    """Rows of results.csv without the times, which no two runs share."""
    found = list(csv.DictReader((folder / "results.csv").read_text().splitlines()))
    return [{k: v for k, v in row.items() if not k.endswith("_seconds")} for row in found]


EVERYTHING = {
    "accumulate": 2,
    "ema": 0.9,
    "warmup_epochs": 0.5,
    "clip": 0.05,
    "precision": "bf16",
    "optimizer": "manifold-adam",
    "patience": 5,
}


@pytest.mark.parametrize(
    ("stop_at", "options"), [(2, {}), (3, {}), (4, {}), (2, EVERYTHING), (4, EVERYTHING)]
)
def test_resume_continues_exactly(
    data: Path, tmp_path: Path, stop_at: int, options: dict[str, object]
) -> None:
    whole = Trainer(toy_settings(data, tmp_path / "whole", **options), load_dataset(data))
    losses = run(whole)
    first = Trainer(toy_settings(data, tmp_path / "parts", **options), load_dataset(data))
    before = run(first, stop_at)
    second = Trainer(toy_settings(data, tmp_path / "parts", **options), load_dataset(data))
    second.resume(load_checkpoint(tmp_path / "parts/last.pt"))
    assert before + run(second) == losses
    for key, value in whole.network.state_dict().items():
        assert torch.equal(value, second.network.state_dict()[key]), key
    assert rows(tmp_path / "parts") == rows(tmp_path / "whole")
    ends = [load_checkpoint(tmp_path / f"{run}/ckpt.pt") for run in ("whole", "parts")]
    for key, value in ends[0].network.state_dict().items():
        assert torch.equal(value, ends[1].network.state_dict()[key]), key


def test_usage_is_carried_on(data: Path, tmp_path: Path) -> None:
    """Nothing here says how fast it was: only that a resumed run adds to what was used."""
    trainer = Trainer(toy_settings(data, tmp_path / "a"), load_dataset(data))
    run(trainer, 2)
    last = load_checkpoint(tmp_path / "a/last.pt")
    assert last.training["samples"] == 2 * 4
    assert last.training["torch"] == torch.__version__
    last.progress["processor_seconds"], last.progress["wall_seconds"] = 1000.0, 2000.0
    second = Trainer(toy_settings(data, tmp_path / "a"), load_dataset(data))
    second.resume(last)
    run(second)
    end = load_checkpoint(tmp_path / "a/last.pt").training
    assert end["samples"] == 2 * 12
    assert end["processor_seconds"] > 1000
    assert end["wall_seconds"] > 2000


def test_patience_ends_a_run_that_gets_no_better(data: Path, tmp_path: Path) -> None:
    chosen = toy_settings(data, tmp_path / "a", epochs=9, patience=2, learning_rate=1e-12)
    trainer = Trainer(chosen, load_dataset(data))
    trainer.network.eval()
    for module in trainer.network.modules():  # nothing may move, the running means included
        if hasattr(module, "momentum"):
            module.momentum = 0.0
    run(trainer)
    assert trainer.ended_early
    assert len(rows(tmp_path / "a")) == 1 + 2
    again = Trainer(chosen, load_dataset(data))
    again.resume(load_checkpoint(tmp_path / "a/last.pt"))
    assert again.finished
    assert run(again) == []


def test_the_best_epoch_is_kept(data: Path, tmp_path: Path) -> None:
    trainer = Trainer(
        toy_settings(data, tmp_path / "a", epochs=4, fitness="miou"), load_dataset(data)
    )
    run(trainer)
    best = load_checkpoint(tmp_path / "a/ckpt.pt")
    assert best.metrics["miou"] == pytest.approx(
        max(float(row["miou"]) for row in rows(tmp_path / "a")), abs=1e-6
    )


def test_the_average_is_what_is_exported(data: Path, tmp_path: Path) -> None:
    trainer = Trainer(toy_settings(data, tmp_path / "a", ema=0.5), load_dataset(data))
    run(trainer)
    last, best = (load_checkpoint(tmp_path / f"a/{name}.pt") for name in ("last", "ckpt"))
    key = "head.classifier.conv.mixing"
    assert torch.equal(last.network.state_dict()[key], trainer.network.state_dict()[key])
    assert not torch.allclose(
        best.network.state_dict()[key], trainer.network.state_dict()[key], atol=1e-4
    )
    examples = Examples.load(load_dataset(data).pairs("val"), 2, 32, 32)
    again = evaluate(best.network, examples, 3, torch.device("cpu"))
    assert again.record() == pytest.approx(best.metrics, abs=1e-6)


def test_an_unconstrained_network_is_worth_nothing_under_attack(data: Path, tmp_path: Path) -> None:
    trainer = Trainer(
        toy_settings(data, tmp_path / "a", epochs=1, constraint="none"), load_dataset(data)
    )
    run(trainer)
    figures = load_checkpoint(tmp_path / "a/ckpt.pt").metrics
    assert figures["pixel_accuracy"] > 0
    assert {v for k, v in figures.items() if k.startswith(("crpa", "stability"))} == {0.0}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"ema": 1.0}, "ema is 1; expected a finite number 0 or more and below 1"),
        ({"clip": -1.0}, "clip is -1; expected a finite number 0 or more"),
        ({"temperature": float("nan")}, "temperature is nan; expected a finite number above 0"),
        ({"accumulate": 5}, "accumulate is 5 with a batch of 4; expected 1 to 4"),
        ({"fitness": "best"}, "fitness is 'best'; expected one of miou, crpa, sum"),
        ({"precision": "int8"}, "precision is 'int8'; expected one of float32, bf16, fp16"),
        ({"optimizer": "sgd"}, "optimizer is 'sgd'; expected one of adamw, manifold-adam"),
        ({"imgsz": (30, 30)}, "imgsz is 30 30; expected multiples of 4, 32 or more"),
        ({"fitness": "crpa", "constraint": "none"}, "constraint none, which has no certificate"),
    ],
)
def test_settings_out_of_range(
    data: Path, tmp_path: Path, changes: dict[str, object], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        toy_settings(data, tmp_path / "a", **changes)


def test_resume_with_other_settings_is_refused(data: Path, tmp_path: Path) -> None:
    run(Trainer(toy_settings(data, tmp_path / "a"), load_dataset(data)), 1)
    other = Settings(data=data, folder=tmp_path / "a", imgsz=(32, 32), epochs=3, batch=4)
    with pytest.raises(InputError, match="epochs 2 -> 3"):
        Trainer(other, load_dataset(data)).resume(load_checkpoint(tmp_path / "a/last.pt"))
    trainer = Trainer(toy_settings(data, tmp_path / "a"), load_dataset(data))
    with pytest.raises(InputError, match=r"resume from last\.pt"):
        trainer.resume(load_checkpoint(tmp_path / "a/ckpt.pt"))


def test_command_writes_what_it_promises(data: Path, tmp_path: Path) -> None:
    args = ["train", "--data", str(data), "--imgsz", "32", "--epochs", "1", "--batch", "4"]
    args += ["--project", str(tmp_path / "runs"), "--name", "t"]
    assert main(args) == 0
    folder = tmp_path / "runs/t"
    assert set(rows(folder)[0]) >= {
        *("epoch", "loss", "lr", "pixel_accuracy", "miou", "crpa_0.1", "crpa_0.17", "crpa_0.25"),
        *("stability50", "samples"),
    }
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
    assert [temperature_for(eps) for eps in (0.25, 0.1, 0.01)] == [20.0, 50.0, 100.0]


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


def test_resume_on_another_data_set_is_refused(data: Path, tmp_path: Path) -> None:
    first = Trainer(toy_settings(data, tmp_path / "a"), load_dataset(data))
    run(first, 2)
    last = load_checkpoint(tmp_path / "a/last.pt")
    text = data.read_text()
    data.write_text(text.replace("[ground, square]", "[square, ground]"))
    renamed = Trainer(toy_settings(data, tmp_path / "a"), load_dataset(data))
    with pytest.raises(InputError, match="the run had classes ground, square"):
        renamed.resume(last)
    data.write_text(text)
    (tmp_path / "images/train/0.png").unlink()
    smaller = Trainer(toy_settings(data, tmp_path / "a"), load_dataset(data))
    with pytest.raises(InputError, match="the run had 12 training images, the data set has 11"):
        smaller.resume(last)


def test_a_validation_split_without_labels_is_refused(data: Path, tmp_path: Path) -> None:
    for mask in (tmp_path / "masks/val").iterdir():
        cv2.imwrite(str(mask), np.full((32, 32), 255, np.uint8))
    trainer = Trainer(toy_settings(data, tmp_path / "a"), load_dataset(data))
    with pytest.raises(InputError, match="no pixel of the validation split is labelled"):
        run(trainer)


def test_weights_that_are_no_numbers_do_not_replace_the_checkpoint(
    data: Path, tmp_path: Path
) -> None:
    trainer = Trainer(toy_settings(data, tmp_path / "a", ema=0.0), load_dataset(data))
    run(trainer, 3)
    before = (tmp_path / "a/last.pt").read_bytes()
    with torch.no_grad():
        next(trainer.network.parameters()).fill_(torch.nan)
    with pytest.raises(LipdeployError, match="lower --lr"):
        trainer._finish_epoch(1)
    assert (tmp_path / "a/last.pt").read_bytes() == before
