"""Oxford-IIIT Pet as its authors distribute it: images.tar.gz and annotations.tar.gz.

    images/Abyssinian_1.jpg
    annotations/trimaps/Abyssinian_1.png       1 pet, 2 background, 3 border (not classified)
    annotations/{trainval,test}.txt            name, breed 1..37, species (1 cat, 2 dog), number

Only what the lists name is read: the folders hold further files. `test` is the authors'. `val` is
drawn from trainval, `val_share` of every breed, and `train` is the rest.

Source: Parkhi et al. 2012, README of the annotations.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from lipdeploy.core.errors import InputError
from lipdeploy.core.layouts.drawn_split import drawn
from lipdeploy.core.layouts.fields import Fields
from lipdeploy.core.layouts.layout import Layout, lines_of, present
from lipdeploy.core.mask_file import IGNORE, LabelMap
from lipdeploy.core.pair import Pair

VAL_SHARE = 0.1

_PET, _BACKGROUND, _BORDER = 1, 2, 3
_SPECIES = {"1": "cat", "2": "dog"}
_EXPECTED = "images/*.jpg, annotations/trimaps/*.png and annotations/{trainval,test}.txt in `path`"


def _trimap(pet: int, background: int, border: int) -> LabelMap:
    ids = ((_PET, pet), (_BACKGROUND, background), (_BORDER, border))
    return LabelMap(ids, "1 (pet), 2 (background) or 3 (border) of a trimap")


# Class names and, by species, what a trimap's values stand for.
TARGETS = {
    "trimap": (("pet", "background", "border"), dict.fromkeys(("cat", "dog"), _trimap(0, 1, 2))),
    "species": (
        ("background", "cat", "dog"),
        {"cat": _trimap(1, 0, IGNORE), "dog": _trimap(2, 0, IGNORE)},
    ),
}


@dataclass(frozen=True)
class _Row:
    """A line of the authors' lists."""

    name: str
    breed: str
    species: str


def oxford_pet(fields: Fields) -> Layout:
    """`target: trimap` (pet, background, border; nothing is ignored) or `species`.

    `species` has the classes background, cat and dog; the border is ignored.

    Raises:
        InputError: an unknown target, a share out of range, other classes.
    """
    names, labels = TARGETS[fields.choice("target", tuple(TARGETS))]
    root, share = fields.root, fields.share("val_share", VAL_SHARE)
    splits = dict.fromkeys(("train", "val", "test"), root / "images")
    return Layout(fields.class_names(names), splits, partial(_find, root, labels, share))


def _find(root: Path, labels: dict[str, LabelMap], share: float, split: str) -> list[Pair]:
    return [
        Pair(
            present(root / "images" / f"{row.name}.jpg", "an image of the lists", _EXPECTED),
            present(
                root / "annotations/trimaps" / f"{row.name}.png", "a mask of the lists", _EXPECTED
            ),
            labels[row.species],
        )
        for row in sorted(_rows_of(root / "annotations", share, split), key=lambda row: row.name)
    ]


def _rows_of(annotations: Path, share: float, split: str) -> list[_Row]:
    if split == "test":
        return _rows(annotations / "test.txt")
    rows, by_breed = _rows(annotations / "trainval.txt"), defaultdict(list)
    for row in rows:
        by_breed[row.breed].append(row.name)
    val = frozenset[str]().union(*(drawn(names, share) for names in by_breed.values()))
    return [row for row in rows if (row.name in val) == (split == "val")]


def _rows(path: Path) -> list[_Row]:
    found = []
    for number, line in enumerate(lines_of(path, "a list of the authors", _EXPECTED), 1):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        if len(words) != 4 or words[2] not in _SPECIES:
            raise InputError(
                f"{path} line {number} is {line!r}; expected a name, the breed, "
                "the species (1 cat, 2 dog) and a number"
            )
        found.append(_Row(words[0], words[1], _SPECIES[words[2]]))
    if not found:
        raise InputError(f"{path} names no image; expected the list of the authors")
    return found
