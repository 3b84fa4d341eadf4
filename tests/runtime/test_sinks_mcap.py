"""MCAP logs, read by the format's own reader and protobuf's own classes."""

from __future__ import annotations

import dataclasses
import json
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from mcap.decoder import DecoderFactory as McapDecoderFactory
from mcap.exceptions import McapError
from mcap.reader import McapReader, NonSeekingReader, SeekingReader
from mcap.records import Schema
from mcap_protobuf.decoder import DecoderFactory

from lipdeploy.core.errors import InputError
from lipdeploy.runtime.sinks import SinkContext, open_sink
from tests.runtime.stream_results import CONTEXT, NAMES, result

SCHEMAS = {
    "/lipdeploy/image": "foxglove.CompressedImage",
    "/lipdeploy/mask": "foxglove.RawImage",
    "/lipdeploy/radius": "foxglove.RawImage",
    "/lipdeploy/regions": "foxglove.ImageAnnotations",
    "/lipdeploy/certified_share": "lipdeploy.CertifiedShare",
    "/diagnostics": "foxglove.Log",
}


class Json(McapDecoderFactory):
    """Decodes the one topic that is JSON."""

    def decoder_for(
        self, message_encoding: str, schema: Schema | None
    ) -> Callable[[bytes], Any] | None:
        return json.loads if message_encoding == "json" else None


def messages(reader: McapReader) -> Iterator[tuple[str, str, int, Any]]:
    try:
        for schema, channel, message, decoded in reader.iter_decoded_messages(log_time_order=False):
            assert schema is not None
            yield channel.topic, schema.name, message.log_time, decoded
    except McapError:  # of a file that was cut short
        return


def by_topic(path: Path, whole: bool = True) -> dict[str, dict[int, Any]]:
    found: dict[str, dict[int, Any]] = defaultdict(dict)
    with path.open("rb") as file:
        kind = SeekingReader if whole else NonSeekingReader
        for topic, schema, stamp, decoded in messages(
            kind(file, decoder_factories=[DecoderFactory(), Json()])
        ):
            assert schema == SCHEMAS[topic]
            found[topic][stamp] = decoded
    return found


def test_every_topic_of_a_frame(tmp_path: Path) -> None:
    sink = open_sink(f"mcap:{tmp_path}/a.mcap", CONTEXT)
    made = result(3, size=(48, 64))
    sink.write(made)
    sink.close()
    sink.close()
    found = by_topic(tmp_path / "a.mcap")
    assert set(found) == set(SCHEMAS)
    stamp = 300_000_000  # frame 3 at 10 a second
    assert all(list(of_topic) == [stamp] for of_topic in found.values())
    assert made.prediction is not None
    image = found["/lipdeploy/image"][stamp]
    assert (image.timestamp.seconds, image.timestamp.nanos, image.format) == (0, stamp, "jpeg")
    shown = cv2.imdecode(np.frombuffer(image.data, np.uint8), cv2.IMREAD_COLOR)
    assert shown is not None
    assert shown.shape == (48, 64, 3)
    assert shown.mean((0, 1)) == pytest.approx([30, 30, 200], abs=4)
    mask = found["/lipdeploy/mask"][stamp]
    assert (mask.encoding, mask.width, mask.height, mask.step) == ("mono8", 8, 8, 8)
    assert np.array_equal(np.frombuffer(mask.data, "u1").reshape(8, 8), made.prediction.mask)
    radius = found["/lipdeploy/radius"][stamp]
    assert (radius.encoding, radius.step) == ("32FC1", 32)
    assert np.array_equal(np.frombuffer(radius.data, "<f4").reshape(8, 8), made.prediction.radius)


def test_figures_and_regions_are_those_of_the_log(tmp_path: Path) -> None:
    sink = open_sink(f"mcap:{tmp_path}/a.mcap", CONTEXT)
    made = result(0, size=(48, 64))
    sink.write(made)
    sink.close()
    found = by_topic(tmp_path / "a.mcap")
    share = found["/lipdeploy/certified_share"][0]
    logged = made.to_json(NAMES)
    for key in ("index", "state", "level", "eps", "certified_share", "pixelwise_share"):
        assert share[key] == logged[key]
    assert share["class_shares"] == {"road": 1.0, "sky": 1 - 2 / 32}
    regions = found["/lipdeploy/regions"][0]
    corners = [[(p.x, p.y) for p in box.points] for box in regions.points]
    # 8x8 at the network, 64x48 at the camera: eight and six times as large
    assert sorted(corners) == [
        [(0, 0), (64, 0), (64, 24), (0, 24)],
        [(0, 24), (64, 24), (64, 48), (0, 48)],
    ]
    budget = {r["class"]: r["budget"] for r in logged["regions"]}
    for text in regions.texts:
        name, said = text.text.split(": stable, takes ")
        assert budget[name] - 0.001 < float(said) <= budget[name]
    assert found["/diagnostics"][0].level == 2  # information


