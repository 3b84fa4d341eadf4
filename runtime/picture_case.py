"""One image with its prediction, and what the pages say of it alike."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from lipdeploy.core.errors import InputError
from lipdeploy.core.manifest import LEVEL_MEANING, Manifest
from lipdeploy.runtime.lettering import Colour, Image
from lipdeploy.runtime.page import enlarged_photo, magnified
from lipdeploy.runtime.palette import class_colour, is_tinted
from lipdeploy.runtime.session import checked_eps

_UNTINTED: Colour = (158, 160, 166)
_OPACITY = 0.7
_PALE_GREY = 160


@dataclass(frozen=True)
class Case:
    """What a page is drawn of.

    Attributes:
        image: RGB, shape (H, W, 3), uint8, at the network's resolution.
        truth: class ids, shape (H, W), uint8, 255 where unlabelled; None without labels.
        mask: predicted class ids, shape (H, W), uint8.
        radius: l2 radius of each pixel, shape (H, W), >= 0; 0 where the model is not verified.
        manifest: of the model.
        eps: budget in l2 at the network's input.
        keep: share of a region that must stay.
        class_id: the class that rates are of.
    """

    image: Image
    truth: Image | None
    mask: Image
    radius: npt.NDArray[np.float32]
    manifest: Manifest
    eps: float
    keep: float
    class_id: int

    @property
    def class_name(self) -> str:
        """Name of the class that rates are of."""
        return self.manifest.class_names[self.class_id]

    @property
    def predicted(self) -> npt.NDArray[np.bool_]:
        """Pixels predicted as that class, shape (H, W)."""
        return np.equal(self.mask, self.class_id)

    @property
    def labelled(self) -> npt.NDArray[np.bool_]:
        """Pixels labelled as that class, shape (H, W); none without labels."""
        return self._where_truth_is(self.class_id)

    @property
    def ignored(self) -> npt.NDArray[np.bool_]:
        """Pixels whose label says that they do not count, shape (H, W)."""
        return self._where_truth_is(255)

    @property
    def claims(self) -> bool:
        """Whether anything is claimed at all."""
        return self.manifest.numerics.level != "none"

    @property
    def alert(self) -> str:
        """What must be said first, if anything."""
        if self.claims:
            return ""
        return "NOT VERIFIED: nothing is claimed, every radius counts as 0"

    def _where_truth_is(self, label: int) -> npt.NDArray[np.bool_]:
        return np.zeros(self.mask.shape, np.bool_) if self.truth is None else self.truth == label

    def notes(self, *own: str) -> tuple[str, ...]:
        """The page's own notes, then budget and level."""
        level = self.manifest.numerics.level
        size = f"{self.manifest.width}x{self.manifest.height}"
        return (
            *own,
            f"eps {self.eps!r}: l2 norm over the whole RGB frame in [0, 1], "
            f"at the {size} network input.",
            f"level {level}: {LEVEL_MEANING[level]}.",
        )


def checked_case(case: Case) -> Case:
    """The case itself.

    Raises:
        InputError: shapes that do not belong together, or an option out of range.
    """
    checked_eps(case.eps)
    if not 0 < case.keep <= 1:
        raise InputError(f"keep is {case.keep}; expected a share above 0 and up to 1")
    shape = case.mask.shape
    if case.image.shape != (*shape, 3) or case.image.dtype != np.uint8:
        got = f"{case.image.dtype} {case.image.shape}"
        raise InputError(f"image is {got}; expected uint8 {(*shape, 3)}, as the prediction")
    if case.truth is not None and case.truth.shape != shape:
        raise InputError(f"truth is {case.truth.shape}; expected {shape}, as the prediction")
    if not 0 <= case.class_id < len(case.manifest.class_names):
        classes = len(case.manifest.class_names)
        raise InputError(f"class is {case.class_id}; expected 0 to {classes - 1}")
    return case


def foreground(names: tuple[str, ...], truth: Image | None, mask: Image) -> int:
    """The foreground class with most labelled pixels, or most predicted ones.

    Class 0 and classes named as a background are left out unless there is no other.
    """
    eligible = [k for k, name in enumerate(names) if k and is_tinted(name)] or [0]
    for ids in (truth, mask):
        count = np.bincount([] if ids is None else ids.ravel(), minlength=256)[eligible]
        if count.any():
            return eligible[int(np.argmax(count))]
    return eligible[0]


def map_colour(name: str) -> Colour:
    """The colour of a class where no photograph is below: a background is grey."""
    return class_colour(name) if is_tinted(name) else _UNTINTED


def pixels_text(count: int) -> str:
    """A number of pixels.

    >>> pixels_text(1)
    '1 pixel'
    """
    return f"{count} pixel" if count == 1 else f"{count} pixels"


def photo_with(image: Image, *layers: tuple[npt.NDArray[np.bool_], Colour]) -> Image:
    """The photograph in pale grey, with sets of pixels (H, W) in bright colours, enlarged."""
    grey = cv2.cvtColor(enlarged_photo(image), cv2.COLOR_RGB2GRAY)
    pale = cv2.convertScaleAbs(grey, alpha=0.6, beta=90)
    picture = np.asarray(cv2.cvtColor(pale, cv2.COLOR_GRAY2RGB), np.uint8)
    for pixels, colour in layers:
        large = magnified(pixels.astype(np.uint8)) > 0
        picture[large] = _over(picture[large], colour)
    return picture


def key_colour(colour: Colour) -> Colour:
    """How a bright colour looks over the middle of the pale photograph."""
    red, green, blue = _over(np.array([_PALE_GREY] * 3, np.uint8), colour).tolist()
    return red, green, blue


def _over(below: Image, colour: Colour) -> Image:
    bright = below * (1 - _OPACITY) + np.asarray(colour) * _OPACITY
    return np.asarray(bright.round(), np.uint8)
