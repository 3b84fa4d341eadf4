"""A real RTSP server on loopback, killed and started again with another picture."""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from lipdeploy.core.errors import SourceError
from lipdeploy.runtime.sources import Frame, open_source

SERVER = Path(__file__).with_name("rtsp_server.py")
PYTHON = "/usr/bin/python3"  # the bindings are Debian's
RED, BLUE = "0xffff0000", "0xff0000ff"
NEEDED = "gir1.2-gst-rtsp-server-1.0 python3-gi gstreamer1.0-plugins-good"


def server_missing() -> bool:
    check = "import gi; gi.require_version('GstRtspServer', '1.0')"
    if shutil.which(PYTHON) is None:
        return True
    done = subprocess.run([PYTHON, "-c", check], capture_output=True, check=False)
    return done.returncode != 0


pytestmark = pytest.mark.skipif(
    server_missing(), reason=f"no RTSP server here: apt-get install {NEEDED}"
)


@pytest.fixture
def port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def serving(port: int, colour: str) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [PYTHON, str(SERVER), str(port), colour], stdout=subprocess.PIPE, text=True
    ) as server:
        try:
            assert server.stdout is not None
            assert server.stdout.readline().strip() == "ready"
            yield server
        finally:
            server.kill()


@contextlib.contextmanager
def stalling_proxy(port: int) -> Iterator[tuple[int, threading.Event]]:
    """Forwards to a port; while the event is set nothing gets back, and waits in buffers."""
    held, own = threading.Event(), socket.create_server(("127.0.0.1", 0))

    def pump(source: socket.socket, target: socket.socket, held: threading.Event) -> None:
        with contextlib.suppress(OSError), source, target:
            while data := source.recv(65536):
                while held.wait(0) and not closed.wait(0.01):
                    """The link is down."""
                target.sendall(data)

    def serve() -> None:
        with contextlib.suppress(OSError):
            while True:
                client = own.accept()[0]
                server = socket.create_connection(("127.0.0.1", port))
                for pair in ((client, server, threading.Event()), (server, client, held)):
                    threading.Thread(target=pump, args=pair, daemon=True).start()

    closed = threading.Event()
    threading.Thread(target=serve, daemon=True).start()
    with own:
        yield own.getsockname()[1], held
    closed.set()


def test_frames_that_waited_in_a_stalled_link_are_old(port: int) -> None:
    with serving(port, RED), stalling_proxy(port) as (through, held):
        source = open_source(f"rtsp://127.0.0.1:{through}/live?rtsp_transport=tcp")
        captured_s, arrived_s = [], []
        for frame in source:
            captured_s.append(frame.captured_s)
            arrived_s.append(time.monotonic())
            if len(captured_s) == 60:
                held.set()
                threading.Timer(1.5, held.clear).start()
            if len(captured_s) == 110:
                break
        source.close()
    gaps = [max(b - a for a, b in pairwise(times[40:])) for times in (captured_s, arrived_s)]
    assert gaps[1] > 1.0, "the link stood still"
    assert gaps[0] < 0.5, "the camera did not"
    assert max(a - c for a, c in zip(arrived_s[60:], captured_s[60:], strict=True)) > 1.0


def is_red(frame: Frame) -> bool:
    red, _, blue = frame.image.mean((0, 1))
    assert abs(red - blue) > 150
    return bool(red > blue)


@pytest.mark.parametrize("transport", ["tcp", "udp"])
def test_frames_arrive(port: int, transport: str) -> None:
    with serving(port, RED):
        source = open_source(f"rtsp://127.0.0.1:{port}/live?rtsp_transport={transport}")
        iterator = iter(source)
        frames = [next(iterator) for _ in range(5)]
        source.close()
    assert all(is_red(frame) and frame.image.shape == (48, 64, 3) for frame in frames)
    assert [frame.index for frame in frames] == list(range(5))
    assert source.describe() == f"stream rtsp://127.0.0.1:{port}/live (live, 20 fps, 64x48)"


def test_a_server_that_is_killed_and_started_again(port: int) -> None:
    address = f"rtsp://127.0.0.1:{port}/live?reconnect_for=60s&read_timeout=2s&rtsp_transport=tcp"
    with serving(port, RED) as server:
        source = open_source(address)
        iterator = iter(source)
        assert all(is_red(next(iterator)) for _ in range(5))
        server.kill()
        server.wait()
    with serving(port, BLUE):
        colours = [is_red(next(iterator)) for _ in range(60)]
        state = source.state()  # type: ignore[attr-defined]
        source.close()
    # What was under way arrives; from the first new frame on, nothing old.
    assert colours == sorted(colours, reverse=True)
    assert not colours[-1]
    assert (state.status, state.reconnects) == ("live", 1)
    assert 0 < state.down_s < 60


def test_a_server_that_starts_late(port: int) -> None:
    with contextlib.ExitStack() as stack:
        import threading

        def start() -> None:
            stack.enter_context(serving(port, RED))

        timer = threading.Timer(1.0, start)
        timer.start()
        source = open_source(f"rtsp://127.0.0.1:{port}/live?reconnect_for=60s")
        assert is_red(next(iter(source)))
        source.close()
        timer.join()


def test_no_server_and_no_password_in_the_message(
    port: int, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SourceError) as caught:
        open_source(f"rtsp://user:s3cret@127.0.0.1:{port}/live?reconnect=1&token=s3cret")
    assert "s3cret" not in str(caught.value)
    assert "in 2 tries" in str(caught.value)
    assert capfd.readouterr() == ("", "")
