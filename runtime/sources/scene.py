"""`test://scene`: generated frames with known labels, and faults at known times."""

from __future__ import annotations

import time
from collections.abc import Iterator

from lipdeploy.core.errors import SourceLostError
from lipdeploy.runtime.sources.frame import Frame, Source
from lipdeploy.runtime.sources.live import LiveCapture
from lipdeploy.runtime.sources.scene_link import Drive, SceneConnection
from lipdeploy.runtime.sources.scene_options import SceneOptions, options_from_address
from lipdeploy.runtime.sources.scene_pictures import Pictures


def open_scene(address: str) -> Source:
    """A drive through a generated scene, like a camera where the address says `live=1`.

    Raises:
        SourceError: the address is not understood.
    """
    options = options_from_address(address)
    return LiveScene(address, options) if options.live else RecordedScene(address, options)


class RecordedScene:
    """Every frame, as fast as taken; a disconnect ends it, as a file that breaks off."""

    live = False
    still = False

    def __init__(self, address: str, options: SceneOptions) -> None:
        self._address = address
        self._options = options
        self._closed = False
        self.fps = options.fps

    def describe(self) -> str:
        """The address and what it stands for."""
        return self._options.describe(self._address)

    def __iter__(self) -> Iterator[Frame]:
        pictures = Pictures(self._options)
        for index in range(self._options.count):
            if self._closed:
                return
            time_s = index / self.fps
            active = self._options.active(time_s)
            if "disconnect" in active:
                raise SourceLostError(
                    f"{self._address} disconnected at {time_s:g} s after {index} frames; "
                    "reconnect it"
                )
            if "drop" in active and index % 2:
                continue
            captured_s = time.monotonic()
            shown = pictures.at(index, active)
            if "slow" in active:
                time.sleep(1 / self.fps)
            yield Frame(
                shown.image,
                index,
                time_s * 1e3,
                captured_s,
                str(index),
                shown.damaged,
                shown.labels,
            )

    def close(self) -> None:
        """End the iteration."""
        self._closed = True


class LiveScene(LiveCapture):
    """Paced by the clock; it reconnects as a network stream does."""

    def __init__(self, address: str, options: SceneOptions) -> None:
        self._drive = Drive(options)
        self._described = options.describe(address)
        super().__init__(
            address, lambda: SceneConnection(self._drive), "reconnect it", options.link
        )

    def describe(self) -> str:
        """The address and what it stands for."""
        return self._described

    def close(self) -> None:
        """End the iteration."""
        self._drive.closed.set()
        super().close()
