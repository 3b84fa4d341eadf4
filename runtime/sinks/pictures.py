"""Overlays as numbered PNG files."""

from __future__ import annotations

import logging
import re
from pathlib import Path

import cv2

from lipdeploy.core.errors import InputError, LipdeployError
from lipdeploy.runtime.result import Result
from lipdeploy.runtime.sinks.path import writable_folder

PATTERN = re.compile(r"%0?\d*d")
_LOG = logging.getLogger(__name__)


class PictureSink:
    """One PNG a frame, named by the frame's index.

    Pictures of an earlier run stay; a number that comes again is written over.

    Raises:
        InputError: a pattern that is not one `%d`, or a folder that cannot be written.
    """

    wants_overlay = True

    def __init__(self, pattern: Path) -> None:
        if len(PATTERN.findall(pattern.name)) != 1 or pattern.name.count("%") != 1:
            raise InputError(f"sink {pattern} is no pattern; expected for example frame_%06d.png")
        if pattern.suffix.lower() not in (".png", ".jpg", ".jpeg", ".webp"):
            raise InputError(f"sink {pattern} is no known picture; expected .png, .jpg or .webp")
        writable_folder(pattern.parent)
        self._pattern = pattern
        self._tell_older()

    def write(self, result: Result) -> None:
        """Write the overlay to a file of its own.

        Raises:
            LipdeployError: the disk refuses it.
        """
        if result.overlay is None:
            return
        path = self._pattern.with_name(self._pattern.name % result.frame.index)
        _, data = cv2.imencode(path.suffix, cv2.cvtColor(result.overlay, cv2.COLOR_RGB2BGR))
        try:
            path.write_bytes(data.tobytes())
        except OSError as error:
            raise LipdeployError(
                f"picture {path} cannot be written ({error.strerror}); "
                "free the disk, and leave its folder alone until the stream has ended"
            ) from error

    def _tell_older(self) -> None:
        before, after = PATTERN.split(self._pattern.name)
        named = re.compile(re.escape(before) + r"\d+" + re.escape(after))
        if any(named.fullmatch(path.name) for path in self._pattern.parent.iterdir()):
            _LOG.warning(
                "%s holds pictures of an earlier run, which may get mixed up with the new ones; "
                "a name with {time} gives each run its own",
                self._pattern.parent,
            )

    def describe(self) -> str:
        """The pattern."""
        return str(self._pattern)

    def close(self) -> None:
        """Every file is complete already."""
