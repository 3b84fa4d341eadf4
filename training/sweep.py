"""A sweep: one training run for each combination of option values, each in a folder of its own."""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lipdeploy.core.errors import InputError

Point = Mapping[str, str]

_NAME = re.compile(r"[a-z][a-z0-9-]*")
_VALUE = re.compile(r"[A-Za-z0-9_.+-]+")
_EXPECTED = "expected OPTION=VALUE,VALUE,... such as tau=5,10,20"


@dataclass(frozen=True)
class Axis:
    """One swept option of `lipdeploy train`, without its dashes, and its values as written."""

    name: str
    values: tuple[str, ...]


@dataclass(frozen=True)
class Run:
    """One training of a sweep.

    Attributes:
        point: value of every swept option.
        folder: where `lipdeploy train` writes.
        arguments: what is trained, as its options and values; neither the folder nor what has no
            influence on the result.
    """

    point: Point
    folder: Path
    arguments: tuple[str, ...]


def parse_axis(text: str) -> Axis:
    """An axis from `tau=5,10,20`.

    Raises:
        InputError: something else, a value that cannot be part of a folder name, or one twice.
    """
    name, equals, listed = text.partition("=")
    values = tuple(value.strip() for value in listed.split(","))
    if not (equals and _NAME.fullmatch(name) and all(map(_VALUE.fullmatch, values))):
        raise InputError(f"--sweep is {text!r}; {_EXPECTED} (letters, digits and _ . + -)")
    if len(set(values)) < len(values):
        raise InputError(f"--sweep {text} names a value twice; every value is one run")
    return Axis(name, values)


def parse_axes(texts: Sequence[str]) -> tuple[Axis, ...]:
    """One axis for each text.

    Raises:
        InputError: as `parse_axis`, or an option that is swept twice.
    """
    axes = tuple(map(parse_axis, texts))
    names = [axis.name for axis in axes]
    for name in names:
        if names.count(name) > 1:
            raise InputError(f"--sweep {name} is given twice; put all values into one: {_EXPECTED}")
    return axes


def points(axes: Sequence[Axis]) -> list[Point]:
    """Every combination of values; the last axis runs fastest."""
    names = [axis.name for axis in axes]
    return [
        dict(zip(names, values, strict=True))
        for values in itertools.product(*(axis.values for axis in axes))
    ]


def run_name(point: Point) -> str:
    """Folder of a point, for example `loss=hkr,tau=5`."""
    return ",".join(f"{name}={value}" for name, value in point.items())
