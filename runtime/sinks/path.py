"""Checks of the paths that sinks write to, before the first frame."""

from __future__ import annotations

import os
from pathlib import Path

from lipdeploy.core.errors import InputError


def writable_folder(path: Path) -> Path:
    """Make a folder and check that files can be made in it.

    Raises:
        InputError: it cannot be made, is a file, or is read-only.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"sink folder {path} cannot be made ({error.strerror}); name another"
        ) from error
    if not os.access(path, os.W_OK | os.X_OK):
        raise InputError(
            f"sink folder {path} cannot be written; change its permissions or name another"
        )
    return path


def writable_file(path: Path) -> Path:
    """Make a file's folder and check that the file can be written; an older file is emptied.

    Raises:
        InputError: it is a folder or cannot be written.
    """
    writable_folder(path.parent)
    try:
        path.open("wb").close()
    except OSError as error:
        raise InputError(
            f"sink {path} cannot be written ({error.strerror}); name another file"
        ) from error
    return path
