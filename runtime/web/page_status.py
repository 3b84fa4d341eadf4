"""What the page says besides the picture, as JSON."""

from __future__ import annotations

import math
from typing import Any

from lipdeploy.core.figures import percent_at_least
from lipdeploy.runtime.result import Result
from lipdeploy.runtime.status import StreamStatus
from lipdeploy.runtime.web.class_shares import class_shares
from lipdeploy.runtime.web.context import PageContext
from lipdeploy.runtime.web.pictures import STALE_S

MEANING = {
    "proved": "Holds in real arithmetic for the weights stored in the model file; rounding on "
    "this device is not included.",
    "bounded": "Holds for what this device executes, its rounding included.",
    "statistical": "Holds up to this device's rounding, which was measured, not bounded: an "
    "attack made to exploit rounding errors is not covered.",
    "none": "The model is not verified, so nothing is claimed about any pixel.",
}
"""Of each guarantee level, in one sentence."""


def page_status(
    context: PageContext, result: Result | None, age_s: float | None, uptime_s: float
) -> dict[str, Any]:
    """The object of `/api/status` and of every event.

    Args:
        context: of the stream.
        result: the newest one, None before the first.
        age_s: seconds since it came.
        uptime_s: seconds since the page was opened.
    """
    status = context.status() if context.status else None
    controls = context.controls
    fields: dict[str, Any] = {
        "uptime_s": round(uptime_s if status is None else status.uptime_s, 1),
        "eps_set": controls.eps if controls else None,
        "picture_age_ms": None if age_s is None else round(age_s * 1e3),
    }
    fields.update(_of_stream(status))
    fields.update(_of_result(result, context, status, age_s or 0.0))
    return fields


def _of_stream(status: StreamStatus | None) -> dict[str, Any]:
    if status is None:
        return {"sources": [], "sinks": [], "fps": None, "latency_ms": {}, "withheld": {}}
    return {
        "frames_in": status.frames_in,
        "shown": status.shown,
        "dropped": status.dropped,
        "fps": round(status.fps, 1) if math.isfinite(status.fps) else None,
        "withheld": dict(status.withheld),
        "latency_ms": {
            name: round(value, 1)
            for name, value in status.latency_ms.items()
            if math.isfinite(value)
        },
        "sources": [vars(source) for source in status.sources],
        "sinks": [vars(sink) for sink in status.sinks],
    }


def _of_result(
    result: Result | None, context: PageContext, status: StreamStatus | None, age_s: float
) -> dict[str, Any]:
    """Figures of the picture that is shown; what the stream says of itself comes on top."""
    level = result.level if result else status.level if status else "none"
    share = result.certified_share if result else None
    state, reason = _state(result, status, age_s)
    classes = class_shares(result, context.class_names) if result and state == "ok" else []
    return {
        "state": state,
        "reason": reason,
        "source": (result.frame.source_id or None) if result else None,
        "level": level,
        "meaning": MEANING.get(level, ""),
        "eps": result.eps if result else None,
        "certified_share": share if state == "ok" else None,
        "certified_percent": percent_at_least(share)
        if share is not None and state == "ok"
        else None,
        "classes": [{**vars(one), "kept_percent": one.kept_percent} for one in classes],
        "network": _network(result),
    }


def _state(result: Result | None, status: StreamStatus | None, age_s: float) -> tuple[str, str]:
    """The most cautious of what the stream, its newest result and the clock say."""
    if result is not None and result.state != "ok":
        return result.state, result.reason
    if status is not None and status.state != "ok":
        return status.state, status.reason
    if result is None:
        return "waiting", "no frame yet"
    if age_s > STALE_S:
        return "withheld", "no new frame"
    return "ok", result.reason


def _network(result: Result | None) -> list[int] | None:
    """Height and width of the network's input, where known."""
    if result is None or result.prediction is None:
        return None
    return list(result.prediction.mask.shape)
