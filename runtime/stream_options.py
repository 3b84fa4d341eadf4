"""How to stream, and the checks of it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from lipdeploy.core.errors import InputError
from lipdeploy.runtime.session import checked_eps
from lipdeploy.runtime.views import View, checked_view

OnSinkError = Literal["stop", "continue"]


@dataclass(frozen=True)
class StreamOptions:
    """How to stream.

    Attributes:
        eps: budget in l2 at the network's input, images in [0,1].
        keep: share of a region that must stay for it to be called stable, above 0 up to 1.
        max_frames: end after so many frames were processed; None for all.
        max_staleness_s: oldest acceptable live frame.
        stall_s: a live source that delivers nothing for so long is lost, unless it says that it
            reconnects; a sink that is busy with one result for so long is given up.
        finish_s: how long the sinks together may take to finish at the end.
        unverified: run any model, claiming nothing.
        show: what the overlay shows.
        allow_still: a live picture may repeat: the camera sees a test picture.
        on_sink_error: whether a sink that fails ends the run.
    """

    eps: float = 0.25
    keep: float = 0.9
    max_frames: int | None = None
    max_staleness_s: float = 0.5
    stall_s: float = 30.0
    finish_s: float = 10.0
    unverified: bool = False
    show: View = "regions"
    allow_still: bool = False
    on_sink_error: OnSinkError = "stop"


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
    if not 0 < options.max_staleness_s < math.inf:
        raise InputError(
            f"max staleness is {options.max_staleness_s}; expected seconds above 0, and finite"
        )
    if options.on_sink_error not in ("stop", "continue"):
        raise InputError(f"on sink error is {options.on_sink_error!r}; expected stop or continue")
