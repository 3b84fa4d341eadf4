"""One JSON object a frame."""

from __future__ import annotations

import json
from pathlib import Path

from lipdeploy.core.errors import InputError
from lipdeploy.runtime.result import Result
from lipdeploy.runtime.sinks.durable_file import DurableFile
from lipdeploy.runtime.sinks.size import bytes_from_text

_KEPT = 9  # full files beside the one being written: log, log.1, ..., log.9


class JsonlSink:
    """Lines of JSON, written one by one: a reader can follow, and a crash loses nothing.

    Args:
        path: the file; an older one is written over.
        class_names: of the model, by class id.
        rotate_bytes: start a new file before this one grows beyond; the ten newest are kept as
            `path`, `path.1`, ..., `path.9`. None for one file without bound.

    Raises:
        InputError: the file cannot be made.
    """

    wants_overlay = False

    def __init__(
        self, path: Path, class_names: tuple[str, ...], rotate_bytes: int | None = None
    ) -> None:
        self._path = path
        self._class_names = class_names
        self._rotate_bytes = rotate_bytes
        self._written = 0
        self._file = DurableFile(path)

    def write(self, result: Result) -> None:
        """Append one line.

        Raises:
            LipdeployError: the disk refuses it, or the file is gone.
        """
        text = json.dumps(result.to_json(self._class_names), allow_nan=False)
        line = text.encode() + b"\n"
        try:
            self._rotate(len(line))
            self._file.write(line)
        except OSError as error:
            raise self._file.failure(error) from error
        self._written += len(line)
        self._file.check()

    def _rotate(self, more: int) -> None:
        full = self._rotate_bytes is not None and self._written + more > self._rotate_bytes
        if not full or not self._written:
            return
        self._file.close()
        for number in range(_KEPT, 0, -1):
            older = self._numbered(number - 1)
            if older.exists():
                older.replace(self._numbered(number))
        self._file, self._written = DurableFile(self._path), 0

    def _numbered(self, number: int) -> Path:
        return self._path.with_name(f"{self._path.name}.{number}") if number else self._path

    def describe(self) -> str:
        """The file."""
        return str(self._path)

    def close(self) -> None:
        """Close the file.

        Raises:
            LipdeployError: the disk refuses the rest, or the file is gone.
        """
        self._file.close()


def jsonl_sink(address: str, class_names: tuple[str, ...]) -> JsonlSink:
    """Open `frames.jsonl` or `frames.jsonl?rotate=100MB`.

    Raises:
        InputError: a size that is none, or a file that cannot be made.
    """
    name, _, option = address.partition("?rotate=")
    if not name:
        raise InputError("sink jsonl: names no file; for example jsonl:frames.jsonl")
    rotate_bytes = bytes_from_text(option) if option or address.endswith("=") else None
    return JsonlSink(Path(name).expanduser(), class_names, rotate_bytes)
