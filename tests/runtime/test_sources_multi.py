"""Several sources: turns, order, drops, and one that is lost."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from lipdeploy.core.errors import SourceError, SourceLostError
from lipdeploy.runtime.sources import Frame, open_source, open_sources
from lipdeploy.runtime.sources.address import named_address
from lipdeploy.runtime.sources.multi import MultiSource

SCENE = "test://scene?size=64x48&fps=10&duration=1s"


class Camera:
    """A live source that delivers a frame when told, and can be lost."""

    live = True
    still = False
    fps = 10.0

    def __init__(self, error: Exception | None = None) -> None:
        self._frames: list[Frame] = []
        self._told = threading.Condition()
        self._over = False
        self._error = error

    def show(self, *positions: int) -> None:
        image = np.zeros((2, 2, 3), np.uint8)
        with self._told:
            self._frames += [Frame(image, i, 0.0, time.monotonic(), str(i)) for i in positions]
            self._told.notify_all()

    def finish(self) -> None:
        with self._told:
            self._over = True
            self._told.notify_all()

    def taken(self) -> bool:
        """Whether everything shown was read."""
        with self._told:
            return not self._frames

    def __iter__(self) -> Iterator[Frame]:
        while True:
            with self._told:
                self._told.wait_for(lambda: self._frames or self._over)
                if not self._frames:
                    break
                frame = self._frames.pop(0)
            yield frame
        if self._error is not None:
            raise self._error

    def describe(self) -> str:
        return "fake"

    def close(self) -> None:
        self.finish()


def wait_for(condition: Callable[[], bool]) -> None:
    for _ in range(2000):
        if condition():
            return
        time.sleep(0.005)
    raise AssertionError("it did not happen within 10 s")


def test_files_lose_nothing_and_keep_their_order() -> None:
    source = open_sources([f"{SCENE}&seed=1", f"b={SCENE}&seed=2&duration=0.5s"])
    assert (source.live, source.still, source.fps) == (False, False, 20.0)
    frames = list(source)
    source.close()
    assert [f.index for f in frames] == list(range(15))
    for name, seed, count in (("0", 1, 10), ("b", 2, 5)):
        alone = list(open_source(f"{SCENE}&seed={seed}"))[:count]
        mine = [f for f in frames if f.source_id == name]
        assert [f.name for f in mine] == [f"{name}/{i}" for i in range(count)]
        for one, other in zip(mine, alone, strict=True):
            assert np.array_equal(one.image, other.image)


def test_turns_are_fair_and_the_newest_frame_of_each_is_kept() -> None:
    a, b = Camera(), Camera()
    source = MultiSource({"a": a, "b": b})
    iterator = iter(source)
    a.show(0)
    assert next(iterator).name == "a/0"
    a.show(1, 2, 3)  # three frames of one while the other shows one
    b.show(0)
    wait_for(lambda: a.taken() and b.taken())
    time.sleep(0.05)  # the last one read is put down
    names = [next(iterator) for _ in range(2)]
    assert [f.name for f in names] == ["b/0", "a/3"]
    assert [f.index for f in names] == [1, 4]  # the gap: two frames of a were replaced
    assert source.drops() == {"a": 2, "b": 0}
    source.close()
    assert list(iterator) == []


def test_a_lost_camera_does_not_end_the_others() -> None:
    a, b = Camera(SourceLostError("camera a broke off; plug it in")), Camera()
    source = MultiSource({"a": a, "b": b})
    iterator = iter(source)
    a.show(0)
    assert next(iterator).source_id == "a"
    a.finish()
    for i in range(3):
        b.show(i)
        assert next(iterator).source_id == "b"
    wait_for(lambda: source.states()[0].status == "lost")
    assert [(s.name, s.status) for s in source.states()] == [("a", "lost"), ("b", "live")]
    assert source.states()[0].last_error == "camera a broke off; plug it in"
    b.finish()
    with pytest.raises(SourceLostError, match="1 of 2 sources lost: a: camera a broke off"):
        next(iterator)


def test_all_lost() -> None:
    error = SourceLostError("gone; plug it in")
    cameras = {"a": Camera(error), "b": Camera(error)}
    for camera in cameras.values():
        camera.finish()
    with pytest.raises(SourceLostError, match="2 of 2 sources lost"):
        list(MultiSource(cameras))


def test_close_ends_a_wait() -> None:
    source = MultiSource({"a": Camera(), "b": Camera()})
    thread = threading.Thread(target=lambda: list(source))
    thread.start()
    source.close()
    thread.join(10)
    assert not thread.is_alive()


def test_live_scenes_one_of_which_disconnects() -> None:
    lost = "a=test://scene?size=64x48&fps=20&duration=1.5s&live=1&fault=disconnect@0.3s"
    source = open_sources([lost, "b=test://scene?size=64x48&fps=20&duration=1.5s&live=1"])
    frames: list[Frame] = []
    with pytest.raises(SourceLostError, match="a: test://scene"):
        frames.extend(source)
    counts = Counter(f.source_id for f in frames)
    assert 1 <= counts["a"] <= 6
    assert counts["b"] > counts["a"]
    last = [f for f in frames if f.source_id == "b"][-1]
    assert last.time_ms > 1200  # b went on to its own end


def test_refusals(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="source b is a camera or stream, source 0 is a file"):
        open_sources([SCENE, f"b={SCENE}&live=1"])
    with pytest.raises(SourceError, match="called alike"):
        open_sources([f"a={SCENE}", f"a={SCENE}"])
    with pytest.raises(SourceError, match=r"none\.mp4"):
        open_sources([SCENE, "none.mp4"])


def test_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert named_address("front=rtsp://h/x?a=b", 3) == ("front", "rtsp://h/x?a=b")
    assert named_address("rtsp://h/x?a=b", 3) == ("3", "rtsp://h/x?a=b")
    assert named_address("0?size=64x48", 1) == ("1", "0?size=64x48")
    (tmp_path / "a=b.mp4").touch()
    assert named_address("a=b.mp4", 0) == ("0", "a=b.mp4")
