"""The keys of a data set's YAML file."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lipdeploy.core.errors import InputError

MOST_CLASSES = 255  # ids are bytes, and 255 is the ignored one


@dataclass(frozen=True)
class Fields:
    """Checked access to the keys; every refusal names the file."""

    source: Path
    values: Mapping[str, Any]

    @property
    def root(self) -> Path:
        """`path`, relative to the YAML file, with its ${VARIABLES} expanded.

        Raises:
            InputError: a variable that is not set.
        """
        path = str(self.values.get("path", "."))
        expanded = os.path.expandvars(path)
        if "$" in expanded:
            raise InputError(
                f"{self.source}: path {path!r} names a variable that is not set; export it"
            )
        return self.source.parent / expanded

    def require(self, *keys: str) -> None:
        """Refuse a file without these keys.

        Raises:
            InputError: one is missing.
        """
        missing = [key for key in keys if key not in self.values]
        if missing:
            raise InputError(
                f"{self.source} lacks {', '.join(missing)}; see `lipdeploy train --help`"
            )

    def choice(self, key: str, options: Sequence[str]) -> str:
        """One of the options; the first where the key is absent.

        Raises:
            InputError: another value.
        """
        value = self.values.get(key, options[0])
        if value not in options:
            raise InputError(f"{self.source}: {key} is {value!r}; expected {' or '.join(options)}")
        return str(value)

    def share(self, key: str, default: float) -> float:
        """A share of the examples.

        Raises:
            InputError: not a number in 0 < share < 1.
        """
        value = self.values.get(key, default)
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 1:
            raise InputError(f"{self.source}: {key} is {value!r}; expected a number in (0, 1)")
        return float(value)

    def class_names(self, default: Sequence[str] = ()) -> tuple[str, ...]:
        """`names`: a list, or a mapping from ids 0..K-1; as many as `default` has, if any.

        Raises:
            InputError: fewer than two classes or more than 255, ids with gaps, or another number
                than the layout's.
        """
        names = self.values.get("names", list(default))
        table = dict(enumerate(names)) if isinstance(names, list) else names
        if not isinstance(table, dict) or set(table) != set(range(max(2, len(table)))):
            raise InputError(
                f"{self.source}: names must be two or more classes with ids 0, 1, 2, ...; "
                f"got {names}"
            )
        if len(table) > MOST_CLASSES:
            raise InputError(
                f"{self.source}: names has {len(table)} classes; expected at most {MOST_CLASSES}"
            )
        if default and len(table) != len(default):
            raise InputError(
                f"{self.source}: names has {len(table)} classes, the layout {len(default)}; "
                "leave names out"
            )
        return tuple(str(table[k]) for k in sorted(table))

    def ignored(self, largest: int) -> frozenset[int]:
        """`ignore`: class ids that do not count, besides 255.

        Raises:
            InputError: not a list of whole numbers in 0..largest.
        """
        found = self.values.get("ignore", [])
        listed = found if isinstance(found, list) else [found]
        wrong = [
            i
            for i in listed
            if isinstance(i, bool) or not isinstance(i, int) or not 0 <= i <= largest
        ]
        if wrong:
            raise InputError(
                f"{self.source}: ignore is {found}; expected a list of class ids in 0..{largest}"
            )
        return frozenset(listed)
