"""What the stream knows of one frame when it hands it to the sinks."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from lipdeploy.core.manifest import Level
from lipdeploy.core.ratio import shares_down
from lipdeploy.runtime.regions import RegionMap
from lipdeploy.runtime.session import Prediction
from lipdeploy.runtime.sources.frame import Frame

State = Literal["ok", "withheld"]


@dataclass
class Result:
    """One frame with all that was derived of it.

    Attributes:
        frame: the picture as captured.
        state: `withheld` where nothing is claimed because of the frame, see `reason`.
        reason: `frozen`, `repeated`, `partly frozen`, `black`, `uniform`, `corrupt`, `stale`,
            `no frame`, `not verified`, `drift`, or empty.
        eps: budget in l2 at the network's input, images in [0,1].
        eps_source: budget at the captured frame, None where none is claimed.
        level: guarantee level of every figure here.
        prediction: None where withheld before inference.
        regions: None where nothing is claimed.
        overlay: RGB picture for people, shape (H, W, 3); None where no sink asks for it.
        latency_ms: from capture until it was handed to the sinks.
        stage_ms: time in each stage.
        placeholder: no frame stands behind it: it says that a live source delivers none, and
            shows the last one. Never claims anything.
        captured_at_s: time of capture, seconds since 1970 (UTC); None where it is not known, as
            in a recording.
        age_ms: since capture, when it was handed to the sinks; None where frames do not age.
    """

    frame: Frame
    state: State
    reason: str
    eps: float
    eps_source: float | None
    level: Level
    prediction: Prediction | None = None
    regions: RegionMap | None = None
    overlay: npt.NDArray[np.uint8] | None = None
    latency_ms: float = 0.0
    stage_ms: dict[str, float] = field(default_factory=dict)
    placeholder: bool = False
    captured_at_s: float | None = None
    age_ms: float | None = None

    @property
    def claims(self) -> bool:
        """Whether stability is claimed of this frame at all."""
        shown = self.state == "ok" and not self.placeholder
        return shown and self.level != "none" and self.regions is not None

    @property
    def flips(self) -> int | None:
        """Upper bound on the pixels that the budget can change; None where nothing is claimed."""
        if not self.claims or self.prediction is None:
            return None
        return int(self.prediction.flips[0])

    @property
    def certified_share(self) -> float | None:
        """Collective: 1 - flips / pixels; None where nothing is claimed."""
        if self.flips is None or self.prediction is None:
            return None
        pixels = self.prediction.mask.size
        return float(shares_down(np.asarray(pixels - self.flips), pixels))

    @property
    def pixelwise_share(self) -> float | None:
        """Share of pixels whose own radius exceeds the budget; None where nothing is claimed."""
        if not self.claims or self.prediction is None:
            return None
        return float(self.outlasting.mean())

    @property
    def outlasting(self) -> npt.NDArray[np.bool_]:
        """Pixels whose own radius exceeds the budget: none of them can change, shape (H, W).

        Empty where nothing is claimed.
        """
        if not self.claims or self.prediction is None:
            return np.zeros((0, 0), np.bool_)
        return self.prediction.radius > np.float64(self.eps)

    def to_json(self, class_names: tuple[str, ...]) -> dict[str, Any]:
        """The object that the `jsonl:` sink writes."""
        return {
            "index": None if self.placeholder else self.frame.index,
            "name": None if self.placeholder else self.frame.name,
            "source": self.frame.source_id or None,
            "time_ms": None if self.placeholder else round(self.frame.time_ms, 3),
            "captured_at_s": _rounded(self.captured_at_s, 6),
            "age_ms": _rounded(self.age_ms, 3),
            "state": self.state,
            "reason": self.reason or None,
            "eps": self.eps,
            "eps_source": self.eps_source if self.claims else None,
            "level": self.level,
            "certified_share": self.certified_share,
            "pixelwise_share": self.pixelwise_share,
            "flips": self.flips,
            "latency_ms": None if self.placeholder else round(self.latency_ms, 3),
            **self._regions_json(class_names),
        }

    def _regions_json(self, class_names: tuple[str, ...]) -> dict[str, Any]:
        if self.regions is None or not self.claims:
            return {"regions": [], "tiny_regions": None}
        regions = [
            {
                "class": class_names[region.class_id],
                "area": region.area,
                "bbox": list(region.bbox),
                "flips": region.flips,
                "flips_alone": region.flips_alone,
                "budget": _finite(region.budget),
                "stable": region.stable,
            }
            for region in self.regions.regions
        ]
        tiny = {"count": self.regions.tiny_count, "area": self.regions.tiny_area}
        return {"regions": regions, "tiny_regions": tiny}


def _finite(budget: float) -> float | None:
    """JSON has no infinity: null where no budget suffices."""
    return budget if math.isfinite(budget) else None


def _rounded(value: float | None, digits: int) -> float | None:
    return None if value is None else round(value, digits)
