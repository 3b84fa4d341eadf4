"""One image in a spool: everything the summary needs of it, as one line of JSON."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import numpy as np

from lipdeploy.core.class_iou import IouFrontier
from lipdeploy.runtime.evaluation.certify_image import ImageCertificates


@dataclass(frozen=True)
class Record:
    """What was found on one image.

    Attributes:
        index: place of the image in the split, from 0.
        name: its file, relative to the folder of the split.
        certificates: the figures.
    """

    index: int
    name: str
    certificates: ImageCertificates

    def to_line(self) -> str:
        """One line without its end; every float64 survives exactly."""
        frontiers = [
            [[f.hits, f.union, f.lost.tolist(), f.gained.tolist()] for f in of_class]
            for of_class in self.certificates.frontiers
        ]
        fields = {"index": self.index, "name": self.name, **vars(self.certificates)}
        return json.dumps({**fields, "frontiers": frontiers}, separators=(",", ":"))


def record_from_line(line: str) -> Record:
    """What `Record.to_line` wrote.

    Raises:
        ValueError, KeyError, TypeError: the line is something else.
    """
    fields: dict[str, Any] = json.loads(line)
    index, name = int(fields.pop("index")), str(fields.pop("name"))
    frontiers = [[_frontier(*each) for each in row] for row in fields.pop("frontiers")]
    return Record(index, name, ImageCertificates(frontiers=frontiers, **fields))


def _frontier(hits: int, union: int, lost: list[int], gained: list[int]) -> IouFrontier:
    return IouFrontier(hits, union, np.array(lost, np.int64), np.array(gained, np.int64))
