"""The address of a generated scene.

test://scene?seed=3&duration=4s&size=640x360&fps=20&fault=freeze@1s&live=1
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from lipdeploy.core.errors import SourceError
from lipdeploy.runtime.sources.backoff import Backoff
from lipdeploy.runtime.sources.fault import Fault, parse_faults
from lipdeploy.runtime.sources.options import (
    LIVE,
    LiveOptions,
    live_options,
    query_pairs,
    seconds,
)
from lipdeploy.samples import scene

_KNOWN = ("seed", "duration", "size", "fps", "fault", "live", *LIVE)
_NO_END = Backoff(tries=0)
_QUICK = Backoff(tries=None, for_s=10.0, first_s=0.1, cap_s=0.5)


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
    link: LiveOptions = field(default_factory=lambda: LiveOptions(_QUICK))

    @property
    def count(self) -> int:
        """Frames in all."""
        return round(self.duration_s * self.fps)

    def active(self, time_s: float) -> frozenset[str]:
        """Kinds of the faults at a time."""
        return frozenset(fault.kind for fault in self.faults if fault.active(time_s))

    def describe(self, address: str) -> str:
        """The address and what it stands for."""
        pace = "live" if self.live else "not live"
        return f"{address} (generated, {self.width}x{self.height}, {self.fps:g} fps, {pace})"


def options_from_address(address: str) -> SceneOptions:
    """Parse the query.

    Raises:
        SourceError: another generator than `scene`, an unknown key or a value out of range.
    """
    parts = urlsplit(address)
    if parts.netloc != "scene" or parts.path.strip("/"):
        raise SourceError(f"{address} is unknown; expected test://scene?seed=0&duration=4s")
    query = query_pairs(parts.query)
    if unknown := [key for key, _ in query if key not in _KNOWN]:
        raise SourceError(f"{address} has unknown key {unknown[0]!r}; known: {', '.join(_KNOWN)}")
    fields = dict(query)
    faults = parse_faults(",".join(value for key, value in query if key == "fault"))
    try:
        options = _options(fields, faults, address)
    except ValueError as error:
        raise SourceError(
            f"{address} is not understood ({error}); for example size=640x360&fps=20"
        ) from error
    _check(options, address)
    return options


def _options(fields: dict[str, str], faults: tuple[Fault, ...], address: str) -> SceneOptions:
    size = re.fullmatch(r"(\d{1,5})x(\d{1,5})", fields.get("size", "640x360"))
    if not size:
        raise ValueError(f"size {fields['size']!r}")
    # What never comes back need not be waited for.
    endless = any(fault.kind == "disconnect" and fault.endless for fault in faults)
    return SceneOptions(
        seed=int(fields.get("seed", "0")),
        duration_s=seconds(fields.get("duration", "10s")),
        width=int(size[1]),
        height=int(size[2]),
        fps=float(fields.get("fps", "20")),
        faults=faults,
        live=fields.get("live", "0") in ("1", "true", "yes"),
        link=live_options(fields, address, _NO_END if endless else _QUICK),
    )


def _check(options: SceneOptions, address: str) -> None:
    hangs = any(fault.kind == "hang" for fault in options.faults)
    problems = [
        (min(options.width, options.height) < scene.SMALLEST, f"size below {scene.SMALLEST}"),
        (max(options.width, options.height) > 8192, "size above 8192"),
        (not 0.1 <= options.fps <= 1000, "fps outside 0.1 to 1000"),
        (options.seed < 0, "seed below 0"),
        (options.duration_s * options.fps < 1, "duration shorter than one frame"),
        (hangs and not options.live, "fault hang without live=1"),
    ]
    for wrong, what in problems:
        if wrong:
            raise SourceError(f"{address} has {what}; for example size=640x360&fps=20&duration=4s")