@pytest.mark.parametrize("unverified", [False, True])
def test_nothing_is_claimed_of_a_withheld_frame(tmp_path: Path, unverified: bool) -> None:
    sink = open_sink(f"mcap:{tmp_path}/a.mcap", CONTEXT)
    made = result(0, state="ok" if unverified else "withheld")
    if unverified:
        made.level, made.regions, made.reason = "none", None, "not verified"
    sink.write(made)
    sink.close()
    found = by_topic(tmp_path / "a.mcap")
    assert "/lipdeploy/radius" not in found
    assert ("/lipdeploy/mask" in found) == unverified  # what was predicted may be seen
    share = found["/lipdeploy/certified_share"][0]
    assert share["certified_share"] is share["pixelwise_share"] is share["eps_source"] is None
    assert share["class_shares"] == {}
    assert not found["/lipdeploy/regions"][0].points
    assert not found["/lipdeploy/regions"][0].texts
    said = found["/diagnostics"][0]
    assert made.reason in said.message
    assert "share" not in said.message
    assert said.level == (2 if unverified else 3)


def test_silence_is_told_when_it_is_noticed_and_is_no_frame(tmp_path: Path) -> None:
    sink = open_sink(f"mcap:{tmp_path}/a.mcap", SinkContext(10.0, NAMES, live=True))
    silence = result(7, state="withheld", captured_s=time.monotonic() - 60)
    silence.placeholder, silence.reason = True, "no frame"
    silence.frame = dataclasses.replace(silence.frame, source_id="rear")
    before_ns = time.time_ns()
    sink.write(silence)
    sink.close()
    found = by_topic(tmp_path / "a.mcap")
    assert set(found) == {"/lipdeploy/certified_share", "/diagnostics"}
    ((stamp_ns, share),) = found["/lipdeploy/certified_share"].items()
    assert before_ns <= stamp_ns <= time.time_ns()
    assert (share["index"], share["latency_ms"], share["source"]) == (None, None, "rear")
    ((_, said),) = found["/diagnostics"].items()
    assert said.message == "rear, no frame: WITHHELD: no frame"
    with (tmp_path / "a.mcap").open("rb") as file:
        schemas = [s for s, _, _ in SeekingReader(file).iter_messages() if s and s.encoding]
    schema = next(json.loads(s.data) for s in schemas if s.name == "lipdeploy.CertifiedShare")
    json_types: dict[str, Any] = {
        "null": type(None),
        "integer": int,
        "number": (int, float),
        "string": str,
    }
    for key, value in share.items():
        kinds = schema["properties"][key]["type"]
        if kinds != "object":
            allowed = [json_types[kind] for kind in ([kinds] if isinstance(kinds, str) else kinds)]
            assert any(isinstance(value, kind) for kind in allowed), key


def test_live_stamps_are_the_wall_clock_of_the_capture(tmp_path: Path) -> None:
    sink = open_sink(f"mcap:{tmp_path}/a.mcap", SinkContext(10.0, NAMES, live=True))
    captured_s, wall_s = time.monotonic() - 2.0, time.time() - 2.0
    sink.write(result(7, captured_s=captured_s))
    sink.close()
    (stamp,) = by_topic(tmp_path / "a.mcap")["/lipdeploy/image"]
    assert stamp / 1e9 == pytest.approx(wall_s, abs=1.0)


def test_a_chunk_is_on_the_disk_once_half_a_second_has_passed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now_s = time.monotonic()
    sink = open_sink(f"mcap:{tmp_path}/a.mcap", CONTEXT)
    for index in range(25):
        now_s += 0.1
        monkeypatch.setattr(time, "monotonic", lambda now_s=now_s: now_s)
        sink.write(result(index))
        cut = tmp_path / "cut.mcap"  # as a killed process leaves it
        cut.write_bytes((tmp_path / "a.mcap").read_bytes())
        stamps = by_topic(cut, whole=False)["/diagnostics"]
        assert max(stamps, default=-1) >= (index - 5) * 100_000_000
    sink.close()
    assert len(by_topic(tmp_path / "a.mcap")["/diagnostics"]) == 25


def test_two_files_at_once_hold_their_own(tmp_path: Path) -> None:
    one = open_sink(f"mcap:{tmp_path}/1.mcap", CONTEXT)
    other = open_sink(f"mcap:{tmp_path}/2.mcap", CONTEXT)
    one.write(result(1))
    other.write(result(2))
    one.close()
    other.close()
    assert list(by_topic(tmp_path / "1.mcap")["/diagnostics"]) == [100_000_000]
    assert list(by_topic(tmp_path / "2.mcap")["/diagnostics"]) == [200_000_000]


def test_no_name() -> None:
    with pytest.raises(InputError, match=r"for example mcap:drive\.mcap"):
        open_sink("mcap:", CONTEXT)
