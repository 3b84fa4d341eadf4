"""Sweeps: what is asked for, what runs, what is kept, what it draws."""

import threading
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from lipdeploy.core.errors import InputError
from lipdeploy.training.checkpoint import Checkpoint, save_checkpoint
from lipdeploy.training.frontier_plot import draw_frontiers
from lipdeploy.training.layers.unit import Constraint
from lipdeploy.training.network import NetworkConfig, build_network
from lipdeploy.training.sweep import Axis, Run, parse_axes, points, run_name
from lipdeploy.training.sweep_process import TrainProcesses
from lipdeploy.training.sweep_record import Row, finished_row, read_table, write_table
from lipdeploy.training.sweep_run import Outcome, outcomes

EPOCHS = 2


def trained(folder: Path, epochs: int, miou: float, constraint: Constraint = "orthogonal") -> int:
    """What `lipdeploy train` leaves after `epochs` of `EPOCHS`, and its exit code."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = [f"{epoch + 1},0.5" for epoch in range(epochs)]
    (folder / "results.csv").write_text("\n".join(["epoch,loss", *rows]) + "\n")
    network = build_network(NetworkConfig(2, constraint=constraint))
    metrics = {"miou": miou, "crpa_0.1": 0.5, "stability50": 0.3}
    settings = {"epochs": EPOCHS, "processor_seconds": 12.34}
    for name, progress in (("last.pt", {"step": epochs}), ("ckpt.pt", {})):
        checkpoint = Checkpoint(network, ("a", "b"), (32, 32), settings, metrics, dict(progress))
        save_checkpoint(checkpoint, folder / name)
    return 0


class StubLaunch:
    """Stands for the processes; counts what it was asked to train."""

    def __init__(self, train: Callable[[Run], int]) -> None:
        self.train, self.launched = train, list[str]()

    def __call__(self, run: Run) -> int:
        self.launched.append(run.folder.name)
        return self.train(run)


def runs_in(folder: Path, *texts: str, arguments: tuple[str, ...] = ("--epochs", "2")) -> list[Run]:
    return [
        Run(point, folder / run_name(point), (*arguments, *point.values()))
        for point in points(parse_axes(texts))
    ]


def all_of(runs: list[Run], launch: StubLaunch, jobs: int = 1) -> dict[str, Outcome]:
    return {o.run.folder.name: o for o in outcomes(runs, launch, jobs, lambda: False)}


def test_axes_multiply_and_the_last_runs_fastest() -> None:
    axes = parse_axes(["loss=hkr,cosine", "tau=5, 1e1"])
    assert axes == (Axis("loss", ("hkr", "cosine")), Axis("tau", ("5", "1e1")))
    assert [run_name(point) for point in points(axes)] == [
        "loss=hkr,tau=5",
        "loss=hkr,tau=1e1",
        "loss=cosine,tau=5",
        "loss=cosine,tau=1e1",
    ]


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (["tau"], "expected OPTION=VALUE"),
        (["tau="], "expected OPTION=VALUE"),
        (["=5"], "expected OPTION=VALUE"),
        (["--tau=5"], "expected OPTION=VALUE"),
        (["tau=5,,6"], "expected OPTION=VALUE"),
        (["data=../x"], "letters, digits"),
        (["tau=5,5"], "names a value twice"),
        (["tau=5", "tau=6"], "given twice"),
    ],
)
def test_axes_that_are_refused(texts: list[str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        parse_axes(texts)


def test_finished_runs_are_kept_and_stopped_ones_go_on(tmp_path: Path) -> None:
    runs = runs_in(tmp_path, "tau=5,10")

    def half(run: Run) -> int:
        trained(run.folder, EPOCHS if run.point["tau"] == "5" else 1, 0.7)
        return 0

    first = StubLaunch(half)
    before = all_of(runs, first)
    assert first.launched == ["tau=5", "tau=10"]
    assert before["tau=5"].row["state"] == "done"
    assert before["tau=5"].row["miou"] == "0.700000"
    assert before["tau=5"].row["processor_seconds"] == "12.3"
    assert before["tau=10"].row == {"tau": "10", "run": "tau=10", "state": "stopped"}

    def whole(run: Run) -> int:
        trained(run.folder, EPOCHS, 0.8)
        return 0

    second = StubLaunch(whole)
    after = all_of(runs, second)
    assert second.launched == ["tau=10"]
    assert after["tau=5"].skipped
    assert after["tau=5"].row == before["tau=5"].row
    assert after["tau=10"].row["miou"] == "0.800000"


def test_a_failure_leaves_the_others_alone(tmp_path: Path) -> None:
    def train(run: Run) -> int:
        if run.point["tau"] == "5":
            return 7
        if run.point["tau"] == "10":  # ends well and leaves nothing that can be read
            run.folder.mkdir()
            (run.folder / "results.csv").write_text("epoch,loss\n2,0.1\n")
            return 0
        trained(run.folder, EPOCHS, 0.6)
        return 0

    ended = all_of(runs_in(tmp_path, "tau=5,10,20"), StubLaunch(train), jobs=2)
    assert [ended[f"tau={t}"].row["state"] for t in (5, 10, 20)] == ["failed", "failed", "done"]
    assert ended["tau=5"].reason == "exit code 7"
    assert "last.pt" in ended["tau=10"].reason
    assert finished_row(runs_in(tmp_path, "tau=5")[0]) is None


def test_jobs_run_side_by_side(tmp_path: Path) -> None:
    meeting = threading.Barrier(3, timeout=60)

    def train(run: Run) -> int:
        meeting.wait()
        trained(run.folder, EPOCHS, 0.6)
        return 0

    ended = all_of(runs_in(tmp_path, "tau=5,10,20"), StubLaunch(train), jobs=3)
    assert {outcome.row["state"] for outcome in ended.values()} == {"done"}


def test_other_options_are_refused_before_anything_trains(tmp_path: Path) -> None:
    launch = StubLaunch(lambda run: trained(run.folder, EPOCHS, 0.6))
    all_of(runs_in(tmp_path, "tau=10"), launch)
    other = runs_in(tmp_path, "tau=5,10", arguments=("--epochs", "3"))
    with pytest.raises(InputError, match=r"was trained with --epochs 2 10, not --epochs 3 10"):
        all_of(other, launch)
    assert launch.launched == ["tau=10"]


def test_nothing_starts_after_a_stop(tmp_path: Path) -> None:
    launch = StubLaunch(lambda run: trained(run.folder, 1, 0.6))
    runs = runs_in(tmp_path, "tau=5,10,20")
    ended = list(outcomes(runs, launch, 1, lambda: bool(launch.launched)))
    assert launch.launched == ["tau=5"]
    assert [outcome.row["state"] for outcome in ended] == ["stopped"] * 3


def test_an_unconstrained_network_has_no_robust_figures(tmp_path: Path) -> None:
    launch = StubLaunch(lambda run: trained(run.folder, EPOCHS, 0.9, "none"))
    row = all_of(runs_in(tmp_path, "constraint=none"), launch)["constraint=none"].row
    assert row["miou"] == "0.900000"
    assert "crpa_0.1" not in row
    assert "stability50" not in row


def test_no_process_starts_after_a_stop(tmp_path: Path) -> None:
    processes = TrainProcesses()
    run = Run({"tau": "5"}, tmp_path / "tau=5", ("--help",))
    assert processes(run) == 0
    assert "--epochs" in (run.folder / "train.log").read_text()
    processes.stop()
    assert processes.stopped()
    (run.folder / "train.log").unlink()
    assert processes(run) == 0
    assert (run.folder / "train.log").read_text() == ""


def fake_rows(loss: str, shift: float) -> list[Row]:
    return [
        {
            "loss": loss,
            "tau": str(tau),
            "run": f"loss={loss},tau={tau}",
            "miou": str(0.6 + shift + 0.08 * np.log(tau / 5)),
            "stability50": str(1.5 / tau**0.7),
        }
        for tau in (10, 5, 20, 40)
    ]


def test_table_survives_a_round_trip(tmp_path: Path) -> None:
    rows = [*fake_rows("hkr", 0), {"loss": "cosine", "tau": "5", "run": "x", "state": "failed"}]
    write_table(rows, tmp_path / "sweep.csv")
    back = read_table(tmp_path / "sweep.csv")
    assert [{k: v for k, v in row.items() if v} for row in back] == rows
    assert list(back[0])[:3] == ["loss", "tau", "run"]


def test_tables_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is not a file"):
        read_table(tmp_path / "sweep.csv")
    (tmp_path / "sweep.csv").write_text("epoch,loss\n1,2\n")
    with pytest.raises(InputError, match="no column 'run'"):
        read_table(tmp_path / "sweep.csv")


def test_curves_have_their_colours(tmp_path: Path) -> None:
    """The picture holds the colour of each variant, and none of a third."""
    table = [*fake_rows("cross-entropy", 0), *fake_rows("hkr", -0.05)]
    path = draw_frontiers({"sweep": table}, tmp_path / "sweep.png", "fake")
    assert path is not None
    picture = np.asarray(cv2.imread(str(path))).reshape(-1, 3)[:, ::-1]
    seen = [
        bool((picture == colour).all(1).any())
        for colour in ((0x00, 0x72, 0xB2), (0xD5, 0x5E, 0x00), (0x00, 0x9E, 0x73))
    ]
    assert seen == [True, True, False]


def test_no_curve_without_figures(tmp_path: Path) -> None:
    rows = [{"tau": "5", "run": "tau=5", "state": "failed"}]
    assert draw_frontiers({"sweep": rows}, tmp_path / "sweep.png", "x") is None
    assert not (tmp_path / "sweep.png").exists()
