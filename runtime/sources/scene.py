"""`test://scene`: generated frames with known labels, and faults at known times.

test://scene?seed=3&duration=4s&size=640x360&fps=20&fault=freeze@1s&live=1
"""

from __future__ import annotations

import dataclasses
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import parse_qsl, urlsplit

import cv2
import numpy as np
import numpy.typing as npt

from lipdeploy.core.errors import SourceError, SourceLostError
from lipdeploy.runtime.sources.fault import Fault, corrupted, parse_faults, seconds
from lipdeploy.runtime.sources.frame import Frame
from lipdeploy.samples import scene

_SLOW_S = 1.0  # later than the default staleness budget


@dataclass(frozen=True)
class SceneOptions:
    """The query of the address."""

    seed: int = 0
    duration_s: float = 10.0
    width: int = 640
    height: int = 360
    fps: float = 20.0
    faults: tuple[Fault, ...] = ()
    live: bool = False


class SceneSource:
    """A drive through a generated scene; paced by the clock where `live`, else as fast as taken."""

    still = False

    def __init__(self, address: str) -> None:
        self._address = address
        self._options = options_from_address(address)
        self._closed = False
        self.live = self._options.live
        self.fps = self._options.fps

    def describe(self) -> str:
        """The address and what it stands for."""
        o = self._options
        pace = "live" if o.live else "not live"
        return f"{self._address} (generated, {o.width}x{o.height}, {o.fps:g} fps, {pace})"

    def __iter__(self) -> Iterator[Frame]:
        o = self._options
        scene.render(o.seed, 0.0, o.height, o.width)  # the world is built before the clock starts
        start_s = time.monotonic()
        previous: Frame | None = None
        for index in range(round(o.duration_s * o.fps)):
            time_s = index / o.fps
            active = {fault.kind for fault in o.faults if fault.active(time_s)}
            if "disconnect" in active:
                raise SourceLostError(
                    f"{self._address} disconnected at {time_s:g} s after {index} frames; "
                    "reconnect it"
                )
            if self.live:
                if time.monotonic() > start_s + time_s + 1 / o.fps:
                    continue  # a camera does not wait for who is late
                self._wait(start_s + time_s)
            if self._closed:
                return
            if "drop" in active and index % 2:
                continue
            previous = self._frame(index, time_s, active, previous)
            if "slow" in active:
                self._wait(time.monotonic() + (_SLOW_S if self.live else 1 / o.fps))
            yield previous

    def _frame(self, index: int, time_s: float, active: set[str], previous: Frame | None) -> Frame:
        now_s = time.monotonic()
        if "freeze" in active and previous is not None:
            return dataclasses.replace(
                previous, index=index, time_ms=time_s * 1e3, captured_s=now_s, name=str(index)
            )
        o = self._options
        drawn = scene.render(o.seed, time_s, o.height, o.width)
        image: npt.NDArray[np.uint8] = drawn.image
        labels: npt.NDArray[np.uint8] = drawn.mask
        damaged = ""
        if "black" in active:
            image = np.zeros_like(image)
        if "corrupt" in active:
            image, damaged = corrupted(image, index), "corrupt"
        if "resize" in active:
            half = (max(1, o.width // 2), max(1, o.height // 2))
            image = np.asarray(cv2.resize(image, half, interpolation=cv2.INTER_AREA), np.uint8)
            labels = np.asarray(cv2.resize(labels, half, interpolation=cv2.INTER_NEAREST), np.uint8)
        return Frame(image, index, time_s * 1e3, now_s, str(index), damaged, labels)

    def _wait(self, until_s: float) -> None:
        while not self._closed and (left_s := until_s - time.monotonic()) > 0:
            time.sleep(min(left_s, 0.05))

    def close(self) -> None:
        """End the iteration."""
        self._closed = True


def options_from_address(address: str) -> SceneOptions:
    """Parse the query.

    Raises:
        SourceError: another generator than `scene`, an unknown key or a value out of range.
    """
    parts = urlsplit(address)
    if parts.netloc != "scene" or parts.path.strip("/"):
        raise SourceError(f"{address} is unknown; expected test://scene?seed=0&duration=4s")
    known = ("seed", "duration", "size", "fps", "fault", "live")
    query = parse_qsl(parts.query, keep_blank_values=True)
    if unknown := [key for key, _ in query if key not in known]:
        raise SourceError(f"{address} has unknown key {unknown[0]!r}; known: {', '.join(known)}")
    fields = dict(query)
    try:
        options = _options(fields, ",".join(value for key, value in query if key == "fault"))
    except ValueError as error:
        raise SourceError(
            f"{address} is not understood ({error}); for example size=640x360&fps=20"
        ) from error
    _check(options, address)
    return options


def _options(fields: dict[str, str], faults: str) -> SceneOptions:
    size = re.fullmatch(r"(\d+)x(\d+)", fields.get("size", "640x360"))
    if not size:
        raise ValueError(f"size {fields['size']!r}")
    return SceneOptions(
        seed=int(fields.get("seed", "0")),
        duration_s=seconds(fields.get("duration", "10s")),
        width=int(size[1]),
        height=int(size[2]),
        fps=float(fields.get("fps", "20")),
        faults=parse_faults(faults),
        live=fields.get("live", "0") in ("1", "true", "yes"),
    )


def _check(options: SceneOptions, address: str) -> None:
    problems = [
        (min(options.width, options.height) < scene.SMALLEST, f"size below {scene.SMALLEST}"),
        (max(options.width, options.height) > 8192, "size above 8192"),
        (not 0.1 <= options.fps <= 1000, "fps outside 0.1 to 1000"),
        (options.seed < 0, "seed below 0"),
        (options.duration_s * options.fps < 1, "duration shorter than one frame"),
    ]
    for wrong, what in problems:
        if wrong:
            raise SourceError(f"{address} has {what}; for example size=640x360&fps=20&duration=4s")
