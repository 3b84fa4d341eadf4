"""The end of a run from outside: a sink that hangs is named, a second Ctrl-C ends at once."""

from __future__ import annotations

import fcntl
import os
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

STREAM = [sys.executable, "-m", "lipdeploy", "stream", "--source"]
_SET_SIZE = 1031  # F_SETPIPE_SZ of Linux
LONG = "test://scene?duration=600s&size=64x48&fps=50"


class Clogged:
    """A stream into a pipe whose reader does not read."""

    def __init__(self, model: Path, folder: Path) -> None:
        pipe = folder / "clogged.jsonl"
        os.mkfifo(pipe)
        self._reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
        fcntl.fcntl(self._reader, _SET_SIZE, 4096)
        command = [*STREAM, LONG, "--model", str(model), "--sink", f"jsonl:{pipe}"]
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=folder
        )

    def wait_until_full(self) -> None:
        """Until less room is left than the frames under way need."""
        until_s = time.monotonic() + 120
        while time.monotonic() < until_s and self._held() < 2500:
            time.sleep(0.1)
        time.sleep(1.0)

    def _held(self) -> int:
        return int(struct.unpack("i", fcntl.ioctl(self._reader, termios.FIONREAD, b"\0" * 4))[0])

    def close(self) -> None:
        """End whatever is left."""
        self.process.kill()
        self.process.communicate()
        os.close(self._reader)


@pytest.fixture
def clogged(model_path: Path, tmp_path: Path) -> Iterator[Clogged]:
    stream = Clogged(model_path, tmp_path)
    stream.wait_until_full()
    yield stream
    stream.close()


def test_stop_names_the_sink_that_hangs(clogged: Clogged) -> None:
    clogged.process.send_signal(signal.SIGTERM)
    out, err = clogged.process.communicate(timeout=120)
    assert clogged.process.returncode == 1
    assert err.count("\n") == 1
    assert "clogged.jsonl" in err
    assert "was given up" in err
    assert "Frames: " in out, "the summary is printed all the same"


def test_a_second_ctrl_c_ends_at_once(clogged: Clogged) -> None:
    """Signals that a slow machine has not taken yet are one: it is sent until the end."""
    clogged.process.send_signal(signal.SIGINT)
    deadline = time.monotonic() + 60
    while clogged.process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.5)
        clogged.process.send_signal(signal.SIGINT)
    clogged.process.communicate(timeout=60)
    assert clogged.process.returncode == 130
