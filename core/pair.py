"""An example on disk: an image, its mask, and what the mask's values stand for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from lipdeploy.core.image_file import read_image
from lipdeploy.core.mask_file import LabelMap, read_mask
from lipdeploy.core.resize import resized, resized_labels


@dataclass(frozen=True)
class Pair:
    """One image file and the file of its mask.

    Attributes:
        image: file of the image.
        mask: file of the mask.
        labels: what the values in the mask stand for; None where they are the class ids.
    """

    image: Path
    mask: Path
    labels: LabelMap | None = None


def read_pair(
    pair: Pair, classes: int, height: int, width: int
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    """Decode an example and bring it to the network's size.

    Returns:
        RGB image (height, width, 3) and class ids (height, width), 255 ignored.

    Raises:
        InputError: a file that cannot be read, or a mask that does not fit.
    """
    image = read_image(pair.image)
    mask = read_mask(pair.mask, classes, (image.shape[0], image.shape[1]), pair.labels)
    return resized(image, height, width), resized_labels(mask, height, width)
