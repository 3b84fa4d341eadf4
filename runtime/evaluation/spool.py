"""A spool: a header line, then a line an image, in order of index, compressed with gzip."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from lipdeploy.core.errors import InputError, LipdeployError
from lipdeploy.core.whole_file import whole_file
from lipdeploy.runtime.evaluation.header import Header, header_from_line
from lipdeploy.runtime.evaluation.record import Record, record_from_line

_FASTEST = 1
_BROKEN = (ValueError, KeyError, TypeError, AttributeError, LipdeployError)


@dataclass(frozen=True)
class Spool:
    """A whole spool on disk, checked as it is read."""

    path: Path
    header: Header

    def records(self) -> Iterator[Record]:
        """The records in order of index, one in memory at a time.

        Raises:
            InputError: the file breaks off or holds other images than its header promises.
        """
        expected, lines = iter(self.header.indices), _lines(self.path)
        if next(lines, "").rstrip("\n") != self.header.to_line():
            raise _not_whole(self.path, "another run has written over it")
        for line in lines:
            try:
                record = record_from_line(line)
            except _BROKEN as error:
                raise _not_whole(self.path, error) from error
            if record.index != next(expected, None):
                raise _not_whole(self.path, f"image {record.index} is out of turn")
            yield record
        missing = next(expected, None)
        if missing is not None:
            raise _not_whole(self.path, f"it breaks off before image {missing}")


def open_spool(path: Path) -> Spool:
    """Read the header of a spool.

    Raises:
        InputError: the file is no spool of this version.
    """
    try:
        return Spool(path, header_from_line(next(_lines(path), ""), str(path)))
    except InputError:
        raise
    except _BROKEN as error:
        raise _not_whole(path, error) from error


def write_spool(path: Path, header: Header, records: Iterable[str]) -> Spool:
    """Write the lines of `Record.to_line` as they come, in order of index.

    The file has its name only when it is whole.
    """
    with (
        whole_file(path) as partial,
        gzip.open(partial, "wt", encoding="utf-8", compresslevel=_FASTEST) as file,
    ):
        file.write(header.to_line() + "\n")
        file.writelines(line + "\n" for line in records)
    return Spool(path, header)


def _lines(path: Path) -> Iterator[str]:
    try:
        with gzip.open(path, "rt", encoding="utf-8") as file:
            yield from file
    except (EOFError, zlib.error, gzip.BadGzipFile, UnicodeDecodeError) as error:
        raise _not_whole(path, error) from error


def _not_whole(path: Path, why: object) -> InputError:
    return InputError(f"{path} is not a whole shard ({why}); run it again")
