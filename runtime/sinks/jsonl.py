"""One JSON object a frame."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TextIO

from lipdeploy.core.errors import LipdeployError
from lipdeploy.runtime.result import Result
from lipdeploy.runtime.sinks.path import writable_file


class JsonlSink:
    """Lines of JSON, flushed one by one, so that a reader can follow and a crash loses nothing."""

    wants_overlay = False

    def __init__(self, path: Path, class_names: tuple[str, ...]) -> None:
        self._path = writable_file(path)
        self._file: TextIO = path.open("w", encoding="utf-8", buffering=1)
        self._class_names = class_names

    def write(self, result: Result) -> None:
        """Append one line.

        Raises:
            LipdeployError: the disk refuses it.
        """
        line = json.dumps(result.to_json(self._class_names), allow_nan=False)
        try:
            self._file.write(line + "\n")
        except OSError as error:
            raise LipdeployError(
                f"{self._path} cannot be written ({error.strerror}); free the disk"
            ) from error

    def describe(self) -> str:
        """The file."""
        return str(self._path)

    def close(self) -> None:
        """Close the file."""
        self._file.close()
