"""The two computing stages of the stream: frame to prediction, prediction to overlay."""

from __future__ import annotations

import dataclasses
import threading
import time

from lipdeploy.core.errors import LipdeployError
from lipdeploy.core.resize import eps_at_source, resized
from lipdeploy.runtime.controls import Controls
from lipdeploy.runtime.drift import DriftMonitor
from lipdeploy.runtime.freshness import Freshness
from lipdeploy.runtime.overlay import Overlay
from lipdeploy.runtime.rate import Rate
from lipdeploy.runtime.regions import find_regions
from lipdeploy.runtime.result import Result
from lipdeploy.runtime.session import Prediction, Session
from lipdeploy.runtime.sources.frame import Frame
from lipdeploy.runtime.views import View


class Predictor:
    """Resizes a frame and runs the model on it, with the budget of the moment."""

    def __init__(
        self, session: Session, controls: Controls, drift: DriftMonitor | None = None
    ) -> None:
        self._session, self._drift = session, drift
        self._controls = controls
        self.no_eps_at_source = "no frame was processed"

    def predict(self, frame: Frame, fault: str) -> Result:
        """A result with a prediction, or withheld without one where the frame has a fault.

        Raises:
            LipdeployError: the engine failed.
        """
        eps = self._controls.eps  # once: all that is said of the frame is said at this budget
        result = self._empty(frame, eps)
        fault = fault or (self._drift.reason if self._drift else "")
        if fault:
            result.state, result.reason = "withheld", fault
            return result
        manifest = self._session.manifest
        start_s = time.monotonic()
        image = resized(frame.image, manifest.height, manifest.width)
        ready_s = time.monotonic()
        try:
            result.prediction = self._session.infer(image, [eps] * manifest.budgets)
        except LipdeployError:
            raise
        except Exception as error:
            raise LipdeployError(_engine_failure(self._session.engine, frame, error)) from error
        if self._drift is not None:
            self._drift.offer(frame.index, image, result.prediction)
        result.stage_ms["preprocess"] = (ready_s - start_s) * 1e3
        result.stage_ms["inference"] = (time.monotonic() - ready_s) * 1e3
        return result

    def placeholder(self, frame: Frame, reason: str) -> Result:
        """Says that a live source delivers nothing; shows the last frame, claims nothing."""
        manifest = self._session.manifest
        eps, level = self._controls.eps, manifest.numerics.level
        return Result(frame, "withheld", reason, eps, None, level, placeholder=True)

    def _empty(self, frame: Frame, eps: float) -> Result:
        manifest = self._session.manifest
        size = (frame.image.shape[0], frame.image.shape[1])
        eps_source, reason = eps_at_source(eps, size, (manifest.height, manifest.width))
        if eps_source is None:
            self.no_eps_at_source = reason
        return Result(frame, "ok", "", eps, eps_source, manifest.numerics.level)


def _engine_failure(engine: str, frame: Frame, error: Exception) -> str:
    what = f"{type(error).__name__}: {error}"
    return (
        f"{engine} failed on frame {frame.index} ({what}); "
        "run `lipdeploy verify` on the model, and check the memory that is free"
    )


class Certifier:
    """Judges the regions of a prediction and draws the overlay, where there is a view to draw."""

    def __init__(
        self, freshness: Freshness, session: Session, keep: float, view: View | None, rate: Rate
    ) -> None:
        manifest = session.manifest
        self._freshness = freshness
        self._keep = keep
        self._verified = manifest.numerics.level != "none"
        self._overlay = Overlay(manifest, keep, view) if view else None
        self._drawing = threading.Lock()  # a late frame is drawn again, in the thread of its sink
        self._rate = rate

    def certify(self, result: Result) -> Result:
        """The same result with regions and overlay, withheld where it became too old."""
        if result.prediction is not None:
            self._judge(result, result.prediction)
        if result.state == "ok" and self._freshness.stale(result.frame, time.monotonic()):
            _withhold(result, "stale")
        self.draw(result)
        return result

    def fresh(self, result: Result) -> Result:
        """The result itself, or a copy without any claim where it is too old by now."""
        if result.state != "ok" or not self._freshness.stale(result.frame, time.monotonic()):
            return result
        late = dataclasses.replace(result, stage_ms=dict(result.stage_ms))
        _withhold(late, "stale")
        self.draw(late)
        return late

    def draw(self, result: Result) -> None:
        """Draw the overlay of a result as it is now."""
        if self._overlay is None:
            return
        drawing_s = time.monotonic()
        with self._drawing:
            result.overlay = self._overlay.draw(result, self._rate.fps)
        result.stage_ms["overlay"] = (time.monotonic() - drawing_s) * 1e3

    def _judge(self, result: Result, prediction: Prediction) -> None:
        if not self._verified:
            result.reason = "not verified"
            return
        start_s = time.monotonic()
        result.regions = find_regions(prediction.mask, prediction.radius, result.eps, self._keep)
        result.stage_ms["certify"] = (time.monotonic() - start_s) * 1e3


def _withhold(result: Result, reason: str) -> None:
    result.state, result.reason = "withheld", reason
    result.prediction = result.regions = None
