"""Image files as a source: one, a folder, or those that match a pattern."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from lipdeploy.core.errors import LipdeployError, SourceError, SourceLostError
from lipdeploy.runtime.sources.decoder import quiet_opencv
from lipdeploy.runtime.sources.frame import Frame
from lipdeploy.runtime.sources.frame_size import size_from_header, too_large

_END_OF_PNG = b"IEND"
_START_OF_SCAN = 0xDA
_END_OF_JPEG = b"\xff\xd9"


class ImageFiles:
    """Pictures in the order given, of any size each; two a second when recorded."""

    live = False
    still = True
    fps = 2.0

    def __init__(self, paths: Sequence[Path], what: str) -> None:
        quiet_opencv()
        self._paths = paths
        self._what = what
        self._closed = False
        if len(paths) == 1 and _decoded(_checked(paths[0], SourceError)) is None:
            raise SourceError(f"image {paths[0]} cannot be decoded or is truncated; replace it")

    def describe(self) -> str:
        """What was named, and how many images it is."""
        return f"{self._what} ({len(self._paths)} image{'s' * (len(self._paths) != 1)})"

    def __iter__(self) -> Iterator[Frame]:
        for index, path in enumerate(self._paths):
            if self._closed:
                return
            image = _decoded_file(path)
            yield Frame(image, index, index * 1e3 / self.fps, time.monotonic(), path.name)

    def close(self) -> None:
        """Stop before the next file."""
        self._closed = True


def _decoded_file(path: Path) -> npt.NDArray[np.uint8]:
    try:
        image = _decoded(_checked(path, SourceLostError))
    except OSError as error:
        raise SourceLostError(
            f"image {path} cannot be read ({error.strerror}); restore it"
        ) from error
    if image is None:
        raise SourceLostError(
            f"image {path} cannot be decoded or is truncated; the images before it were processed, "
            "remove or replace it"
        )
    return image


def _checked(path: Path, error: type[LipdeployError]) -> bytes:
    """The file's bytes, refused before they are decoded where the picture is too large."""
    data = path.read_bytes()
    size = size_from_header(data)
    if size and (wrong := too_large(*size)):
        raise error(f"image {path} cannot be taken: {wrong}")
    return data


def _decoded(data: bytes) -> npt.NDArray[np.uint8] | None:
    """RGB, shape (H, W, 3); None for what is no image, or one that was cut off."""
    if not data or _cut_off(data):
        return None
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    return None if image is None else np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), np.uint8)


def _cut_off(data: bytes) -> bool:
    """Whether a PNG or JPEG ends early: OpenCV would fill the missing part with grey."""
    if data.startswith(b"\x89PNG"):
        return _END_OF_PNG not in data
    if not data.startswith(b"\xff\xd8"):
        return False
    # Walk the segments to the picture's own scan; a thumbnail inside one has its own end marker.
    at = 2
    while at + 4 <= len(data) and data[at] == 0xFF and data[at + 1] != _START_OF_SCAN:
        at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return data.find(_END_OF_JPEG, at) < 0
