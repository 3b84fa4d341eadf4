"""`lipdeploy stream` and `demo`: exit codes, one line a failure, summary, signals."""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import ModuleType

import cv2
import numpy as np
import pytest

from lipdeploy.cli import main

SCENE = "test://scene?seed=3&duration=1s&size=64x48&fps=20"
STREAM = [sys.executable, "-m", "lipdeploy", "stream"]


@pytest.fixture
def model(tiny: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("LIPDEPLOY_DEBUG", raising=False)
    path = tmp_path / "tiny.onnx"
    return str(tiny.save_tiny(path, tiny.tiny_manifest()))


def recorded(path: Path, frames: int = 60) -> Path:
    code = cv2.VideoWriter.fourcc(*"mp4v")
    writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, code, 10, (320, 240))
    for i in range(frames):
        writer.write(np.full((240, 320, 3), 40 + i, np.uint8))
    writer.release()
    return path


def cut(path: Path) -> Path:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    return path


def frames_of(path: Path) -> int:
    video, count = cv2.VideoCapture(str(path)), 0
    while video.read()[0]:
        count += 1
    return count


def test_default_files_and_summary(model: str, capsys: pytest.CaptureFixture[str]) -> None:
    for _ in range(2):  # the second run writes over the first
        assert main(["stream", "--model", model, "--source", SCENE, "--name", "x"]) == 0
        out, err = capsys.readouterr()
        assert err == ""
        assert out.startswith(f"Source: {SCENE} (generated, 64x48, 20 fps, not live)\nSpeed: ")
        assert "ms overlay per frame at shape (1, 48, 64, 3)" in out
        assert "Frames: 20 in, 20 shown, 0 dropped, 0 stale, 0 withheld" in out
        assert "Certified-stable share (statistical)" in out
        assert (
            "Results saved to runs/stream/x/overlay.mp4 (H.264), runs/stream/x/frames.jsonl" in out
        )
    assert frames_of(Path("runs/stream/x/overlay.mp4")) == 20
    assert json.loads(Path("runs/stream/x/summary.json").read_text())["frames_in"] == 20
    lines = Path("runs/stream/x/frames.jsonl").read_text().splitlines()
    assert [json.loads(line)["index"] for line in lines] == list(range(20))


