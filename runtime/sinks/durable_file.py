"""A file that holds all that was written to it, however the process or the machine ends."""

from __future__ import annotations

import contextlib
import errno
import os
import time
from collections.abc import Iterator
from pathlib import Path

from lipdeploy.core.errors import LipdeployError
from lipdeploy.runtime.sinks.path import writable_file

_SYNC_S = 1.0  # more often costs throughput and wears out flash
_CANNOT_SYNC = frozenset({errno.EINVAL, errno.ENOTSUP, errno.EROFS})  # pipes and devices


class DurableFile:
    """Unbuffered: a killed process loses nothing of it, a power cut the last second.

    Libraries take it for a binary file. Some of them swallow the errors of `write`, so that it
    keeps the first one for `check`.

    Raises:
        InputError: it cannot be made.
    """

    def __init__(self, path: Path) -> None:
        self._path = writable_file(path)
        self._file = path.open("wb", buffering=0)
        self._synced_s = 0.0
        self._error: OSError | None = None
        self._told = False
        _sync_folder(path.parent)

    def write(self, data: bytes | bytearray) -> int:
        """Write all of it, or raise `OSError`; what is only half written is taken back."""
        rest, start = memoryview(data), self._file.tell() if self._file.seekable() else None
        try:
            while rest:
                rest = rest[self._file.write(rest) or 0 :]
        except OSError as error:
            self._error = self._error or error
            with contextlib.suppress(OSError):  # a device has no length
                if start is not None:
                    self._file.truncate(start)
            raise
        return len(data)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Move to a position, as files do."""
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        """The position."""
        return self._file.tell()

    def seekable(self) -> bool:
        """Whether `seek` works: not in a pipe."""
        return self._file.seekable()

    def writable(self) -> bool:
        """Whether `write` works: yes."""
        return True

    def readable(self) -> bool:
        """Whether it can be read: no."""
        return False

    def flush(self) -> None:
        """Nothing is held back."""

    def check(self) -> None:
        """Once a second: have the disk take what is written, and see that the file is still there.

        Raises:
            LipdeployError: a write failed, also where a library swallowed it; or the file is gone.
        """
        if self._error is not None:
            raise self.failure(self._error) from self._error
        now_s = time.monotonic()
        if now_s - self._synced_s >= _SYNC_S:
            self._synced_s = now_s
            self._sync()

    def failure(self, error: Exception) -> LipdeployError:
        """The line that tells a person of a failed write."""
        self._told = True
        why = self._error or error
        reason = why.strerror if isinstance(why, OSError) and why.strerror else str(why)
        return LipdeployError(
            f"{self._path} cannot be written ({reason}); free the disk or name another file"
        )

    @contextlib.contextmanager
    def told_once(self) -> Iterator[None]:
        """For closing: what follows from a failure that was told already is not told again."""
        told = self._told
        try:
            yield
        except LipdeployError:
            if not told:
                raise

    def close(self) -> None:
        """Have the disk take the rest and close; safe to call twice.

        Raises:
            LipdeployError: the disk refuses the rest, or the file is gone, and it was not told.
        """
        if self._file.closed:
            return
        try:
            if not self._told:
                self._sync()
        finally:
            self._file.close()

    def discard(self) -> None:
        """Close it and remove it."""
        self._file.close()
        if self._path.is_file():
            self._path.unlink()

    def _sync(self) -> None:
        if os.fstat(self._file.fileno()).st_nlink == 0:
            self._told = True
            raise LipdeployError(
                f"{self._path} was removed while it was written, and with it what it held; "
                "leave the folder of a recording alone until the stream has ended"
            )
        try:
            os.fsync(self._file.fileno())
        except OSError as error:
            if error.errno not in _CANNOT_SYNC:
                raise self.failure(error) from error


def _sync_folder(folder: Path) -> None:
    """Have the disk take the new name, without which a power cut loses the file."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
