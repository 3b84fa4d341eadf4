"""Metrics for Prometheus, served over HTTP.

The only file that imports prometheus_client, from `lipdeploy[metrics]`.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from urllib.parse import urlsplit

from prometheus_client import CollectorRegistry, Histogram, make_wsgi_app
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from lipdeploy.core.errors import InputError
from lipdeploy.runtime.result import Result
from lipdeploy.runtime.sinks.context import SinkContext
from lipdeploy.runtime.sinks.metrics_server import MetricsServer
from lipdeploy.runtime.sinks.seen import Seen
from lipdeploy.runtime.sources.redact import redacted
from lipdeploy.runtime.status import StreamStatus

_LOG = logging.getLogger(__name__)

PORT = 9108
_LOOPBACK = "127.0.0.1"
_BUCKETS_S = (0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.5, 1.0, 2.0, 5.0)


class PrometheusSink:
    """Serves what the stream tells of itself, and a histogram of the latency of each frame.

    Args:
        host: interface to listen on; loopback is seen by this machine alone.
        port: 0 takes a free one, see `port`.
        context: where it has no status, the figures are those of the frames this sink took.

    Raises:
        InputError: host or port cannot be listened on.
    """

    wants_overlay = False

    def __init__(self, host: str, port: int, context: SinkContext) -> None:
        self._seen = Seen(context.class_names)
        registry = CollectorRegistry()
        registry.register(_StatusCollector(context.status or self._seen.status))
        self._latency = Histogram(
            "lipdeploy_latency_seconds",
            "From the capture of a frame to the sinks.",
            buckets=_BUCKETS_S,
            registry=registry,
        )
        try:
            self._server = MetricsServer(host, port)
        except (OSError, OverflowError) as error:
            raise InputError(
                f"sink prometheus://{host}:{port} cannot listen ({error}); name another port"
            ) from error
        self.port = int(self._server.server_address[1])
        self._server.set_app(make_wsgi_app(registry))
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def write(self, result: Result) -> None:
        """Count one frame; a placeholder is none, and the states come from the status."""
        if result.placeholder:
            return
        self._latency.observe(result.latency_ms / 1e3)
        self._seen.add(result)

    def describe(self) -> str:
        """Nothing is kept."""
        return ""

    def close(self) -> None:
        """Stop serving; safe to call twice."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _StatusCollector(Collector):
    """A snapshot of the stream at each scrape. What is not claimed is absent, not 0."""

    def __init__(self, status: Callable[[], StreamStatus]) -> None:
        self._status = status

    def collect(self) -> Iterator[Metric]:
        status = self._status()
        yield from _counts(status)
        yield from _claims(status)
        yield from _sources(status)

    def describe(self) -> list[Metric]:
        """Nothing: registering must not ask a stream that has not begun."""
        return []


def _counts(status: StreamStatus) -> Iterator[Metric]:
    yield CounterMetricFamily(
        "lipdeploy_frames_captured", "Frames captured.", value=status.frames_in
    )
    yield CounterMetricFamily(
        "lipdeploy_frames_shown", "Frames that reached the sinks.", value=status.shown
    )
    dropped = CounterMetricFamily(
        "lipdeploy_frames_dropped", "Frames that were replaced by newer ones.", labels=["place"]
    )
    dropped.add_metric(["stream"], status.dropped)
    for sink in status.sinks:
        dropped.add_metric([f"sink {sink.name}"], sink.dropped)
    yield dropped
    withheld = CounterMetricFamily(
        "lipdeploy_frames_withheld", "Frames of which nothing was claimed.", labels=["reason"]
    )
    for reason, count in status.withheld.items():
        withheld.add_metric([reason], count)
    yield withheld
    yield GaugeMetricFamily("lipdeploy_fps", "Frames shown a second.", value=status.fps)
    yield GaugeMetricFamily(
        "lipdeploy_uptime_seconds", "Since the stream began.", value=status.uptime_s
    )


def _claims(status: StreamStatus) -> Iterator[Metric]:
    yield InfoMetricFamily(
        "lipdeploy_guarantee", "Level of every certified figure.", value={"level": status.level}
    )
    yield GaugeMetricFamily(
        "lipdeploy_eps", "Budget of the newest frame, l2 at the network.", value=status.eps
    )
    state = GaugeMetricFamily(
        "lipdeploy_state", "1 for the state of the newest frame.", labels=["state", "reason"]
    )
    state.add_metric([status.state, status.reason], 1)
    yield state
    share = GaugeMetricFamily(
        "lipdeploy_certified_share", "Certified-stable share of the newest frame, collective."
    )
    if status.certified_share is not None:
        share.add_metric([], status.certified_share)
    yield share
    classes = GaugeMetricFamily(
        "lipdeploy_class_certified_share", "The same of each class in it.", labels=["class"]
    )
    for name, value in status.class_shares.items():
        classes.add_metric([name], value)
    yield classes


def _sources(status: StreamStatus) -> Iterator[Metric]:
    state = GaugeMetricFamily(
        "lipdeploy_source_state", "1 for the state each source is in.", labels=["source", "state"]
    )
    reconnects = CounterMetricFamily(
        "lipdeploy_source_reconnects", "Times a source came back.", labels=["source"]
    )
    for source in status.sources:
        state.add_metric([source.name, source.status], 1)
        reconnects.add_metric([source.name], source.reconnects)
    yield state
    yield reconnects
    failed = GaugeMetricFamily(
        "lipdeploy_sink_failed", "1 for a sink that ended early.", labels=["sink"]
    )
    for sink in status.sinks:
        failed.add_metric([sink.name], float(bool(sink.error)))
    yield failed


def open_prometheus(address: str, context: SinkContext) -> PrometheusSink:
    """Open `prometheus://127.0.0.1:9108`, `prometheus://:9108` or `prometheus://`.

    Raises:
        InputError: no such address, or it cannot be listened on.
    """
    try:
        parts = urlsplit(address)
        host, port = parts.hostname or _LOOPBACK, parts.port
    except ValueError as error:
        shown = redacted(address)
        raise InputError(f"sink {shown} has no such port ({error}); use 0 to 65535") from error
    if parts.path.strip("/") or parts.query or "@" in parts.netloc:
        shown = redacted(address)
        raise InputError(f"sink {shown} is not understood; expected prometheus://HOST:PORT")
    if host not in (_LOOPBACK, "localhost", "::1"):
        _LOG.warning("metrics at %s can be read by whoever reaches this machine", address)
    return PrometheusSink(host, PORT if port is None else port, context)
