"""The computing stages of the stream: from a frame to input, to prediction, to overlay."""

from __future__ import annotations

import dataclasses
import threading
import time
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

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


@dataclass(frozen=True)
class Prepared:
    """A frame ready for the model.

    Attributes:
        frame: as it was captured.
        fault: why no claim may be made of it; empty where it is sound.
        image: resized for the model, shape (H, W, 3), uint8; None where the frame has a fault.
        stage_ms: what the stages up to here took.
    """

    frame: Frame
    fault: str
    image: npt.NDArray[np.uint8] | None
    stage_ms: dict[str, float]


class Predictor:
    """Resizes frames, and runs the model on them with the budget of the moment.

    `prepare` and `predict` may run in threads of their own.
    """

    def __init__(
        self, session: Session, controls: Controls, drift: DriftMonitor | None = None
    ) -> None:
        self._session, self._drift = session, drift
        self._controls = controls
        self.no_eps_at_source = "no frame was processed"

    def prepare(self, frame: Frame, fault: str, capture_ms: float) -> Prepared:
        """Everything of a frame that does not need the engine."""
        stage_ms = {"capture": capture_ms}
        if fault:
            return Prepared(frame, fault, None, stage_ms)
        manifest = self._session.manifest
        start_s = time.monotonic()
        image = resized(frame.image, manifest.height, manifest.width)
        stage_ms["preprocess"] = (time.monotonic() - start_s) * 1e3
        return Prepared(frame, "", image, stage_ms)

    def predict(self, prepared: Prepared) -> Result:
        """A result with a prediction, or withheld without one where the frame has a fault.

        Raises:
            LipdeployError: the engine failed.
        """
        eps = self._controls.eps  # once: all that is said of the frame is said at this budget
        result = self._empty(prepared.frame, eps)
        result.stage_ms.update(prepared.stage_ms)
        fault = prepared.fault or (self._drift.reason if self._drift else "")
        if fault or prepared.image is None:
            result.state, result.reason = "withheld", fault
            return result
        start_s = time.monotonic()
        try:
            budgets = [eps] * self._session.manifest.budgets
            result.prediction = self._session.infer(prepared.image, budgets)
        except LipdeployError:
            raise
        except Exception as error:
            what = _engine_failure(self._session.engine, prepared.frame, error)
            raise LipdeployError(what) from error
        if self._drift is not None:
            self._drift.offer(prepared.frame.index, prepared.image, result.prediction)
        result.stage_ms["inference"] = (time.monotonic() - start_s) * 1e3
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
