"""What a layout knows of a data set."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from lipdeploy.core.errors import InputError
from lipdeploy.core.pair import Pair


@dataclass(frozen=True)
class Layout:
    """Classes and splits of a data set, and its files.

    Attributes:
        class_names: in order of class id.
        splits: `train`, `val`, ... and the folder that the image files of each lie in.
        find: the examples of a split, sorted by name; raises InputError where one is missing.
        plain: the masks hold the class ids themselves.
    """

    class_names: tuple[str, ...]
    splits: Mapping[str, Path]
    find: Callable[[str], list[Pair]]
    plain: bool = False


def present(path: Path, what: str, layout: str) -> Path:
    """The path, which must be there.

    Raises:
        InputError: it is not; the message says what the layout looks like.
    """
    if not path.exists():
        raise InputError(f"{path} is missing, {what}; expected {layout}")
    return path


def lines_of(path: Path, what: str, layout: str) -> list[str]:
    """The lines of a text file, which must be there.

    Raises:
        InputError: it is missing, or no text.
    """
    try:
        return present(path, what, layout).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is no text file; expected {layout}") from error
