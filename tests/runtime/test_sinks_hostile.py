"""Full disks, folders that vanish, targets that cannot be written: one line each."""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from mcap.reader import make_reader

from lipdeploy.cli import main
from lipdeploy.core.errors import InputError, LipdeployError
from lipdeploy.runtime.result import Result
from lipdeploy.runtime.sinks import Sink, open_sink
from lipdeploy.runtime.sinks.jsonl import JsonlSink
from lipdeploy.runtime.sinks.size import bytes_from_text
from tests.runtime.stream_results import CONTEXT, NAMES, result

FILES = ("out.mp4", "out.mkv", "mcap:out.mcap", "jsonl:out.jsonl")
LIMIT_BYTES = 60_000


def noisy(index: int) -> Result:
    made = result(index)
    noise = np.random.default_rng(index).integers(0, 256, (96, 128, 3), np.uint8)
    made.overlay = noise
    return made


def written(sink: Sink, frames: int = 400) -> None:
    for index in range(frames):
        sink.write(noisy(index))


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each look at the clock is a tenth of a second later."""
    now_s = [time.monotonic()]

    def later() -> float:
        now_s[0] += 0.1
        return now_s[0]

    monkeypatch.setattr(time, "monotonic", later)


@pytest.fixture
def small_disk() -> Iterator[None]:
    """No file of this process may grow beyond the limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (LIMIT_BYTES, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.usefixtures("clock")
@pytest.mark.parametrize("address", FILES)
def test_full_from_the_start(address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path(address.rsplit(":", maxsplit=1)[-1]).symlink_to("/dev/full")
    sink = open_sink(address, CONTEXT)
    with pytest.raises(LipdeployError, match=r"out\.\w+ cannot be written \(No space left") as told:
        written(sink)
    assert "\n" not in str(told.value)
    sink.close()
    sink.close()


@pytest.mark.usefixtures("clock", "small_disk")
@pytest.mark.parametrize("address", FILES)
def test_full_in_the_middle(address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    sink = open_sink(address, CONTEXT)
    with pytest.raises(LipdeployError, match=r"cannot be written \(File too large\)"):
        written(sink)
    sink.close()
    path = Path(address.rsplit(":", maxsplit=1)[-1])
    assert path.stat().st_size <= LIMIT_BYTES
    if path.suffix == ".jsonl":  # no half line
        assert [json.loads(line)["index"] for line in path.read_text().splitlines()]
    if path.suffix in (".mp4", ".mkv"):
        assert cv2.VideoCapture(str(path)).read()[0]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_one_full_disk_is_one_line_and_the_others_are_closed(
    model_path: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("bad.mp4").symlink_to("/dev/full")
    scene = "test://scene?size=64x48&fps=20&duration=1s&fault=freeze@0s"
    sinks = ["good.mkv", "mcap:good.mcap", "bad.mp4", "jsonl:good.jsonl"]
    options = [part for sink in sinks for part in ("--sink", sink)]
    code = main(["stream", "--model", str(model_path), "--source", scene, *options])
    error = capsys.readouterr().err
    assert code == 1
    assert error.startswith("lipdeploy: error: bad.mp4 cannot be written (No space left on device)")
    assert error.count("\n") == 1
    frames = len(Path("good.jsonl").read_text().splitlines())
    assert frames >= 1
    with av.open("good.mkv") as film:
        assert film.duration is not None  # what a close writes
        assert sum(1 for _ in film.decode(video=0)) >= frames
    with Path("good.mcap").open("rb") as file:
        summary = make_reader(file).get_summary()
    assert summary is not None


@pytest.mark.usefixtures("clock")
@pytest.mark.parametrize("address", [*FILES, "frames/"])
def test_a_folder_removed_while_recording(
    address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "gone"
    folder.mkdir()
    monkeypatch.chdir(folder)
    sink = open_sink(address.replace("out", str(folder / "out")), CONTEXT)
    sink.write(noisy(0))
    monkeypatch.chdir(tmp_path)
    shutil.rmtree(folder)
    with pytest.raises(LipdeployError, match=r"was removed|leave its folder alone"):
        written(sink)
    sink.close()


@pytest.mark.parametrize("address", [*FILES, "out.avi", "frames/"])
def test_a_target_that_cannot_be_made(address: str) -> None:
    prefix, _, name = address.rpartition(":")
    bad = f"{prefix}:/proc/none/{name}" if prefix else f"/proc/none/{name}"
    with pytest.raises(InputError, match=r"sink .* cannot be") as told:
        open_sink(bad, CONTEXT)
    assert told.value.exit_code == 2


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write to everything")
def test_a_read_only_folder(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(InputError, match="cannot be written"):
        open_sink(str(tmp_path / "out.mp4"), CONTEXT)


def test_logs_rotate_and_lose_nothing_of_the_newest(tmp_path: Path) -> None:
    path = tmp_path / "frames.jsonl"
    sink = JsonlSink(path, NAMES, rotate_bytes=2000)
    for index in range(200):
        sink.write(result(index, state="withheld"))
    sink.close()
    files = [path, *(tmp_path / f"frames.jsonl.{number}" for number in range(1, 10))]
    assert sorted(tmp_path.iterdir()) == sorted(files)
    assert all(0 < file.stat().st_size <= 2000 for file in files)
    lines = "".join(file.read_text() for file in reversed(files)).splitlines()
    indices = [json.loads(line)["index"] for line in lines]
    assert indices == list(range(indices[0], 200))


def test_the_size_of_a_log(tmp_path: Path) -> None:
    sizes = {"100MB": 100_000_000, "2g": 2 * 10**9, "1.5 kB": 1500, "7": 7}
    assert {text: bytes_from_text(text) for text in sizes} == sizes
    sink = open_sink(f"jsonl:{tmp_path}/x?rotate=1kB", CONTEXT)
    written(sink, 3)
    sink.close()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["x", "x.1", "x.2"]
    for wrong in ("", "0", "MB", "-1MB", "1TB"):
        with pytest.raises(InputError, match="expected for example 100MB"):
            open_sink(f"jsonl:{tmp_path}/y?rotate={wrong}", CONTEXT)


def test_a_log_can_be_piped(tmp_path: Path) -> None:
    code = (
        "from tests.runtime.stream_results import CONTEXT, result\n"
        "from lipdeploy.runtime.sinks import open_sink\n"
        "sink = open_sink('jsonl:/dev/stdout', CONTEXT)\n"
        "sink.write(result(4)); sink.close()\n"
    )
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, check=True)
    assert json.loads(done.stdout)["index"] == 4


def test_each_run_has_its_own_file(tmp_path: Path) -> None:
    sink = open_sink(f"jsonl:{tmp_path}/run_{{time}}.jsonl", CONTEXT)
    sink.close()
    (path,) = tmp_path.iterdir()
    assert time.strptime(path.name, "run_%Y%m%dT%H%M%SZ.jsonl")


def test_pictures_of_an_earlier_run_are_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "holiday.png").write_bytes(b"")
    for _ in range(2):
        sink = open_sink(f"{tmp_path}/", CONTEXT)
        sink.write(result(0))
        sink.close()
    assert len(caplog.messages) == 1
    assert "earlier run" in caplog.messages[0]
