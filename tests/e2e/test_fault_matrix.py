"""Each fault of `test://` under each policy: no certified pixel on a fake frame.

The oracle does not ask the source what it did: it renders the scene of each frame's time again and
calls a frame fake where the picture is another one. A row of `FAULTS` is a fault, a column of
`POLICIES` a way to stream.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from lipdeploy.cli.stream_summary import summary
from lipdeploy.core.errors import LipdeployError
from lipdeploy.runtime.report import StreamReport
from lipdeploy.runtime.result import Result
from lipdeploy.runtime.session import open_session
from lipdeploy.runtime.sinks.jsonl import JsonlSink
from lipdeploy.runtime.sources import Frame, open_source
from lipdeploy.runtime.stream import Stream, StreamOptions
from lipdeploy.samples import scene

SEED, HEIGHT, WIDTH, FPS, FRAMES = 3, 48, 64, 10, 10
SCENE = f"test://scene?seed={SEED}&duration=1s&size={WIDTH}x{HEIGHT}&fps={FPS}"


@dataclass(frozen=True)
class Row:
    """A fault, how its frames are called, the exit code, and whether `--allow-still` admits it.

    A file that breaks off has ended; a live link that `comes_back` is connected again.
    """

    fault: str
    reason: str = ""
    exit_code: int = 0
    a_repeat: bool = False
    lost: frozenset[int] = frozenset()
    comes_back: bool = False

    def ends_with(self, policy: Policy) -> int:
        """The exit code."""
        return 0 if self.comes_back and policy.live else self.exit_code


FAULTS = [
    Row(""),
    Row("freeze@0.3s-0.6s", "frozen", a_repeat=True),
    Row("freeze@0.5s", "frozen", a_repeat=True),
    Row("black@0.3s-0.6s", "black"),
    Row("corrupt@0.3s-0.6s", "corrupt"),
    Row("drop@0.3s-0.6s", lost=frozenset({3, 5})),
    Row("slow@0.5s-0.6s"),
    Row("resize@0.3s-0.6s"),
    Row("disconnect@0.6s", exit_code=5, lost=frozenset({6, 7, 8, 9})),
    Row("disconnect@0.3s+0.2s", exit_code=5, lost=frozenset(range(3, 10)), comes_back=True),
    Row("disconnect@0s+0.2s", exit_code=5, lost=frozenset(range(10)), comes_back=True),
]
SEVERAL = "&fault=black@0.2s-0.4s,corrupt@0.5s-0.7s"


@dataclass(frozen=True)
class Policy:
    """A way to stream; under a tiny budget no live frame is ever fresh."""

    name: str
    live: bool
    options: dict[str, Any] = field(default_factory=dict)


POLICIES = [
    Policy("file", live=False),
    Policy("file, tiny budget", live=False, options={"max_staleness_s": 1e-6}),
    Policy("file, allow still", live=False, options={"allow_still": True}),
    Policy("live", live=True, options={"max_staleness_s": 60.0}),
    Policy("live, tiny budget", live=True, options={"max_staleness_s": 1e-6}),
    Policy("live, allow still", live=True, options={"max_staleness_s": 60.0, "allow_still": True}),
]


@dataclass(frozen=True)
class Ran:
    """What came out of a run."""

    results: list[Result]
    lines: list[dict[str, Any]]
    report: StreamReport
    exit_code: int


def run(address: str, policy: Policy, model: Path, tiny: ModuleType, folder: Path) -> Ran:
    sink, log = tiny.Recorder(wants_overlay=True), folder / "log.jsonl"
    exit_code = 0
    with open_session(model) as session:
        source = open_source(address + ("&live=1" if policy.live else ""))
        sinks = [sink, JsonlSink(log, tiny.CLASSES)]
        stream = Stream(session, source, sinks, StreamOptions(eps=0.02, **policy.options))
        try:
            stream.run()
        except LipdeployError as error:
            exit_code = error.exit_code
        source.close()
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    return Ran(sink.results, lines, stream.report, exit_code)


@functools.cache
def drawn_at(time_s: float) -> npt.NDArray[np.uint8]:
    """The scene as it is; small, so all of them are kept."""
    return scene.render(SEED, time_s, HEIGHT, WIDTH).image


def is_fake(frame: Frame) -> bool:
    """Whether the picture is not the scene at the frame's time, whole or at half the size."""
    drawn = drawn_at(frame.time_ms * 1e-3)
    half = cv2.resize(drawn, (WIDTH // 2, HEIGHT // 2), interpolation=cv2.INTER_AREA)
    return not any(
        frame.image.shape == genuine.shape and np.array_equal(frame.image, genuine)
        for genuine in (drawn, half)
    )


def has_class_colours(result: Result) -> bool:
    """Whether any pixel is tinted: grey, the red banner and its amber words are no class's."""
    assert result.overlay is not None
    red, green, blue = (result.overlay[..., k].astype(int) for k in range(3))
    return bool(np.any((np.maximum(green, blue) > red + 12) | (blue > green + 12)))


def cases() -> Iterator[Any]:
    for row in FAULTS:
        for policy in POLICIES:
            yield pytest.param(row, policy, id=f"{row.fault or 'no fault'} {policy.name}")


@pytest.mark.parametrize(("row", "policy"), [*cases()])
def test_fault(
    row: Row, policy: Policy, model_path: Path, tiny: ModuleType, tmp_path: Path
) -> None:
    address = SCENE + (f"&fault={row.fault}" if row.fault else "")
    ran = run(address, policy, model_path, tiny, tmp_path)
    assert ran.exit_code == row.ends_with(policy)
    admitted = row.a_repeat and policy.options.get("allow_still", False)
    for result in ran.results:
        check_truth(result, admitted)
    check_lines(ran)
    if not policy.live:
        check_file(ran, row, admitted)
    elif policy.options["max_staleness_s"] < 1:
        assert not any(result.claims for result in ran.results)
    else:
        # How many frames a busy machine lets through is not known; the files above show all.
        genuine = [r for r in ran.results if not is_fake(r.frame)]
        assert all(r.claims for r in genuine), "a fresh genuine frame is not withheld"
        assert genuine or row.fault
    if row.comes_back and policy.live:
        check_reconnected(ran, row)
    check_recovery(ran)


def check_reconnected(ran: Ran, row: Row) -> None:
    """Nothing is shown of the time without a link, and the gap is counted and reported."""
    start_s, end_s = (float(text.rstrip("s")) for text in row.fault.partition("@")[2].split("+"))
    times_s = [r.frame.time_ms * 1e-3 for r in ran.results]
    assert not any(start_s <= time_s < start_s + end_s for time_s in times_s)
    (source,) = ran.report.sources
    assert (source.status, ran.report.frames_in) == ("ended", ran.report.shown + ran.report.dropped)
    if start_s:  # else the first connection is what took so long
        assert source.reconnects == 1
        assert source.down_s >= end_s
        assert ran.report.missing >= round(end_s * FPS) or max(times_s, default=0.0) < start_s


def check_truth(result: Result, admitted: bool) -> None:
    """Nothing is claimed of a fake frame, in data or in the picture."""
    if is_fake(result.frame) and not admitted:
        assert not result.claims
    if result.state == "withheld":
        assert result.reason
        assert (result.prediction, result.regions, result.flips) == (None, None, None)
        assert not has_class_colours(result)


def check_lines(ran: Ran) -> None:
    """JSON says the same as the pictures."""
    states = {r.frame.index: (r.state, r.reason or None) for r in ran.results}
    for line in ran.lines:
        if line["index"] is not None:
            assert (line["state"], line["reason"]) == states[line["index"]]
        if line["state"] == "withheld":
            assert (line["regions"], line["certified_share"], line["flips"]) == ([], None, None)


def check_file(ran: Ran, row: Row, admitted: bool) -> None:
    """Of a file every frame is shown, and exactly the fake ones are withheld with their reason."""
    indices = [r.frame.index for r in ran.results]
    assert indices == [k for k in range(FRAMES) if k not in row.lost]
    for result in ran.results:
        fake = is_fake(result.frame) and not admitted
        assert (result.state, result.reason) == (("withheld", row.reason) if fake else ("ok", ""))
        assert result.claims != fake
        if not fake:
            assert has_class_colours(result), "or the check of the pictures sees nothing"
    withheld = sum(r.state == "withheld" for r in ran.results)
    assert ran.report.withheld == ({row.reason: withheld} if withheld else {})


def check_recovery(ran: Ran) -> None:
    """The summary says how soon the first good frame came after the last bad one."""
    states = [r.state for r in ran.results]
    stretches = sum(
        state == "withheld" and (k == 0 or states[k - 1] == "ok") for k, state in enumerate(states)
    )
    outages = ran.report.outages
    assert outages.count == stretches + bool(ran.report.placeholders and not stretches)
    recovered = [k for k in range(1, len(states)) if states[k - 1 : k + 1] == ["withheld", "ok"]]
    assert (outages.recovery_s is not None) == bool(recovered)
    if not recovered:
        return
    good, bad = ran.results[recovered[-1]], ran.results[recovered[-1] - 1]
    assert "first good frame" in summary(ran.report)
    assert outages.recovery_s is not None
    assert outages.longest_recovery_s is not None
    assert outages.longest_recovery_s >= outages.recovery_s
    if good.age_ms is None:  # a file: by the recording's time
        assert outages.recovery_s == pytest.approx((good.frame.time_ms - bad.frame.time_ms) * 1e-3)
    else:
        shown_s = good.frame.captured_s + good.age_ms * 1e-3
        assert outages.recovery_s == pytest.approx(shown_s - bad.frame.captured_s, abs=1e-3)


def test_several_faults_in_a_row(model_path: Path, tiny: ModuleType, tmp_path: Path) -> None:
    ran = run(SCENE + SEVERAL, POLICIES[0], model_path, tiny, tmp_path)
    reasons = [r.reason for r in ran.results]
    assert reasons == ["", "", "black", "black", "", "corrupt", "corrupt", "", "", ""]
    assert ran.report.outages.count == 2


@pytest.mark.parametrize("policy", ["stop", "continue"])
@pytest.mark.parametrize("fault", ["", "&fault=disconnect@0.6s"])
def test_sink_that_fails(model_path: Path, tiny: ModuleType, fault: str, policy: str) -> None:
    """The sink's failure decides the exit code where it ends the run, else the source's does."""
    good, exit_code = tiny.Recorder(), 0
    options: dict[str, Any] = {"on_sink_error": policy}
    with open_session(model_path) as session:
        sinks = [tiny.Recorder(fails_at=1), good]
        stream = Stream(session, open_source(SCENE + fault), sinks, StreamOptions(**options))
        try:
            stream.run()
        except LipdeployError as error:
            exit_code = error.exit_code
    if policy == "continue":
        assert exit_code == (5 if fault else 0)
        assert len(good.results) == (6 if fault else 10)
    else:
        assert exit_code in ({1, 5} if fault else {1}), "whichever came first"
    assert stream.report.sinks[0].error == "the disk is full; free it"
