"""Sinks: what they write, what they refuse before the first frame."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from lipdeploy.core.errors import InputError, LipdeployError
from lipdeploy.runtime.regions import find_regions
from lipdeploy.runtime.result import Result
from lipdeploy.runtime.sinks import Sink, open_sink, open_sinks
from lipdeploy.runtime.sinks.video import letterboxed
from tests.runtime.stream_results import CONTEXT, result


def write(sink: Sink, results: list[Result]) -> None:
    for one in results:
        sink.write(one)
    sink.close()
    sink.close()


def read_video(path: Path) -> list[npt.NDArray[np.uint8]]:
    video = cv2.VideoCapture(str(path))
    frames: list[npt.NDArray[np.uint8]] = []
    while True:
        ok, image = video.read()
        if not ok:
            return frames
        frames.append(np.asarray(image, np.uint8))


@pytest.mark.parametrize("name", ["out.mp4", "deep/er/out.mkv", "out.avi"])
def test_video(tmp_path: Path, name: str) -> None:
    sink = open_sink(str(tmp_path / name), CONTEXT)
    write(sink, [result(i) for i in range(12)])
    frames = read_video(tmp_path / name)
    assert len(frames) == 12
    blue, green, red = frames[0].mean((0, 1))
    assert red > 150 > 80 > max(green, blue)


def test_other_sizes_are_letterboxed_and_odd_ones_padded(tmp_path: Path) -> None:
    sink = open_sink(str(tmp_path / "out.mkv"), CONTEXT)
    write(sink, [result(0, (47, 63)), result(1, (100, 20)), result(2, (20, 300))])
    assert [f.shape for f in read_video(tmp_path / "out.mkv")] == [(48, 64, 3)] * 3


def test_letterbox_keeps_the_aspect() -> None:
    boxed = letterboxed(np.full((100, 50, 3), 255, np.uint8), 64, 48)
    columns = np.flatnonzero(boxed.any((0, 2)))
    assert boxed.shape == (48, 64, 3)
    assert len(columns) == 24
    assert columns[0] == 20


def test_video_without_frames_leaves_nothing(tmp_path: Path) -> None:
    open_sink(str(tmp_path / "out.mp4"), CONTEXT).close()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["folder/", "some/frame_%06d.png"])
def test_pictures(tmp_path: Path, name: str) -> None:
    address = f"{tmp_path}/{name}"
    write(open_sink(address, CONTEXT), [result(0), result(7)])
    folder = (tmp_path / name).parent if "%" in name else tmp_path / name
    assert sorted(p.name for p in folder.iterdir()) == ["frame_000000.png", "frame_000007.png"]
    saved = cv2.imread(str(folder / "frame_000007.png"))
    assert saved is not None
    assert saved[0, 0].tolist() == [30, 30, 200]


def test_jsonl(tmp_path: Path) -> None:
    path = tmp_path / "frames.jsonl"
    write(open_sink(f"jsonl:{path}", CONTEXT), [result(0), result(1, state="withheld")])
    ok, withheld = (json.loads(line) for line in path.read_text().splitlines())
    assert list(ok)[:4] == ["index", "name", "source", "time_ms"]
    assert (ok["state"], ok["reason"], ok["level"]) == ("ok", None, "proved")
    assert (ok["eps"], ok["eps_source"], ok["flips"]) == (0.25, 0.25, 2)
    assert ok["certified_share"] == 1 - 2 / 64
    assert ok["pixelwise_share"] == 62 / 64
    assert [r["class"] for r in ok["regions"]] == ["road", "sky"]
    sky = ok["regions"][1]
    assert (sky["area"], sky["bbox"], sky["flips"]) == (32, [0, 0, 8, 4], 2)
    assert sky["stable"]
    assert sky["budget"] == pytest.approx((2 * 0.1**2 + 2 * 0.3**2) ** 0.5)
    assert (withheld["state"], withheld["reason"]) == ("withheld", "black")
    for key in ("certified_share", "pixelwise_share", "flips", "eps_source"):
        assert withheld[key] is None
    assert withheld["regions"] == []


def test_jsonl_has_no_infinity(tmp_path: Path) -> None:
    made = result()
    assert made.prediction is not None
    # No budget changes more pixels than there are.
    made.regions = find_regions(made.prediction.mask, made.prediction.radius, 0.25, keep=0.0)
    write(open_sink(f"jsonl:{tmp_path}/x", CONTEXT), [made])
    assert json.loads((tmp_path / "x").read_text())["regions"][0]["budget"] is None


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_full_disk() -> None:
    sink = open_sink("jsonl:/dev/full", CONTEXT)
    with pytest.raises(LipdeployError, match=r"No space left on device.*free the disk"):
        sink.write(result())
    sink.close()  # what is wrong was told


@pytest.mark.parametrize(
    "address",
    [
        "/proc/none/out.mp4",
        "/proc/none/",
        "jsonl:/proc/none/x",
        "out.xyz",
        "",
        "ftp://x",
        "a_%d_%d.png",
        "a_%s.png",
        "a_%06d.xyz",
        "jsonl:",
    ],
)
def test_refusals(address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError) as caught:
        open_sink(address, CONTEXT)
    assert "sink" in str(caught.value)


def test_folder_in_place_of_a_file(tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    with pytest.raises(InputError, match="cannot be written"):
        open_sink(f"jsonl:{tmp_path}/x", CONTEXT)


def test_one_refusal_closes_the_others(tmp_path: Path) -> None:
    with pytest.raises(InputError):
        open_sinks((f"{tmp_path}/a.mp4", "b.xyz"), CONTEXT)
    assert not list(tmp_path.iterdir())
    with pytest.raises(InputError, match="twice"):
        open_sinks(("null", "null"), CONTEXT)
    (tmp_path / "sub").mkdir()
    for again in (f"jsonl:{tmp_path}/sub/../x", f"jsonl:{tmp_path}/x?rotate=1MB"):
        with pytest.raises(InputError, match="twice"):
            open_sinks((f"jsonl:{tmp_path}/x", again), CONTEXT)


@pytest.mark.parametrize(
    "address",
    [
        "https://0.0.0.0:8080?token=s3cret-word",
        "HTTP://0.0.0.0:8080?token=s3cret-word",
        "http://u:s3cret-word@127.0.0.1:0",
        "http://127.0.0.1:0/x?token=s3cret-word",
        "rtmp://u:s3cret-word@h/live",
        "prometheus://u:s3cret-word@127.0.0.1",
        "prometheus://127.0.0.1:1/?token=s3cret-word",
        "prometheus://u:s3cret-word@127.0.0.1:99999",
    ],
)
def test_a_refusal_never_repeats_a_secret(address: str) -> None:
    with pytest.raises(InputError) as caught:
        open_sink(address, CONTEXT)
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize(
    ("address", "module", "package", "extra"),
    [
        ("mcap:{}/x.mcap", "mcap_file", "foxglove", "mcap"),
        ("prometheus://:0", "prometheus", "prometheus_client", "metrics"),
    ],
)
def test_a_missing_package_names_the_extra(
    address: str,
    module: str,
    package: str,
    extra: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delitem(sys.modules, f"lipdeploy.runtime.sinks.{module}", raising=False)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(InputError, match=rf"pip install 'lipdeploy\[{extra}\]'"):
        open_sink(address.format(tmp_path), CONTEXT)
    assert not list(tmp_path.iterdir())
