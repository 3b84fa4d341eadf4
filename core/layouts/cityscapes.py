"""Cityscapes as its authors distribute it: leftImg8bit_trainvaltest and gtFine_trainvaltest.

    leftImg8bit/{train,val,test}/<city>/<city>_000000_000019_leftImg8bit.png
    gtFine/{train,val,test}/<city>/<city>_000000_000019_gtFine_labelIds.png

Of the 34 label ids, 19 are the classes of the benchmark; the others are ignored. The labels of
`test` are withheld by the authors: every pixel of them is ignored.

Source: Cordts et al. 2016; mcordts/cityscapesScripts, helpers/labels.py.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

from lipdeploy.core.errors import InputError
from lipdeploy.core.layouts.fields import Fields
from lipdeploy.core.layouts.layout import Layout, present
from lipdeploy.core.mask_file import IGNORE, LabelMap
from lipdeploy.core.pair import Pair

# Label id and name, in order of the training id.
CLASSES = {
    7: "road",
    8: "sidewalk",
    11: "building",
    12: "wall",
    13: "fence",
    17: "pole",
    19: "traffic light",
    20: "traffic sign",
    21: "vegetation",
    22: "terrain",
    23: "sky",
    24: "person",
    25: "rider",
    26: "car",
    27: "truck",
    28: "bus",
    31: "train",
    32: "motorcycle",
    33: "bicycle",
}
LARGEST_LABEL_ID = 33

_TRAINING_IDS = {label_id: k for k, label_id in enumerate(CLASSES)}
LABELS = LabelMap(
    (
        *((i, _TRAINING_IDS.get(i, IGNORE)) for i in range(LARGEST_LABEL_ID + 1)),
        (IGNORE, IGNORE),  # id -1, the number plate, in 8 bits
    ),
    f"a label id of Cityscapes, 0..{LARGEST_LABEL_ID}, from a _gtFine_labelIds.png",
)

_IMAGE, _MASK = "_leftImg8bit.png", "_gtFine_labelIds.png"
_EXPECTED = f"leftImg8bit/SPLIT/CITY/*{_IMAGE} and gtFine/SPLIT/CITY/*{_MASK} under `path`"


def cityscapes(fields: Fields) -> Layout:
    """The 19 training classes; splits train, val and test.

    Raises:
        InputError: `names` has another number of classes.
    """
    root = fields.root
    splits = {split: root / "leftImg8bit" / split for split in ("train", "val", "test")}
    return Layout(fields.class_names(list(CLASSES.values())), splits, partial(_find, root))


def _find(root: Path, split: str) -> list[Pair]:
    folder = present(root / "leftImg8bit" / split, f"the images of {split}", _EXPECTED)
    images = sorted(folder.glob(f"*/*{_IMAGE}"))
    if not images:
        raise InputError(f"{folder} holds no CITY/*{_IMAGE}; expected {_EXPECTED}")
    masks = root / "gtFine" / split
    return [Pair(image, _mask_of(image, masks), LABELS) for image in images]


def _mask_of(image: Path, masks: Path) -> Path:
    name = image.name.removesuffix(_IMAGE) + _MASK
    return present(masks / image.parent.name / name, f"the mask of {image.name}", _EXPECTED)
