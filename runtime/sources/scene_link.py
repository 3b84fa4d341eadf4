"""The connection to a generated live scene, which breaks and hangs when the address says so."""

from __future__ import annotations

import math
import threading
import time

from lipdeploy.runtime.sources.connection import Shot
from lipdeploy.runtime.sources.scene_options import SceneOptions
from lipdeploy.runtime.sources.scene_pictures import Pictures

_SLOW_S = 1.0  # later than the default staleness budget


class Drive:
    """What goes on whether or not anybody is connected: the clock, and the scene.

    Attributes:
        index: position of the next frame.
        skipped: frames that passed by since the last one that was delivered.
        owner: the newest connection; an older one that wakes up touches nothing.
    """

    def __init__(self, options: SceneOptions) -> None:
        self.options = options
        self.pictures = Pictures(options)
        self.pictures.prepare()
        self.closed = threading.Event()
        self.index = self.skipped = 0
        self.owner: object = None
        self._start_s: float | None = None

    def begin(self) -> float:
        """Start the clock, once; when it was started."""
        if self._start_s is None:
            self._start_s = time.monotonic()
        return self._start_s

    @property
    def time_s(self) -> float:
        """Where the clock stands; 0 before it began."""
        return 0.0 if self._start_s is None else time.monotonic() - self._start_s

    def skip_to(self, index: int) -> None:
        """Let frames pass by."""
        self.skipped += max(0, index - self.index)
        self.index = max(index, self.index)


class SceneConnection:
    """Implements `Connection`."""

    def __init__(self, drive: Drive) -> None:
        self._drive = drive
        self._options = drive.options
        drive.owner = self
        if "disconnect" in self._options.active(0.0):
            drive.begin()
        self.opened = "disconnect" not in self._options.active(drive.time_s)
        self.fps = self._options.fps
        self.what = "generated"
        if self.opened and drive.time_s > 0:
            drive.skip_to(min(math.ceil(drive.time_s * self.fps), self._options.count))

    def shot(self) -> Shot | None:
        """The next frame at its time; None at the end, and where the link breaks."""
        drive, start_s = self._drive, self._drive.begin()
        while drive.index < self._options.count:
            time_s = drive.index / self.fps
            active = self._options.active(time_s)
            if not self._wait(start_s + time_s) or "disconnect" in active:
                return None
            if "hang" in active:
                self._hang(time_s)
            elif self._late(start_s + time_s) or ("drop" in active and drive.index % 2):
                drive.skip_to(drive.index + 1)
            else:
                return self._taken(time_s, active)
        return None

    def ended(self, frames: int) -> bool:
        """See `Connection.ended`."""
        return self._drive.index >= self._options.count

    def release(self) -> None:
        """Nothing is held."""

    def _taken(self, time_s: float, active: frozenset[str]) -> Shot | None:
        drive, now_s = self._drive, time.monotonic()
        picture = drive.pictures.at(drive.index, active)
        if "slow" in active and not self._wait(now_s + _SLOW_S):
            return None
        shot = Shot(
            picture.image, now_s, time_s * 1e3, drive.skipped, picture.damaged, picture.labels
        )
        drive.index, drive.skipped = drive.index + 1, 0
        return shot

    def _late(self, due_s: float) -> bool:
        """A camera does not wait for who is late."""
        return time.monotonic() > due_s + 1 / self.fps

    def _hang(self, time_s: float) -> None:
        ends = [f.end_s for f in self._options.faults if f.kind == "hang" and f.active(time_s)]
        until_s = min(max(ends), self._options.duration_s)
        if self._wait(self._drive.begin() + until_s):
            self._drive.skip_to(math.ceil(until_s * self.fps))

    def _wait(self, until_s: float) -> bool:
        """Wait; whether this is still the connection in use."""
        while (left_s := until_s - time.monotonic()) > 0:
            if self._drive.closed.wait(min(left_s, 0.05)) or self._drive.owner is not self:
                return False
        return self._drive.owner is self and not self._drive.closed.is_set()
