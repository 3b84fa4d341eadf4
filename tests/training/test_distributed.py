"""Two processes on the CPU against one process with the whole batch, and how they stop."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
import torch

from lipdeploy.core.dataset import load_dataset
from lipdeploy.core.errors import InputError
from lipdeploy.training.checkpoint import load_checkpoint
from lipdeploy.training.distributed import batch_mean, ranks, summed
from lipdeploy.training.loop import Trainer
from tests.training.toy_data import toy_settings, write_toy_data
from tests.training.train_in_ranks import CASES, train

ROOT = Path(__file__).resolve().parents[2]
LIMIT_SECONDS = 300

pytestmark = pytest.mark.skipif(
    not (torch.distributed.is_available() and torch.distributed.is_gloo_available()),
    reason="this torch is built without gloo, so processes on CPUs cannot be connected",
)


@contextmanager
def torchrun(*args: str) -> Iterator[subprocess.Popen[str]]:
    """Two processes in a group of their own, on a free port; nothing of them outlives the block."""
    options = ["--nproc-per-node", "2", "--rdzv-backend", "c10d", "--rdzv-endpoint", "127.0.0.1:0"]
    command = [sys.executable, "-m", "torch.distributed.run", *options, "--local-addr", "127.0.0.1"]
    process = subprocess.Popen(
        [*command, *args],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def test_two_processes_train_what_one_does(tmp_path: Path) -> None:
    """The oracle is the run of one process, which shares no communication code."""
    data = write_toy_data(tmp_path)
    (tmp_path / "two").mkdir()
    (tmp_path / "one").mkdir()
    with torchrun("-m", "tests.training.train_in_ranks", str(data), str(tmp_path / "two")) as done:
        _, err = done.communicate(timeout=LIMIT_SECONDS)
    assert done.returncode == 0, err
    for case in CASES:
        state, losses = train(data, tmp_path / "one", case)
        ends = [torch.load(tmp_path / f"two/{case}{rank}.pt") for rank in (0, 1)]
        assert ends[0][1] == ends[1][1]
        assert ends[0][1] == pytest.approx(losses, rel=1e-9)
        assert losses[0] != pytest.approx(losses[-1], rel=1e-3)
        for key, value in state.items():
            assert torch.equal(ends[0][0][key], ends[1][0][key]), key
            assert torch.allclose(ends[0][0][key], value, rtol=0, atol=1e-8), key
        rows = [(tmp_path / f"{n}/{case}/results.csv").read_text() for n in ("one", "two")]
        assert len(rows[0].splitlines()) == len(rows[1].splitlines()) == 3
        one, two = (
            load_checkpoint(tmp_path / f"{n}/{case}/last.pt").training for n in ("one", "two")
        )
        assert (one["processes"], two["processes"]) == (1, 2)
        assert one["samples"] == two["samples"]


def test_ctrl_c_stops_all_processes_after_the_same_step(tmp_path: Path) -> None:
    data = write_toy_data(tmp_path)
    args = ["-m", "lipdeploy", "train", "--data", str(data), "--imgsz", "32", "--epochs", "500"]
    args += ["--batch", "4", "--threads", "1", "--project", str(tmp_path), "--name", "t"]
    last = tmp_path / "t/last.pt"
    with torchrun(*args) as process:
        deadline = time.monotonic() + LIMIT_SECONDS
        while not last.exists() and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.2)
        os.killpg(process.pid, signal.SIGINT)  # a terminal sends it to the whole group
        out, err = process.communicate(timeout=LIMIT_SECONDS)  # ends when every process has
    assert out.count("continue with --resume") == 1, err
    stopped = load_checkpoint(last)
    assert f"Stopped at step {stopped.progress['step']} of 1500" in out
    assert "KeyboardInterrupt" not in out


def test_without_torchrun_there_is_one_process() -> None:
    x = torch.rand(2, 3, 4, 4, dtype=torch.float64)
    assert ranks() == (0, 1)
    assert summed([1.5, 2], torch.device("cpu")) == [1.5, 2.0]
    assert torch.equal(batch_mean(x), x.mean((0, 2, 3)))


def test_a_batch_too_small_for_its_parts_is_refused(tmp_path: Path) -> None:
    data = write_toy_data(tmp_path, train=2)
    with pytest.raises(InputError, match="a batch of 2 images is less than one image"):
        Trainer(toy_settings(data, tmp_path / "r", accumulate=3), load_dataset(data))
