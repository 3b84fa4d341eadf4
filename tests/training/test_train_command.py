"""`lipdeploy train`: its options, event files and what a stranger reads."""

from __future__ import annotations

import signal
import sys
from pathlib import Path

import click
import pytest
import yaml

from lipdeploy.cli import main
from lipdeploy.cli.train import command
from lipdeploy.training.settings import Settings
from tests.training.toy_data import write_toy_data


@pytest.fixture
def args(tmp_path: Path) -> list[str]:
    data = write_toy_data(tmp_path, train=4, val=2)
    where = ["--data", str(data), "--project", str(tmp_path), "--name", "t"]
    return ["train", *where, "--imgsz", "32", "--epochs", "2", "--batch", "2"]


def test_every_setting_can_be_chosen_and_is_recorded(args: list[str], tmp_path: Path) -> None:
    chosen = {
        "accumulate": ("--accumulate", 2),
        "optimizer": ("--optimizer", "manifold-adam"),
        "learning_rate": ("--lr", 0.002),
        "warmup_epochs": ("--warmup", 0.5),
        "weight_decay": ("--weight-decay", 0.01),
        "clip": ("--clip", 1.5),
        "ema": ("--ema", 0.5),
        "precision": ("--precision", "bf16"),
        "fitness": ("--fitness", "crpa"),
        "patience": ("--patience", 7),
        "seed": ("--seed", 3),
        "temperature": ("--tau", 20.0),
        "eps": ("--eps", 0.5),
        "rotate_degrees": ("--rotate", 5.0),
        "vertical_flip": ("--vertical-flip", 0.5),
        "class_weights": ("--class-weights", "median-frequency"),
        "loss": ("--loss", "certificate"),
    }
    extra = [str(word) for pair in chosen.values() for word in pair]
    assert main([*args, *extra]) == 0
    recorded = yaml.safe_load((tmp_path / "t/args.yaml").read_text())
    assert {key: recorded[key] for key in chosen} == {k: value for k, (_, value) in chosen.items()}
    assert set(recorded) == set(vars(Settings)["__dataclass_fields__"]) - {
        *("folder", "device", "workers", "cache", "tensorboard")
    }


def test_help_lists_every_option_once_under_a_heading(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "--help"]) == 0
    told = capsys.readouterr().out
    names = [option.opts[0] for option in command.params if isinstance(option, click.Option)]
    assert len(names) > 25
    for name in [*names, "--help"]:
        assert told.count(f"\n  {name} ") == 1, name
    assert "Optimisation:" in told
    assert "torchrun" in told


def test_signals_are_given_back(args: list[str]) -> None:
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = [signal.getsignal(number) for number in numbers]
    assert main([*args, "--epochs", "1"]) == 0
    assert [signal.getsignal(number) for number in numbers] == before


def test_early_stop_is_told(args: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    fixed = ["--epochs", "40", "--patience", "1", "--lr", "1e-12"]
    assert main([*args, *fixed]) == 0
    assert "No better sum for 1 epochs: ended early." in capsys.readouterr().out


def test_event_files_hold_every_loss_and_figure(args: list[str], tmp_path: Path) -> None:
    events = pytest.importorskip(
        "tensorboard.backend.event_processing.event_accumulator",
        reason='tensorboard is not installed: pip install "lipdeploy[tensorboard]"',
    )
    assert main([*args, "--tensorboard"]) == 0
    read = events.EventAccumulator(str(tmp_path / "t"))
    read.Reload()
    assert [event.step for event in read.Scalars("train/loss")] == [1, 2, 3, 4]
    assert [event.step for event in read.Scalars("val/miou")] == [2, 4]
    header, *rows = (tmp_path / "t/results.csv").read_text().splitlines()
    column = header.split(",").index("miou")
    written = [float(row.split(",")[column]) for row in rows]
    assert [event.value for event in read.Scalars("val/miou")] == pytest.approx(written, abs=1e-5)


def test_without_tensorboard_one_line_says_what_to_install(
    args: list[str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in [
        m for m in sys.modules if m.startswith(("tensorboard", "torch.utils.tensorboard"))
    ]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delitem(sys.modules, "lipdeploy.training.event_file", raising=False)
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    assert main([*args, "--tensorboard"]) == 2
    told = capsys.readouterr().err
    assert 'needs tensorboard, which is not installed: pip install "lipdeploy[tensorboard]"' in told
    assert not (tmp_path / "t").exists()


@pytest.mark.parametrize(
    ("extra", "code", "message"),
    [
        (["--precision", "fp16", "--device", "cpu"], 6, "--precision fp16 needs a GPU"),
        (["--accumulate", "3"], 2, "accumulate is 3 with a batch of 2"),
        (["--ema", "1"], 2, "'--ema'"),
        (["--fitness", "crpa", "--constraint", "none"], 2, "has no certificate"),
    ],
)
def test_refusals(
    args: list[str], extra: list[str], code: int, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*args, *extra]) == code
    assert message in capsys.readouterr().err