def test_json_summary(model: str, capsys: pytest.CaptureFixture[str]) -> None:
    args = ["stream", "--model", model, "--source", SCENE, "--sink", "null", "--json", "--eps", "0"]
    assert main([*args, "--max-frames", "3"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["shown"], report["eps"], report["level"]) == (3, 0.0, "statistical")
    assert 0 <= report["certified_share"] <= 1


def test_every_view_is_another_picture(model: str, capsys: pytest.CaptureFixture[str]) -> None:
    frames = []
    for view in ("regions", "pixels", "radius"):
        args = ["stream", "--model", model, "--source", SCENE, "--max-frames", "1", "--eps", "0.01"]
        assert main([*args, "--show", view, "--sink", f"{view}/frame_%06d.png"]) == 0
        assert "ms overlay" in capsys.readouterr().out
        frames.append(np.asarray(cv2.imread(f"{view}/frame_000000.png")))
    for one, other in itertools.combinations(frames, 2):
        assert one.shape == other.shape == (480, 640, 3)
        assert not np.array_equal(one, other)


def test_bad_input(model: str, capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """Exit code, one line, no traceback, nothing from OpenCV or FFmpeg."""
    (tmp_path / "empty").mkdir()
    (tmp_path / "folder.mp4").mkdir()
    (tmp_path / "text.mp4").write_text("hello")
    cut(recorded(tmp_path / "noindex.mp4"))
    (tmp_path / "foreign.onnx").write_bytes(b"hello")
    cases: list[tuple[int, list[str]]] = [
        (4, ["--source", "none.mp4"]),
        (4, ["--source", "empty"]),
        (4, ["--source", "folder.mp4"]),
        (4, ["--source", "text.mp4"]),
        (4, ["--source", "noindex.mp4"]),
        (4, ["--source", "97"]),
        (4, ["--source", "/dev/video97"]),
        (4, ["--source", "gst://x"]),
        (4, ["--source", "test://scene?fault=x@1s"]),
        (2, ["--source", SCENE, "--eps", "nan"]),
        (2, ["--source", SCENE, "--eps=-0.1"]),
        (2, ["--source", SCENE, "--eps", "inf"]),
        (2, ["--source", SCENE, "--keep", "2"]),
        (2, ["--source", SCENE, "--show", "heat"]),
        (2, ["--source", SCENE, "--max-frames", "0"]),
        (2, ["--source", SCENE, "--sink", "/proc/none/x.mp4"]),
        (2, ["--source", SCENE, "--sink", "x.what"]),
        (2, ["--source", SCENE, "--model", "none.onnx"]),
        (3, ["--source", SCENE, "--model", "foreign.onnx"]),
        (2, ["--source", SCENE, "--engine", "warp"]),
    ]
    for code, args in cases:
        given = [*args] if "--model" in args else [*args, "--model", model]
        sink = [] if "--sink" in args else ["--sink", "null"]
        assert main(["stream", *given, *sink]) == code, args
        err = capfd.readouterr().err
        assert err.startswith("lipdeploy: error: "), args
        assert err.count("\n") == 1, args


def test_truncated_video_leaves_a_playable_recording(
    model: str, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    source = cut(recorded(tmp_path / "cut.mkv"))
    whole = frames_of(source)
    assert main(["stream", "--model", model, "--source", str(source), "--sink", "o.mp4"]) == 5
    out, err = capfd.readouterr()
    assert f"Frames: {whole} in, {whole} shown" in out
    assert err.count("\n") == 1
    assert frames_of(tmp_path / "o.mp4") == whole > 5


def test_unverified(tiny: ModuleType, model: str, capsys: pytest.CaptureFixture[str]) -> None:
    tiny.save_tiny(Path(model), tiny.tiny_manifest(level="none"))
    args = ["stream", "--model", model, "--source", SCENE, "--sink", "null"]
    assert main(args) == 3
    assert "--unverified" in capsys.readouterr().err
    assert main([*args, "--unverified"]) == 0
    assert "No stability is claimed (level none)" in capsys.readouterr().out


def test_source_is_not_overwritten(model: str, tmp_path: Path) -> None:
    video = recorded(tmp_path / "in.mp4")
    before = video.read_bytes()
    (tmp_path / "list.txt").write_text("in.mp4\n")
    for source in ("in.mp4", "front=in.mp4", "*.mp4", "list.txt", "list:list.txt"):
        assert main(["stream", "--model", model, "--source", source, "--sink", str(video)]) == 2
        assert video.read_bytes() == before, source


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_closes_the_recording(model: str, tmp_path: Path, number: signal.Signals) -> None:
    source = "test://scene?duration=600s&size=64x48&live=1"
    done = subprocess.Popen(
        [
            *STREAM,
            "--source",
            source,
            "--model",
            model,
            "--sink",
            "o.mp4",
            "--sink",
            "jsonl:o.jsonl",
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    log = tmp_path / "o.jsonl"
    until_s = time.monotonic() + 120
    while not (log.exists() and '"name": "' in log.read_text()) and time.monotonic() < until_s:
        time.sleep(0.05)
    done.send_signal(number)
    out, err = done.communicate(timeout=30)
    assert (done.returncode, err) == (0, "")
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    written = [line for line in lines if line["index"] is not None]  # the others tell of silence
    assert " shown, " in out
    assert frames_of(tmp_path / "o.mp4") > 0
    assert len(written) > 0


def test_network_password_is_never_shown(model: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [
            *STREAM,
            "--model",
            model,
            "--sink",
            "null",
            "--source",
            "rtsp://user:s3cret@127.0.0.1:1/x",
        ],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )
    assert done.returncode == 4
    assert "s3cret" not in done.stdout + done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("name", ["stream", "demo"])
def test_help_has_an_example(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([name, "--help"]) == 0
    assert f"lipdeploy {name} --" in capsys.readouterr().out


def test_demo_writes_its_files_twice(
    model: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clip = recorded(Path("road.mp4"), 9)
    files = {"scene_s.onnx": Path(model), "road.mp4": clip}
    monkeypatch.setattr("lipdeploy.cli.stream.bundled", files.__getitem__)
    monkeypatch.setattr("lipdeploy.cli.demo.bundled", files.__getitem__)
    for _ in range(2):
        assert main(["demo"]) == 0
        assert "Frames: 9 in, 9 shown" in capsys.readouterr().out
    folder = Path("runs/demo")
    assert frames_of(folder / "overlay.mp4") == 9
    assert json.loads((folder / "summary.json").read_text())["shown"] == 9
    still = cv2.imread(str(folder / "overlay.png"))
    assert still is not None
    assert still.shape == (480, 640, 3), "enlarged from 320x240"


def test_missing_bundled_file_is_said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("lipdeploy.cli.demo.BUNDLED_CLIP", "gone.mp4")
    assert main(["demo"]) == 2
    assert "gone.mp4 is missing" in capsys.readouterr().err
