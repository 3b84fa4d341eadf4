"""kill -9 at random moments of a recording: every file plays up to the last second."""

from __future__ import annotations

import contextlib
import json
import math
import multiprocessing
import random
import time
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.context import ForkServerContext
from pathlib import Path

import av
import cv2
import pytest
from mcap.exceptions import McapError
from mcap.reader import NonSeekingReader

from lipdeploy.cli import main

SOURCE = "test://scene?seed=3&duration=100s&size=64x48&fps=10&live=1"
KILLS = 20
AT_ONCE = 2
JITTER_S = 0.2  # a late live frame is stamped up to two frame times after its nominal time


@pytest.fixture(scope="module")
def server() -> ForkServerContext:
    """Processes that begin with everything imported."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(
        ["lipdeploy.cli.stream", "lipdeploy.runtime.onnxruntime_session"]
        + [f"lipdeploy.runtime.sinks.{name}" for name in ("film", "mcap_file")]
    )
    return context


def killed_recording(server: ForkServerContext, model: Path, folder: Path, after_s: float) -> Path:
    """Record into `folder` and kill once `after_s` seconds are in the log."""
    folder.mkdir()
    sinks = (f"jsonl:{folder}/frames.jsonl", f"{folder}/out.mp4", f"{folder}/out.mkv")
    command = ["stream", "--source", SOURCE, "--model", str(model), "--threads", "1"]
    for sink in (*sinks, f"mcap:{folder}/out.mcap"):
        command += ["--sink", sink]
    child = server.Process(target=main, args=(command,))
    child.start()
    try:
        while recorded_s(folder)[-1] < after_s:
            assert child.is_alive(), "the recording ended by itself"
            time.sleep(0.04)
    finally:
        child.kill()
        child.join()
    return folder


def recorded_s(folder: Path) -> list[float]:
    """Capture time of every frame that the log holds, from the first frame on."""
    log = folder / "frames.jsonl"
    lines = log.read_text().split("\n")[:-1] if log.exists() else []
    times = [json.loads(line)["time_ms"] / 1e3 for line in lines]
    return [t - times[0] for t in times] or [0.0]


def played_by_pyav(path: Path) -> list[float]:
    times = []
    with contextlib.suppress(av.error.EOFError), av.open(str(path)) as film:  # a head alone
        for frame in film.decode(video=0):
            assert frame.to_ndarray(format="gray8").mean() > 10
            times.append(float(frame.time or 0.0))
    return times


def played_by_opencv(path: Path) -> list[float]:
    film, times = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG), []
    while film.read()[0]:
        times.append(film.get(cv2.CAP_PROP_POS_MSEC) / 1e3)
    return times


def read_by_mcap(path: Path) -> list[float]:
    """By the reader of the format's authors, which knows nothing of the SDK that wrote it."""
    stamps: list[int] = []
    with path.open("rb") as file, contextlib.suppress(McapError):  # an end was never written
        for _, channel, message in NonSeekingReader(file).iter_messages(log_time_order=False):
            if channel.topic == "/lipdeploy/image":
                stamps.append(message.log_time)
    return [(stamp - stamps[0]) / 1e9 for stamp in stamps]


def missing_s(recorded: list[float], played: list[float]) -> float:
    """Time from the end of what plays to the end of what the log holds."""
    return recorded[-1] - played[-1] if played else math.inf


@pytest.mark.slow
def test_every_file_plays_up_to_the_last_second(
    server: ForkServerContext, model_path: Path, tmp_path: Path
) -> None:
    moments = random.Random(7)
    waits = [moments.uniform(1.5, 3.5) for _ in range(KILLS)]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        runs = [
            pool.submit(killed_recording, server, model_path, tmp_path / str(number), after_s)
            for number, after_s in enumerate(waits)
        ]
    folders = [run.result() for run in runs]
    readers = {
        "out.mp4": (played_by_pyav, played_by_opencv),
        "out.mkv": (played_by_pyav, played_by_opencv),
        "out.mcap": (read_by_mcap,),
    }
    for folder in folders:
        recorded = recorded_s(folder)
        for name, plays in readers.items():
            for play in plays:
                played = play(folder / name)
                assert played == sorted(set(played))
                assert missing_s(recorded, played) <= 1.0 + JITTER_S, (folder, name, play)
