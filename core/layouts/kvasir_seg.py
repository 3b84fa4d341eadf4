"""Kvasir-SEG as its authors distribute it: kvasir-seg.zip.

    images/cju0qkwl35piu0993l0dewei2.jpg
    masks/cju0qkwl35piu0993l0dewei2.jpg        a grey JPEG: above 127 is polyp

The bounding boxes in the JSON file are not read. The archive has no split: `val` is drawn,
`val_share` of the images, and `train` is the rest; or `train`, `val` and `test` are text files of
image names, one a line, relative to `path`.

Source: Jha et al. 2020.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

from lipdeploy.core.errors import InputError
from lipdeploy.core.image_file import image_files
from lipdeploy.core.layouts.drawn_split import drawn
from lipdeploy.core.layouts.fields import Fields
from lipdeploy.core.layouts.layout import Layout, lines_of, present
from lipdeploy.core.mask_file import LabelMap
from lipdeploy.core.pair import Pair

CLASSES = ("background", "polyp")
VAL_SHARE = 0.12  # 120 of the 1,000 images
LABELS = LabelMap(tuple((grey, int(grey > 127)) for grey in range(256)), "a grey level", grey=True)

_EXPECTED = "images/*.jpg and masks/*.jpg of the same names in `path`"


def kvasir_seg(fields: Fields) -> Layout:
    """Background and polyp; nothing is ignored.

    Raises:
        InputError: one of `train` and `val` without the other, or a share out of range.
    """
    root, share = fields.root, fields.share("val_share", VAL_SHARE)
    lists = {s: str(fields.values[s]) for s in ("train", "val", "test") if fields.values.get(s)}
    if lists and not {"train", "val"} <= set(lists):
        raise InputError(
            f"{fields.source} names {', '.join(lists)} alone; "
            "name the text files of both train and val, or none"
        )
    splits = dict.fromkeys(lists or ("train", "val"), root / "images")
    find = partial(_find, root, {split: root / name for split, name in lists.items()}, share)
    return Layout(fields.class_names(CLASSES), splits, find)


def _find(root: Path, lists: dict[str, Path], share: float, split: str) -> list[Pair]:
    folder = present(root / "images", "the images", _EXPECTED)
    found = {image.stem: image for image in image_files(folder)}
    chosen = _listed(lists[split], found) if lists else _drawn(set(found), share, split)
    masks = root / "masks"
    return [
        Pair(
            found[name],
            present(masks / f"{name}.jpg", f"the mask of {found[name].name}", _EXPECTED),
            LABELS,
        )
        for name in sorted(chosen)
    ]


def _drawn(names: set[str], share: float, split: str) -> set[str] | frozenset[str]:
    val = drawn(names, share)
    return val if split == "val" else names - val


def _listed(path: Path, found: dict[str, Path]) -> set[str]:
    lines = lines_of(path, "a list of images", "a text file, one name a line")
    names = {line.strip().removesuffix(".jpg") for line in lines} - {""}
    unknown = sorted(names - set(found))
    if unknown or not names:
        got = f"names {unknown[0]!r}, which is not in images" if unknown else "names no image"
        raise InputError(f"{path} {got}; expected one name of images/*.jpg a line")
    return names
