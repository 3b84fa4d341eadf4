"""Metrics, scraped over HTTP and read by Prometheus' own parser."""

from __future__ import annotations

import contextlib
import logging
import socket
import threading
import urllib.request

import pytest
from prometheus_client.parser import text_string_to_metric_families

from lipdeploy.core.errors import InputError
from lipdeploy.runtime.sinks import SinkContext
from lipdeploy.runtime.sinks.metrics_server import VISITORS, MetricsHandler
from lipdeploy.runtime.sinks.prometheus import PrometheusSink, open_prometheus
from lipdeploy.runtime.sources.state import SourceState
from lipdeploy.runtime.status import SinkState, StreamStatus
from tests.runtime.page_visits import eventually
from tests.runtime.stream_results import CONTEXT, NAMES, result

Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def scraped(sink: PrometheusSink) -> Samples:
    with urllib.request.urlopen(f"http://127.0.0.1:{sink.port}/metrics", timeout=10) as answer:
        text = answer.read().decode()
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def status(share: float | None = 0.75) -> StreamStatus:
    return StreamStatus(
        uptime_s=12.5,
        frames_in=100,
        shown=90,
        dropped=10,
        withheld={"frozen": 3, "stale": 2},
        fps=19.5,
        latency_ms={"p50": 20.0},
        eps=0.25,
        level="bounded",
        state="ok" if share is not None else "withheld",
        reason="" if share is not None else "stale",
        certified_share=share,
        class_shares={"road": 0.9, 'a "b"\\c\n': 0.5} if share is not None else {},
        sources=(SourceState("cam 0", "reconnecting", 4),),
        sinks=(SinkState("out.mp4", 90, 0, "disk full"), SinkState("http://x", 50, 40)),
    )


def test_a_scrape_shows_the_status() -> None:
    context = SinkContext(10.0, NAMES, status=status)
    sink = open_prometheus("prometheus://127.0.0.1:0", context)
    try:
        found = scraped(sink)
    finally:
        sink.close()
        sink.close()
    expected: Samples = {
        ("lipdeploy_frames_captured_total", ()): 100,
        ("lipdeploy_frames_shown_total", ()): 90,
        ("lipdeploy_frames_dropped_total", (("place", "stream"),)): 10,
        ("lipdeploy_frames_dropped_total", (("place", "sink out.mp4"),)): 0,
        ("lipdeploy_frames_dropped_total", (("place", "sink http://x"),)): 40,
        ("lipdeploy_frames_withheld_total", (("reason", "frozen"),)): 3,
        ("lipdeploy_frames_withheld_total", (("reason", "stale"),)): 2,
        ("lipdeploy_certified_share", ()): 0.75,
        ("lipdeploy_class_certified_share", (("class", "road"),)): 0.9,
        ("lipdeploy_class_certified_share", (("class", 'a "b"\\c\n'),)): 0.5,
        ("lipdeploy_eps", ()): 0.25,
        ("lipdeploy_guarantee_info", (("level", "bounded"),)): 1,
        ("lipdeploy_state", (("reason", ""), ("state", "ok"))): 1,
        ("lipdeploy_source_state", (("source", "cam 0"), ("state", "reconnecting"))): 1,
        ("lipdeploy_source_reconnects_total", (("source", "cam 0"),)): 4,
        ("lipdeploy_sink_failed", (("sink", "out.mp4"),)): 1,
        ("lipdeploy_sink_failed", (("sink", "http://x"),)): 0,
        ("lipdeploy_fps", ()): 19.5,
        ("lipdeploy_uptime_seconds", ()): 12.5,
        ("lipdeploy_latency_seconds_count", ()): 0,
    }
    assert {key: found.get(key) for key in expected} == expected


def test_a_share_that_is_not_claimed_is_absent() -> None:
    context = SinkContext(10.0, NAMES, status=lambda: status(None))
    sink = open_prometheus("prometheus://127.0.0.1:0", context)
    try:
        names = {name for name, _ in scraped(sink)}
    finally:
        sink.close()
    assert not names & {"lipdeploy_certified_share", "lipdeploy_class_certified_share"}


def test_latency_is_a_histogram_and_frames_are_counted_without_a_stream() -> None:
    sink = open_prometheus("prometheus://127.0.0.1:0", CONTEXT)
    try:
        for index, latency_ms in enumerate([4.0, 40.0, 400.0]):
            made = result(index, state="withheld" if index == 1 else "ok")
            made.latency_ms = latency_ms
            sink.write(made)
        found = scraped(sink)
    finally:
        sink.close()
    buckets = {"0.005": 1, "0.05": 2, "0.3": 2, "0.5": 3, "+Inf": 3}
    for le, count in buckets.items():
        assert found["lipdeploy_latency_seconds_bucket", (("le", le),)] == count
    assert found["lipdeploy_latency_seconds_sum", ()] == pytest.approx(0.444)
    assert found["lipdeploy_frames_shown_total", ()] == 3
    assert found["lipdeploy_frames_withheld_total", (("reason", "black"),)] == 1
    assert found["lipdeploy_certified_share", ()] == 1 - 2 / 64


def test_visitors_who_say_nothing_are_few_and_leave_room(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(MetricsHandler, "timeout", 0.5)
    sink = PrometheusSink("127.0.0.1", 0, CONTEXT)
    before = threading.active_count()
    with contextlib.ExitStack() as stack:
        silent = [
            stack.enter_context(socket.create_connection(("127.0.0.1", sink.port), timeout=30))
            for _ in range(3 * VISITORS)
        ]
        assert threading.active_count() - before <= VISITORS
        for visitor in silent:  # all of them are hung up on, whoever got a thread
            with contextlib.suppress(ConnectionError):
                assert visitor.recv(1) == b""
    assert eventually(lambda: threading.active_count() <= before)
    assert scraped(sink)
    sink.close()
    assert threading.active_count() < before


def test_a_taken_port_is_told_before_the_first_frame() -> None:
    first = open_prometheus("prometheus://:0", CONTEXT)
    try:
        with pytest.raises(InputError, match="cannot listen"):
            open_prometheus(f"prometheus://127.0.0.1:{first.port}", CONTEXT)
    finally:
        first.close()


@pytest.mark.parametrize(
    "address", ["prometheus://h:99999", "prometheus://127.0.0.1:1/x", "prometheus://u:p@127.0.0.1"]
)
def test_refusals(address: str) -> None:
    with pytest.raises(InputError, match="sink prometheus://"):
        open_prometheus(address, CONTEXT)


@pytest.mark.parametrize(("host", "lines"), [("127.0.0.1", 0), ("0.0.0.0", 1)])
def test_whoever_may_read_is_told(host: str, lines: int, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        open_prometheus(f"prometheus://{host}:0", CONTEXT).close()
    assert len(caplog.messages) == lines
