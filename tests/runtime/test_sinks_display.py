"""Windows: where there is none, one line, and the stream goes on."""

from __future__ import annotations

import logging
import shutil
import struct
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from lipdeploy.core.errors import InputError
from lipdeploy.runtime.sinks import open_sink
from lipdeploy.runtime.sinks.display import DisplaySink
from tests.runtime.stream_results import CONTEXT, result

# A window of a process that keeps what it is shown, and closes after two frames.
KEEPS = """
import struct, sys
sys.stdout.write("ready\\n")
sys.stdout.flush()
for number in range(2):
    height, width = struct.unpack("<II", sys.stdin.buffer.read(8))
    data = sys.stdin.buffer.read(height * width * 3)
    open(f"{sys.argv[1]}/{number}_{height}x{width}", "wb").write(data)
"""
ABORTS = "import os, sys; sys.stderr.write('qt.qpa.xcb: no display\\n'); os.abort()"


def test_no_display(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    with caplog.at_level(logging.WARNING):
        sink = open_sink("display://0", CONTEXT)
        sink.write(result())
        sink.close()
    assert not sink.wants_overlay
    assert [m for m in caplog.messages if "stream goes on" in m] == caplog.messages
    assert len(caplog.messages) == 1


def test_a_display_that_is_not_there(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The real window process: neither OpenCV nor Tk can open this display."""
    monkeypatch.setenv("DISPLAY", ":987")
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    with caplog.at_level(logging.WARNING):
        sink = open_sink("display://", CONTEXT)
        sink.write(result())
        sink.close()
    assert not sink.wants_overlay
    assert len(caplog.messages) == 1
    assert "stream goes on" in caplog.messages[0]
    assert "\n" not in caplog.messages[0]


def test_an_abort_is_the_windows_own(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("DISPLAY", ":0")
    with caplog.at_level(logging.WARNING):
        sink = DisplaySink((sys.executable, "-c", ABORTS))
    assert not sink.wants_overlay
    assert "qt.qpa.xcb: no display" in caplog.messages[0]


def test_frames_arrive_whole_and_a_closed_window_ends_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("DISPLAY", ":0")
    sink = DisplaySink((sys.executable, "-c", KEEPS, str(tmp_path)))
    assert sink.wants_overlay
    shown = np.random.default_rng(0).integers(0, 256, (600, 801, 3), np.uint8)
    with caplog.at_level(logging.WARNING):
        for _ in range(6):  # larger than a pipe holds: the last ones find it closed
            made = result()
            made.overlay = shown
            sink.write(made)
        sink.close()
    assert not sink.wants_overlay
    assert [m for m in caplog.messages if "it was closed" in m] == caplog.messages
    assert len(caplog.messages) == 1
    for number in range(2):
        assert (tmp_path / f"{number}_600x801").read_bytes() == shown.tobytes()


def test_another_address() -> None:
    with pytest.raises(InputError, match="expected display://"):
        open_sink("display://left", CONTEXT)


@pytest.mark.skipif(shutil.which("Xvfb") is None, reason="needs Xvfb (Debian: xvfb)")
def test_a_real_window_shows_the_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On an X server without a screen, whose picture is a file."""
    command = ["Xvfb", "-displayfd", "1", "-screen", "0", "900x700x24", "-fbdir", str(tmp_path)]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    try:
        assert server.stdout is not None
        monkeypatch.setenv("DISPLAY", f":{int(server.stdout.readline())}")
        sink = DisplaySink()
        if not sink.wants_overlay:
            pytest.skip("neither OpenCV nor Tk can open a window here (Debian: python3-tk)")
        made = result()
        made.overlay = np.full((480, 640, 3), (250, 10, 20), np.uint8)
        for _ in range(600):
            sink.write(made)
            if pixels_on_screen(tmp_path / "Xvfb_screen0", (250, 10, 20)) == 480 * 640:
                break
            time.sleep(0.05)
        assert pixels_on_screen(tmp_path / "Xvfb_screen0", (250, 10, 20)) == 480 * 640
        sink.close()
    finally:
        server.kill()
        server.communicate()


def pixels_on_screen(dump: Path, colour: tuple[int, int, int]) -> int:
    """Pixels of one RGB colour in an X window dump of 24 bits."""
    data = dump.read_bytes()
    header = struct.unpack(">25I", data[:100])
    size, width, height, line, colours = (header[k] for k in (0, 4, 5, 12, 19))
    rows = np.frombuffer(data, np.uint8, height * line, size + 12 * colours)
    bgr = rows.reshape(height, line)[:, : 4 * width].reshape(height, width, 4)[..., :3]
    return int((bgr == colour[::-1]).all(-1).sum())
