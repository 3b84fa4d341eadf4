"""What systemd is told, over a real datagram socket."""

from __future__ import annotations

import configparser
import os
import socket
import threading
from pathlib import Path
from typing import Any

import pytest

from lipdeploy.runtime.session import open_session
from lipdeploy.runtime.sources import open_source
from lipdeploy.runtime.stream import Stream, StreamOptions
from lipdeploy.runtime.supervisor import Supervisor, supervisor_of

UNIT = Path(__file__).resolve().parents[2] / "samples" / "systemd" / "lipdeploy-stream.service"


class Listener:
    """Reads all that is sent to a socket, as a supervisor does: its queue holds a few only."""

    def __init__(self, address: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(address)
        self._got: list[str] = []
        self._thread = threading.Thread(target=self._read)
        self._thread.start()
        self.address = address

    def _read(self) -> None:
        while (message := self._socket.recv(4096)) != b"end":
            self._got.append(message.decode())

    def messages(self) -> list[str]:
        """All so far; ends the reading."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.sendto(b"end", self.address)
        self._thread.join(30)
        self._socket.close()
        return self._got


@pytest.fixture
def listener(tmp_path: Path) -> Listener:
    return Listener(str(tmp_path / "s"))


def test_a_run_from_ready_to_stopping(model_path: Path, recorder: Any, listener: Listener) -> None:
    supervisor = supervisor_of({"NOTIFY_SOCKET": listener.address, "WATCHDOG_USEC": "40000"})
    source = open_source("test://scene?seed=3&duration=1s&size=64x48&fps=20")
    with open_session(model_path) as session:
        Stream(session, source, [recorder()], StreamOptions(), supervisor=supervisor).run()
    supervisor.close()
    got = listener.messages()
    assert got[0] == "READY=1"
    assert got[-1] == "STOPPING=1"
    assert got.count("READY=1") == got.count("STOPPING=1") == 1
    assert "WATCHDOG=1" in got
    assert any(line.startswith("STATUS=") and "frames a second" in line for line in got)


def test_no_pulse_without_frames(listener: Listener) -> None:
    supervisor = Supervisor(listener.address, watchdog_s=10.0)
    supervisor.beat(0.0, True, str)  # not before it is ready
    supervisor.ready()
    for now_s, flowing in ((1.0, True), (2.0, True), (4.0, False), (9.0, False), (20.0, True)):
        supervisor.beat(now_s, flowing, lambda: "fine")
    supervisor.close()
    pulse, line = "WATCHDOG=1", "STATUS=fine"
    # Pulses at 1 s and 20 s; a line every 2 s at most.
    assert listener.messages() == ["READY=1", pulse, line, line, line, pulse, line]


def test_abstract_socket() -> None:
    name = f"lipdeploy-test-{os.getpid()}"
    heard = Listener("\0" + name)
    supervisor = supervisor_of({"NOTIFY_SOCKET": "@" + name})
    supervisor.ready()
    supervisor.close()
    assert heard.messages() == ["READY=1"]


@pytest.mark.parametrize(
    "environment",
    [{}, {"NOTIFY_SOCKET": "vsock:2:1"}, {"NOTIFY_SOCKET": "/nowhere/at/all"}],
)
def test_nobody_listens(environment: dict[str, str]) -> None:
    supervisor = supervisor_of(environment)
    supervisor.ready()
    supervisor.beat(1.0, True, lambda: "fine")
    supervisor.stopping()
    supervisor.close()


def test_a_watchdog_of_another_process_is_not_ours(listener: Listener) -> None:
    environment = {
        "NOTIFY_SOCKET": listener.address,
        "WATCHDOG_USEC": "1000000",
        "WATCHDOG_PID": "1",
    }
    supervisor = supervisor_of(environment)
    supervisor.ready()
    supervisor.beat(1.0, True, lambda: "fine")
    supervisor.close()
    assert "WATCHDOG=1" not in listener.messages()


def test_the_sample_unit_fits_the_command() -> None:
    unit = configparser.ConfigParser(interpolation=None, strict=False)
    unit.optionxform = str  # type: ignore[assignment, method-assign]
    unit.read_string(UNIT.read_text())
    service = unit["Service"]
    assert service["Type"] == "notify"
    assert " stream --source " in service["ExecStart"]
    sinks = [word for word in service["ExecStart"].split() if "out" in word or "jsonl:" in word]
    assert sinks
    assert all("{time}" in sink for sink in sinks), "a restart must not write over a recording"
    assert int(service["WatchdogSec"].rstrip("s")) >= 10
    assert service["Restart"] == "on-failure"
    assert set(service["RestartPreventExitStatus"].split()) == {"2", "3", "6"}, "no retry helps"
