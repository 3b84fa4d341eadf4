"""The stream: capture, resize, inference, certification with overlay, and sinks, a thread each.

Files are processed frame by frame in order. Of a live source the newest frame is taken, and those
that it replaces are counted. Every frame is judged when it arrives (`freshness`), and its age once
more before it is shown. However a run ends, the sinks are closed before `run` returns or raises,
but for those that hang.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from lipdeploy.core.errors import LipdeployError, SourceLostError
from lipdeploy.runtime.channel import Channel, Closed
from lipdeploy.runtime.controls import Controls
from lipdeploy.runtime.drift import DriftMonitor, DriftReport
from lipdeploy.runtime.freshness import freshness_of
from lipdeploy.runtime.measured_engines import measured_as
from lipdeploy.runtime.presence import Presence
from lipdeploy.runtime.rate import Rate
from lipdeploy.runtime.report import StreamReport
from lipdeploy.runtime.result import Result
from lipdeploy.runtime.session import Session, check_level
from lipdeploy.runtime.sinks.fan_out import FanOut
from lipdeploy.runtime.sinks.sink import Sink
from lipdeploy.runtime.snapshot import Snapshot
from lipdeploy.runtime.sources.frame import Frame, Source
from lipdeploy.runtime.sources.state import states_of
from lipdeploy.runtime.stages import Certifier, Predictor, Prepared
from lipdeploy.runtime.status import StreamStatus
from lipdeploy.runtime.stream_options import OnSinkError, StreamOptions, check_options
from lipdeploy.runtime.supervisor import Supervisor
from lipdeploy.runtime.tally import Tally

__all__ = ["OnSinkError", "Stream", "StreamOptions", "check_options"]

A = TypeVar("A")
B = TypeVar("B")

_FILE_QUEUE = 4
_POLL_S = 0.1
_JOIN_S = 2.0


@dataclass(frozen=True)
class _Captured:
    frame: Frame
    fault: str
    capture_ms: float


class Stream:
    """One run of a model over a source into sinks. The caller closes session and source.

    Args:
        session: the model.
        source: where frames come from.
        sinks: where results go; each runs in a thread of its own and is closed there.
        options: how to stream.
        controls: what may be changed while it runs; made from the options where left out.
        supervisor: who is told that it is alive.
        drift: checks some of the frames in the reference precision.

    Raises:
        InputError: an option out of range.
        VerificationError: the model is not verified and `unverified` is not set.
    """

    def __init__(
        self,
        session: Session,
        source: Source,
        sinks: Sequence[Sink],
        options: StreamOptions,
        controls: Controls | None = None,
        supervisor: Supervisor | None = None,
        drift: DriftMonitor | None = None,
    ) -> None:
        check_options(options)
        check_level(session, options.unverified)
        self._session, self._source, self._options = session, source, options
        self._controls = controls or Controls(options.eps)
        self._supervisor = supervisor or Supervisor()
        self._saved = tuple(filter(None, (sink.describe() for sink in sinks)))
        self._rate = Rate()
        self._tally = Tally(source.live)
        staleness_s = options.max_staleness_s
        self._freshness = freshness_of(source, staleness_s, options.allow_still)
        size = (session.manifest.height, session.manifest.width)
        self._presence = Presence(source.live, staleness_s, size)
        self._drift = drift
        self._predictor = Predictor(session, self._controls, drift)
        view = options.show if any(sink.wants_overlay for sink in sinks) else None
        self._certifier = Certifier(self._freshness, session, options.keep, view, self._rate)
        self._fan = FanOut(sinks, not source.live, self._certifier.fresh, options.stall_s)
        one = 1 if source.live else _FILE_QUEUE
        self._captured: Channel[_Captured] = Channel(one, newest=source.live)
        self._prepared: Channel[Prepared] = Channel(1, newest=source.live)
        self._predicted: Channel[Result] = Channel(1)
        self._drawn: Channel[Result] = Channel(1)
        self._taken = 0
        self._stopping = self._aborted = False
        self._error: Exception | None = None
        self._snapshot = Snapshot(session.manifest.class_names)
        self._start_s = self._last_capture_s = self._last_result_s = time.monotonic()

    def stop(self) -> None:
        """End the run after the frames that are under way; safe in a signal handler."""
        self._stopping = True
        self._fan.hurry(self._options.finish_s)

    def run(self) -> StreamReport:
        """Stream until the source ends, `max_frames` or `stop`.

        Raises:
            SourceLostError: the source broke off; all that it delivered was processed first.
            LipdeployError: a stage or a sink failed; the other sinks were closed first.
            KeyboardInterrupt: the run was aborted; nothing was waited for.
        """
        self._start_s = self._last_capture_s = self._last_result_s = time.monotonic()
        states = states_of(self._source)
        cameras = [state.name for state in states] if len(states) > 1 else []
        self._presence.start(self._start_s, cameras if self._source.live else [])
        self._fan.start()
        works = (self._capture, self._prepare, self._predict, self._certify)
        threads = [threading.Thread(target=work, daemon=True) for work in works]
        for thread in threads:
            thread.start()
        try:
            self._show_all()
        except KeyboardInterrupt:
            self._aborted = True
            raise
        finally:
            self._end(threads)
        if self._error is not None:
            raise self._error
        return self.report

    def status(self) -> StreamStatus:
        """The stream as it is now; may be called from any thread."""
        now_s = time.monotonic()
        tally = self._tally
        return self._snapshot.status(
            uptime_s=now_s - self._start_s,
            frames_in=tally.frames_in,
            shown=tally.shown,
            dropped=self._dropped,
            withheld=tally.withheld(),
            fps=self._rate.fps if now_s - self._last_result_s < 1.0 + 2 / self._source.fps else 0.0,
            latency_ms=tally.latency_of_last_minute(now_s),
            eps=self._controls.eps,
            level=self._session.manifest.numerics.level,
            sources=states_of(self._source),
            sinks=self._fan.states(),
            drift=self._drift.report if self._drift else DriftReport(),
        )

    @property
    def report(self) -> StreamReport:
        """What happened so far; complete after `run`, also where it raised."""
        wall_s = time.monotonic() - self._start_s
        manifest = self._session.manifest
        fields = self._tally.fields(self._controls.eps)
        dropped = max(0, fields["frames_in"] - fields["shown"])
        no_eps = "" if fields["eps_source"] is not None else self._predictor.no_eps_at_source
        return StreamReport(
            source=self._source.describe(),
            dropped=dropped,
            dropped_at={
                "queue": self._dropped,
                "stop": max(0, dropped - self._dropped),
            },
            fps=fields["shown"] / wall_s if wall_s > 0 else 0.0,
            wall_s=wall_s,
            eps_source_reason=no_eps,
            level=manifest.numerics.level,
            allow_still=self._options.allow_still and not self._source.still,
            weights_sha256=manifest.weights_sha256,
            engine=self._session.engine,
            measured_on=measured_as(
                self._session.engine, manifest.numerics, self._session.standing.record
            ),
            model_shape=(1, manifest.height, manifest.width, 3),
            saved=self._saved,
            sinks=self._fan.states(),
            sources=states_of(self._source),
            drift=self._drift.report if self._drift else DriftReport(),
            **fields,
        )

    @property
    def _dropped(self) -> int:
        """Frames that a newer one of the live source replaced."""
        return self._captured.dropped + self._prepared.dropped

    def _capture(self) -> None:
        try:
            before_s = time.monotonic()
            for frame in self._source:
                self._last_capture_s = now_s = time.monotonic()
                self._take(frame, now_s, (now_s - before_s) * 1e3)
                # A live source goes on until enough of its frames were processed.
                enough = not self._source.live and self._enough(self._tally.frames_in)
                if self._stopping or enough:
                    break
                before_s = time.monotonic()
        except Closed:
            pass
        except LipdeployError as error:
            self._fail(error)
        except Exception as error:
            what = f"{self._source.describe()} failed ({type(error).__name__}: {error}); check it"
            lost = SourceLostError(what)
            lost.__cause__ = error
            self._fail(lost)
        finally:
            self._captured.close()

    def _take(self, frame: Frame, now_s: float, capture_ms: float) -> None:
        """Judge a frame on arrival: also one that is dropped may be what the next one repeats."""
        self._tally.captured(frame)
        self._presence.captured(frame, now_s)
        self._captured.put(_Captured(frame, self._freshness.fault(frame), capture_ms))

    def _prepare(self) -> None:
        # A live frame that is replaced afterwards was resized for nothing: the price of having the
        # newest one ready when the engine is.
        def work(captured: _Captured) -> Prepared:
            return self._predictor.prepare(captured.frame, captured.fault, captured.capture_ms)

        self._pump(work, self._captured, self._prepared)

    def _predict(self) -> None:
        def work(prepared: Prepared) -> Result:
            if self._enough(self._taken):
                raise Closed
            self._taken += 1
            if self._enough(self._taken):
                self._captured.close()
            return self._predictor.predict(prepared)

        self._pump(work, self._prepared, self._predicted)

    def _certify(self) -> None:
        self._pump(self._certifier.certify, self._predicted, self._drawn)

    def _pump(self, work: Callable[[A], B], inbox: Channel[A], outbox: Channel[B]) -> None:
        """Move items through `work` until either end closes; a failure closes both."""
        try:
            while True:
                item = inbox.get()
                if item is not None:
                    outbox.put(work(item))
        except Closed:
            pass
        except Exception as error:
            self._fail(error)
        finally:
            inbox.close()
            outbox.close()

    def _show_all(self) -> None:
        while True:
            wait_s = self._presence.wait_s(time.monotonic(), _POLL_S)
            try:
                result = self._drawn.get(wait_s)
            except Closed:
                return
            if result is not None:
                self._show(self._certifier.fresh(result))
                self._last_result_s = time.monotonic()
                self._rate.tick(self._last_result_s)
            self._tend(time.monotonic())

    def _show(self, result: Result) -> None:
        now_s = time.monotonic()
        result.latency_ms = (now_s - result.frame.captured_s) * 1e3
        result.captured_at_s = result.frame.capture_wall_s
        if self._source.live:
            result.age_ms = result.latency_ms
            if result.captured_at_s is None:
                result.captured_at_s = time.time() - result.latency_ms * 1e-3
        self._fan.show(result)
        self._tally.add(result, now_s)
        self._presence.shown(result, now_s)
        self._snapshot.show(result)
        self._supervisor.ready()

    def _tend(self, now_s: float) -> None:
        """What has to be looked after whether or not frames come."""
        self._take_failures()
        if not self._stopping:
            for frame, reason in self._presence.due(now_s):
                late = self._predictor.placeholder(frame, reason)
                self._certifier.draw(late)
                self._show(late)
            self._watch_source(now_s)
        self._supervisor.beat(now_s, self._flowing(now_s), lambda: self._snapshot.line(self._rate))
        if self._stopping:
            self._supervisor.stopping()
            self._captured.close()
            self._watch_engine(now_s)

    def _take_failures(self) -> None:
        for error in self._fan.newly_failed():
            if self._options.on_sink_error == "stop" or self._fan.none_left:
                self._fail(error)
                self.stop()

    def _watch_source(self, now_s: float) -> None:
        silent_s = now_s - self._last_capture_s
        if not self._source.live or self._reconnecting() or silent_s <= self._options.stall_s:
            return
        what = self._source.describe()
        self._fail(SourceLostError(f"{what} delivered no frame for {silent_s:.0f} s; check it"))
        self.stop()

    def _watch_engine(self, now_s: float) -> None:
        """At the end, do not wait for ever for a frame that does not come out."""
        silent_s = now_s - max(self._last_result_s, self._last_capture_s)
        if silent_s > self._options.stall_s:
            engine = self._session.engine
            what = f"{engine} gave no result for {silent_s:.0f} s at the end of the run"
            self._fail(LipdeployError(f"{what} and was given up; check the device"))
            self._drawn.close()

    def _reconnecting(self) -> bool:
        states = states_of(self._source)
        return any(state.status in ("connecting", "reconnecting") for state in states)

    def _flowing(self, now_s: float) -> bool:
        """Whether real frames come through, or are known to come again."""
        repeats = self._snapshot.reason in ("frozen", "repeated")
        late_s = max(1.0, 2 / self._source.fps, self._options.max_staleness_s)
        return (now_s - self._last_result_s <= late_s and not repeats) or self._reconnecting()

    def _enough(self, frames: int) -> bool:
        return self._options.max_frames is not None and frames >= self._options.max_frames

    def _end(self, threads: Sequence[threading.Thread]) -> None:
        self._stopping = True
        self._supervisor.stopping()
        for channel in (self._captured, self._prepared, self._predicted, self._drawn):
            channel.close()
        self._fan.finish(0.0 if self._aborted else self._options.finish_s)
        if not self._aborted:
            self._take_failures()
            end_s = time.monotonic() + _JOIN_S
            for thread in threads:
                thread.join(max(0.0, end_s - time.monotonic()))
            if self._drift is not None:
                self._drift.finish(self._options.finish_s)

    def _fail(self, error: Exception) -> None:
        self._error = self._error or error
