"""`lipdeploy train --sweep` as a whole: two real runs, and what is refused."""

import csv
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import click
import cv2
import numpy as np
import pytest

from lipdeploy.cli import train
from lipdeploy.cli.train_sweep import SweepCommand
from lipdeploy.core.errors import InputError, LipdeployError
from lipdeploy.training.checkpoint import load_checkpoint
from lipdeploy.training.sweep import Run
from lipdeploy.training.sweep_process import TrainProcesses
from lipdeploy.training.sweep_record import record_run

OWN = {"sweep", "jobs"}


def sweep(*args: object) -> int:
    """The command as the command line calls it."""
    given = train.command
    params = [param for param in given.params if param.name not in OWN]
    command = SweepCommand("train", params=params, callback=given.callback)
    return int(command.main(list(map(str, args)), standalone_mode=False) or 0)


def write_dataset(folder: Path) -> Path:
    rng = np.random.default_rng(0)
    for split, count in (("train", 4), ("val", 2)):
        for kind in ("images", "masks"):
            (folder / kind / split).mkdir(parents=True)
        for i in range(count):
            mask = (rng.random((32, 32)) < 0.4).astype(np.uint8)
            image = np.repeat(mask[..., None] * 150 + 50, 3, 2).astype(np.uint8)
            cv2.imwrite(str(folder / f"images/{split}/{i}.png"), image)
            cv2.imwrite(str(folder / f"masks/{split}/{i}.png"), mask)
    source = folder / "data.yaml"
    source.write_text(
        "path: .\ntrain: images/train\nval: images/val\nmasks_dir: masks\nnames: [ground, square]\n"
    )
    return source


def best_of(results: Path) -> list[dict[str, str]]:
    with results.open() as file:
        return list(csv.DictReader(file))


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Four images of noise to train on, two to validate."""
    return write_dataset(tmp_path / "data")


def options(data: Path, tmp_path: Path) -> list[object]:
    small = ["--imgsz", 32, "--epochs", 1, "--batch", 2, "--device", "cpu", "--rotate", 0]
    return ["--data", data, *small, "--project", tmp_path / "runs", "--name", "curve"]


def test_two_real_runs_side_by_side_and_again(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    args = [*options(data, tmp_path), "--sweep", "tau=5,80", "--jobs", 2]
    assert sweep(*args) == 0
    folder = tmp_path / "runs/curve"
    rows = best_of(folder / "sweep.csv")
    assert [row["run"] for row in rows] == ["tau=5", "tau=80"]
    for row in rows:
        checkpoint = load_checkpoint(folder / row["run"] / "ckpt.pt")
        assert checkpoint.training["temperature"] == float(row["tau"])
        assert checkpoint.training["rotate_degrees"] == 0
        assert float(row["miou"]) == pytest.approx(checkpoint.metrics["miou"], abs=1e-6)
        assert int(row["parameters"]) == sum(p.numel() for p in checkpoint.network.parameters())
        assert "--threads" not in (folder / row["run"] / "sweep_run.json").read_text()
    assert (folder / "sweep.png").exists() == ("stability50" in rows[0])
    stamps = {path: path.stat().st_mtime_ns for path in folder.glob("*/*.pt")}
    assert len(stamps) == 4
    capsys.readouterr()
    assert sweep(*args) == 0
    assert stamps == {path: path.stat().st_mtime_ns for path in folder.glob("*/*.pt")}
    assert capsys.readouterr().out.count("done before") == 2


def test_a_run_that_fails_is_told(data: Path, tmp_path: Path) -> None:
    """40 is no multiple of the stride that 32 is not refused for."""
    args = [*options(data, tmp_path), "--sweep", "imgsz=32,33"]
    with pytest.raises(LipdeployError, match="1 of 2 runs failed: imgsz=33"):
        sweep(*args)
    log = tmp_path / "runs/curve/imgsz=33/train.log"
    assert "expected multiples of" in log.read_text()
    rows = best_of(tmp_path / "runs/curve/sweep.csv")
    assert [row["state"] for row in rows] == ["done", "failed"]


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("tua=5", InputError, "'tua'; expected one of: accumulate, arch, batch"),
        ("data=x", InputError, "expected one of"),
        ("name=x", InputError, "expected one of"),
        ("threads=1,2", InputError, "expected one of"),
        ("tau=5,-1", click.BadParameter, "not in the range"),
        ("arch=deeplabv3,resnet", click.BadParameter, "resnet"),
    ],
)
def test_what_cannot_be_swept_is_refused_before_training(
    data: Path, tmp_path: Path, text: str, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        sweep(*options(data, tmp_path), "--sweep", text)
    assert not (tmp_path / "runs/curve").exists()


def test_a_folder_with_a_single_run_is_refused(data: Path, tmp_path: Path) -> None:
    folder = tmp_path / "runs/curve"
    folder.mkdir(parents=True)
    (folder / "last.pt").touch()
    with pytest.raises(InputError, match="holds a single run"):
        sweep(*options(data, tmp_path), "--sweep", "tau=5")


def test_a_stop_is_saved_and_the_run_goes_on(data: Path, tmp_path: Path) -> None:
    """Stopped after its first epochs of 500; the second stop is of a run that was resumed."""
    arguments = ("--data", str(data), "--imgsz", "32", "--epochs", "500", "--batch", "2")
    run = Run({"tau": "5"}, tmp_path / "tau=5", arguments)
    steps = [0]
    for _ in range(2):
        processes = TrainProcesses(("--threads", "1"))
        with ThreadPoolExecutor(1) as pool:
            code = pool.submit(processes, run)
            results = run.folder / "results.csv"
            before = len(best_of(results)) if results.exists() else 0
            while not code.done() and not (results.exists() and len(best_of(results)) > before + 1):
                time.sleep(0.05)
            processes.stop()
            assert code.result() == 0, (run.folder / "train.log").read_text()
        steps.append(int(load_checkpoint(run.folder / "last.pt").progress["step"]))
        assert record_run(run) is None
    assert 0 < steps[1] < steps[2] < 1000


def test_without_a_sweep_it_is_the_command_itself(data: Path, tmp_path: Path) -> None:
    assert sweep(*options(data, tmp_path), "--tau", 7, "--threads", 1) == 0
    assert load_checkpoint(tmp_path / "runs/curve/ckpt.pt").training["temperature"] == 7
