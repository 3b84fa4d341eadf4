"""Whether a frame shows the world as it is now. Where it may not, nothing is claimed of it.

    source                          exact repeat of a picture              black, uniform   stale
    camera, network, `test://`      withheld at once: `frozen`, or         withheld         withheld
                                    `repeated` (one of the last 64);
                                    a textured band: `partly frozen`
    the same with `--allow-still`   allowed                                withheld         withheld
    recording (video file)          `frozen` once it stood still longer    withheld         never
                                    than the staleness budget
    pictures (folder, glob, list)   allowed                                allowed          never

The noise of a camera makes an exact repeat impossible, so one is a driver, decoder or link that
shows an old picture. A recording repeats pictures on purpose (telecine, a constant frame rate).
"""

from __future__ import annotations

from collections import deque
from typing import Protocol

from lipdeploy.runtime.picture_faults import (
    Image,
    fingerprint,
    identical,
    is_black,
    is_uniform,
    repeats_a_band,
)
from lipdeploy.runtime.sources.frame import Frame

__all__ = ["Freshness", "freshness_of", "is_black"]

_REMEMBERED = 64  # pictures: more than the buffers of a driver or decoder


class _Origin(Protocol):
    @property
    def live(self) -> bool: ...

    @property
    def still(self) -> bool: ...


class Freshness:
    """Judges the frames of a source in the order in which they arrive, all of them.

    The pictures must not be written over by the source: the last one is compared with the next.

    Args:
        live: frames age.
        still: frames are single pictures, which may repeat or be black.
        max_staleness_s: oldest acceptable live frame, in seconds; also how long the picture of a
            recording may stand still.
        recorded: frames come from a file, where repeats are legitimate for that long.
        allow_still: repeats are legitimate: the camera sees a test picture.
    """

    def __init__(
        self,
        live: bool,
        still: bool,
        max_staleness_s: float = 0.5,
        recorded: bool = False,
        allow_still: bool = False,
    ) -> None:
        self._live = live
        self._still = still
        self._recorded = recorded and not live
        self._allow_still = allow_still
        self._max_staleness_s = max_staleness_s
        self._pasts: dict[str, _Past] = {}

    def fault(self, frame: Frame) -> str:
        """Why not to trust the pixels of the newest frame; empty where nothing is wrong.

        What the source knows, else `black`, `uniform`, `frozen`, `repeated` or `partly frozen`.
        """
        if self._still:
            return frame.damaged
        repeat = "" if self._allow_still else self._repeat(frame)
        if frame.damaged:
            return frame.damaged
        if is_black(frame.image):
            return "black"
        # A frozen picture is a repeat first: that is what there is to repair.
        return repeat or ("uniform" if is_uniform(frame.image) else "")

    def stale(self, frame: Frame, now_s: float) -> str:
        """`stale` where a live frame is too old at `now_s` (`time.monotonic()`), else nothing.

        A time of capture that is no number, or later than `now_s`, is no proof of freshness.
        """
        fresh = -self._max_staleness_s <= now_s - frame.captured_s <= self._max_staleness_s
        return "stale" if self._live and not fresh else ""

    def _repeat(self, frame: Frame) -> str:
        source = frame.source_id
        past = self._pasts.setdefault(source, _Past())
        if self._recorded:
            still_ms = past.stood_still_ms(frame.image, frame.time_ms)
            return "frozen" if still_ms > self._max_staleness_s * 1e3 else ""
        return past.repeat(frame.image)


class _Past:
    """The pictures of one camera: the last one, and fingerprints of a few before."""

    def __init__(self) -> None:
        self._last: Image | None = None
        self._seen: deque[tuple[int, ...]] = deque(maxlen=_REMEMBERED)
        self._since_ms = 0.0

    def repeat(self, image: Image) -> str:
        """What the picture repeats: `frozen`, `repeated`, `partly frozen` or nothing."""
        last, self._last = self._last, image
        mark = fingerprint(image)
        seen = mark in self._seen
        self._seen.append(mark)
        if last is None:
            return ""
        if identical(last, image):
            return "frozen"
        if seen:
            return "repeated"
        return "partly frozen" if repeats_a_band(last, image) else ""

    def stood_still_ms(self, image: Image, time_ms: float) -> float:
        """How long the picture has been the same by the clock of the recording."""
        if self._last is None or not identical(self._last, image):
            self._since_ms = time_ms
        self._last = image
        return time_ms - self._since_ms


def freshness_of(source: _Origin, max_staleness_s: float, allow_still: bool) -> Freshness:
    """The policy that fits a source; one that does not declare itself `recorded` is a camera."""
    recorded = bool(getattr(source, "recorded", False))
    return Freshness(source.live, source.still, max_staleness_s, recorded, allow_still)
