"""Several videos, one after the other."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path

from lipdeploy.runtime.sources.frame import Frame
from lipdeploy.runtime.sources.video import VideoFile


class Playlist:
    """Every frame of every file in order; positions and times go on from file to file.

    The first file is opened at once, each other when its turn comes.
    """

    live = False
    still = False
    recorded = True

    def __init__(self, paths: Sequence[Path], what: str) -> None:
        self._paths = paths
        self._what = what
        self._closed = False
        self._current = VideoFile(paths[0])
        self.fps = self._current.fps

    def describe(self) -> str:
        """What was named, and how many videos it is."""
        return f"{self._what} ({len(self._paths)} video{'s' * (len(self._paths) != 1)})"

    def __iter__(self) -> Iterator[Frame]:
        index, offset_ms = 0, 0.0
        for number, path in enumerate(self._paths):
            if self._closed:
                return
            if number:
                self._current = VideoFile(path)
            end_ms = offset_ms
            for frame in self._current:
                time_ms = offset_ms + frame.time_ms
                yield dataclasses.replace(frame, index=index, time_ms=time_ms, name=str(index))
                index += 1
                end_ms = time_ms + 1e3 / self._current.fps
            self._current.close()
            offset_ms = end_ms

    def close(self) -> None:
        """Release the file that is open; no other is opened."""
        self._closed = True
        self._current.close()
