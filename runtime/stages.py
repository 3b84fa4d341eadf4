"""The two computing stages of the stream: frame to prediction, prediction to overlay."""

from __future__ import annotations

import time

from lipdeploy.core.resize import eps_at_source, resized
from lipdeploy.runtime.freshness import Freshness
from lipdeploy.runtime.overlay import Overlay
from lipdeploy.runtime.rate import Rate
from lipdeploy.runtime.regions import find_regions
from lipdeploy.runtime.result import Result, State
from lipdeploy.runtime.session import Session
from lipdeploy.runtime.sources.frame import Frame, Source
from lipdeploy.runtime.views import View


class Predictor:
    """Judges a frame's freshness, resizes it and runs the model on it."""

    def __init__(
        self, session: Session, source: Source, eps: float, max_staleness_s: float
    ) -> None:
        self._session = session
        self._eps = eps
        self.freshness = Freshness(source.live, source.still, max_staleness_s)
        self.eps_at_source: tuple[float | None, str] = (None, "no frame was processed")
        self._seen = False

    def predict(self, frame: Frame) -> Result:
        """A result with a prediction, or withheld without one."""
        manifest = self._session.manifest
        reason = self.freshness.fault(frame)
        eps_source = self._eps_at_source(frame)
        state: State = "withheld" if reason else "ok"
        result = Result(frame, state, reason, self._eps, eps_source, manifest.numerics.level)
        if reason:
            return result
        start_s = time.monotonic()
        image = resized(frame.image, manifest.height, manifest.width)
        ready_s = time.monotonic()
        result.prediction = self._session.infer(image, [self._eps] * manifest.budgets)
        result.stage_ms["preprocess"] = (ready_s - start_s) * 1e3
        result.stage_ms["inference"] = (time.monotonic() - ready_s) * 1e3
        return result

    def _eps_at_source(self, frame: Frame) -> float | None:
        manifest = self._session.manifest
        size = (frame.image.shape[0], frame.image.shape[1])
        at_source = eps_at_source(self._eps, size, (manifest.height, manifest.width))
        # Of the whole run: the budget that held for every frame.
        if not self._seen or at_source[0] is None:
            self.eps_at_source = at_source
            self._seen = True
        return at_source[0]


class Certifier:
    """Judges the regions of a prediction and draws the overlay, where there is a view to draw."""

    def __init__(
        self,
        predictor: Predictor,
        session: Session,
        keep: float,
        view: View | None,
        rate: Rate,
    ) -> None:
        manifest = session.manifest
        self._freshness = predictor.freshness
        self._keep = keep
        self._verified = manifest.numerics.level != "none"
        self._overlay = Overlay(manifest, keep, view) if view else None
        self._rate = rate

    def certify(self, result: Result) -> Result:
        """The same result with regions and overlay."""
        start_s = time.monotonic()
        prediction = result.prediction
        if prediction is not None and self._verified:
            result.regions = find_regions(
                prediction.mask, prediction.radius, result.eps, self._keep
            )
            result.stage_ms["certify"] = (time.monotonic() - start_s) * 1e3
        elif prediction is not None:
            result.reason = "not verified"
        self._withhold_stale(result)
        if self._overlay is not None:
            drawing_s = time.monotonic()
            result.overlay = self._overlay.draw(result, self._rate.fps)
            result.stage_ms["overlay"] = (time.monotonic() - drawing_s) * 1e3
        return result

    def _withhold_stale(self, result: Result) -> None:
        stale = self._freshness.stale(result.frame, time.monotonic())
        if stale and result.state == "ok":
            result.state, result.reason = "withheld", stale
            result.prediction = result.regions = None
