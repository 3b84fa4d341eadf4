"""The stream: capture, inference, certification with overlay, and sinks, each in its own thread.

Files are processed frame by frame in order. Of a live source the newest frame is taken, and those
that it replaces are counted. However a run ends, the sinks are closed before `run` returns or
raises.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from lipdeploy.core.errors import InputError, SourceLostError
from lipdeploy.runtime.channel import Channel, Closed
from lipdeploy.runtime.rate import Rate
from lipdeploy.runtime.report import StreamReport, Tally
from lipdeploy.runtime.result import Result
from lipdeploy.runtime.session import Session, check_level, checked_eps
from lipdeploy.runtime.sinks.sink import Sink
from lipdeploy.runtime.sources.frame import Frame, Source
from lipdeploy.runtime.stages import Certifier, Predictor
from lipdeploy.runtime.views import View, checked_view

A = TypeVar("A")
B = TypeVar("B")

_FILE_QUEUE = 4
_POLL_S = 0.1
_JOIN_S = 2.0


@dataclass(frozen=True)
class StreamOptions:
    """How to stream.

    Attributes:
        eps: budget in l2 at the network's input, images in [0,1].
        keep: share of a region that must stay for it to be called stable, above 0 up to 1.
        max_frames: end after so many frames were processed; None for all.
        max_staleness_s: oldest acceptable live frame.
        stall_s: a live source that delivers nothing for so long is lost.
        unverified: run any model, claiming nothing.
        show: what the overlay shows.
    """

    eps: float = 0.25
    keep: float = 0.9
    max_frames: int | None = None
    max_staleness_s: float = 0.5
    stall_s: float = 30.0
    unverified: bool = False
    show: View = "regions"


@dataclass(frozen=True)
class _Captured:
    frame: Frame
    capture_ms: float


class Stream:
    """One run of a model over a source into sinks. The caller closes session and source.

    Raises:
        InputError: an option out of range.
        VerificationError: the model is not verified and `unverified` is not set.
    """

    def __init__(
        self, session: Session, source: Source, sinks: Sequence[Sink], options: StreamOptions
    ) -> None:
        check_options(options)
        check_level(session, options.unverified)
        self._session = session
        self._source = source
        self._sinks = list(sinks)
        self._options = options
        self._saved = tuple(filter(None, (sink.describe() for sink in sinks)))
        overlay = any(sink.wants_overlay for sink in sinks)
        self._rate = Rate()
        self._predictor = Predictor(session, source, options.eps, options.max_staleness_s)
        view = options.show if overlay else None
        self._certifier = Certifier(self._predictor, session, options.keep, view, self._rate)
        one = 1 if source.live else _FILE_QUEUE
        self._captured: Channel[_Captured] = Channel(one, newest=source.live)
        self._predicted: Channel[Result] = Channel(1)
        self._drawn: Channel[Result] = Channel(1)
        self._tally = Tally()
        self._frames_in = 0
        self._taken = 0
        self._stopping = False
        self._error: BaseException | None = None
        self._start_s = self._last_capture_s = time.monotonic()

    def stop(self) -> None:
        """End the run after the frames that are under way; safe in a signal handler."""
        self._stopping = True

    def run(self) -> StreamReport:
        """Stream until the source ends, `max_frames` or `stop`.

        Raises:
            SourceLostError: the source broke off; all that it delivered was processed first.
            LipdeployError: a stage or a sink failed; the other sinks were closed first.
        """
        self._start_s = self._last_capture_s = time.monotonic()
        threads = [
            threading.Thread(target=work, daemon=True)
            for work in (self._capture, self._predict, self._certify)
        ]
        for thread in threads:
            thread.start()
        try:
            self._show_all()
        finally:
            self._stopping = True
            for channel in (self._captured, self._predicted, self._drawn):
                channel.close()
            self._close_sinks()
            for thread in threads:
                thread.join(_JOIN_S)
        if self._error is not None:
            raise self._error
        return self.report

    @property
    def report(self) -> StreamReport:
        """What happened so far; complete after `run`, also where it raised."""
        wall_s = time.monotonic() - self._start_s
        manifest = self._session.manifest
        eps_source, reason = self._predictor.eps_at_source
        return StreamReport(
            source=self._source.describe(),
            frames_in=self._frames_in,
            dropped=max(0, self._frames_in - self._tally.shown),
            fps=self._tally.shown / wall_s if wall_s > 0 else 0.0,
            wall_s=wall_s,
            eps=self._options.eps,
            eps_source=eps_source,
            eps_source_reason=reason,
            level=manifest.numerics.level,
            weights_sha256=manifest.weights_sha256,
            engine=self._session.engine,
            measured_on=str(manifest.numerics.evidence.get("engine", "")),
            model_shape=(1, manifest.height, manifest.width, 3),
            saved=self._saved,
            **self._tally.fields(),
        )

    def _capture(self) -> None:
        try:
            before_s = time.monotonic()
            for frame in self._source:
                self._last_capture_s = now_s = time.monotonic()
                self._frames_in += 1
                self._tally.captured(frame.index)
                self._captured.put(_Captured(frame, (now_s - before_s) * 1e3))
                # A live source goes on until enough of its frames were processed.
                if self._stopping or (not self._source.live and self._enough(self._frames_in)):
                    break
                before_s = time.monotonic()
        except Closed:
            pass
        except BaseException as error:
            self._fail(error)
        finally:
            self._captured.close()

    def _predict(self) -> None:
        def work(captured: _Captured) -> Result:
            if self._enough(self._taken):
                raise Closed
            self._taken += 1
            if self._enough(self._taken):
                self._captured.close()
            result = self._predictor.predict(captured.frame)
            result.stage_ms["capture"] = captured.capture_ms
            return result

        self._pump(work, self._captured, self._predicted)

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
        except BaseException as error:
            self._fail(error)
        finally:
            inbox.close()
            outbox.close()

    def _show_all(self) -> None:
        while True:
            try:
                result = self._drawn.get(_POLL_S)
            except Closed:
                return
            if result is not None:
                self._show(result)
            self._watch_source()
            if self._stopping:
                self._captured.close()

    def _show(self, result: Result) -> None:
        result.latency_ms = (time.monotonic() - result.frame.captured_s) * 1e3
        for sink in list(self._sinks):
            self._write(sink, result)
        self._tally.add(result)
        self._rate.tick(time.monotonic())

    def _write(self, sink: Sink, result: Result) -> None:
        try:
            sink.write(result)
        except Exception as error:
            self._fail(error)
            self._stopping = True
            self._sinks.remove(sink)
            self._close(sink)

    def _watch_source(self) -> None:
        silent_s = time.monotonic() - self._last_capture_s
        if self._source.live and not self._stopping and silent_s > self._options.stall_s:
            self._stopping = True
            what = self._source.describe()
            self._fail(SourceLostError(f"{what} delivered no frame for {silent_s:.0f} s; check it"))

    def _enough(self, frames: int) -> bool:
        return self._options.max_frames is not None and frames >= self._options.max_frames

    def _fail(self, error: BaseException) -> None:
        if self._error is None:
            self._error = error

    def _close_sinks(self) -> None:
        for sink in self._sinks:
            self._close(sink)

    def _close(self, sink: Sink) -> None:
        try:
            sink.close()
        except Exception as error:
            self._fail(error)


def check_options(options: StreamOptions) -> None:
    """Check ranges.

    Raises:
        InputError: an option out of range.
    """
    checked_eps(options.eps)
    checked_view(options.show)
    if not 0 < options.keep <= 1:
        raise InputError(f"keep is {options.keep}; expected a share above 0 and up to 1")
    if options.max_frames is not None and options.max_frames < 1:
        raise InputError(f"max frames is {options.max_frames}; expected 1 or more")
    if not options.max_staleness_s > 0:
        raise InputError(f"max staleness is {options.max_staleness_s}; expected seconds above 0")
