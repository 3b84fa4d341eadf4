"""The page of the false negatives: those that are, and the most that eps can make."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from lipdeploy.core.figures import at_most
from lipdeploy.core.objectives import correct_radii, worst_case_pixels
from lipdeploy.runtime.lettering import Colour, Image
from lipdeploy.runtime.page import Column, draw_page, magnified
from lipdeploy.runtime.palette import class_colour
from lipdeploy.runtime.picture_case import Case, key_colour, photo_with

Pixels = npt.NDArray[np.bool_]

# Told apart by lightness as well, so with any colour blindness.
TRUE_POSITIVE: Colour = (110, 200, 130)
FALSE_POSITIVE: Colour = (40, 90, 200)
FALSE_NEGATIVE: Colour = (222, 70, 36)
LOST: Colour = (110, 0, 30)
UNLABELLED: Colour = (206, 206, 206)
_TRUE_NEGATIVE: Colour = (255, 255, 255)


def lost_pixels(case: Case) -> Pixels:
    """The largest set of pixels of the class that eps can make, or leave, false negatives.

    Shape (H, W). Source: Massena et al. 2025, Eq. 16, App. G.
    """
    labelled = case.labelled
    truth = np.full(int(labelled.sum()), case.class_id, np.uint8)
    radius = correct_radii(case.radius[labelled], case.mask[labelled], truth)
    lost = np.zeros(case.mask.shape, np.bool_)
    lost[labelled] = worst_case_pixels(radius, case.eps)
    return lost


def fnr_page(case: Case) -> Image:
    """Left the prediction, in the middle what is right and wrong of it, right the worst case.

    Needs labels. Source: Massena et al. 2025, Fig. 7.
    """
    name = case.class_name
    predicted = case.predicted
    share = f"{int(predicted.sum())} of {predicted.size} pixels are predicted as {name}."
    left = Column(
        f"Predicted: {name}",
        photo_with(case.image, (predicted, class_colour(name))),
        (share,),
        ((key_colour(class_colour(name)), name),),
    )
    key = f"TP, FP, FN, TN: true and false positives and negatives of the class {name}."
    bound = (
        "The worst case takes the cheapest true positives first. It is an upper bound: "
        "no attack within eps does more, and one that does as much need not exist."
    )
    columns = [left, _clean(case), _worst(case)]
    title = f"False negatives of the class {name}"
    return draw_page(title, columns, case.notes(key, bound), case.eps, case.alert)


def _clean(case: Case) -> Column:
    labelled = case.labelled
    missed = labelled & ~case.predicted
    caption = _rate("clean FNR", int(missed.sum()), int(labelled.sum()), case.class_name)
    nothing = np.zeros(case.mask.shape, np.bool_)
    return Column("Right and wrong", _map(case, nothing), (caption,), _key(case, attacked=False))


def _worst(case: Case) -> Column:
    labelled = case.labelled
    lost = lost_pixels(case)
    caption = _rate("worst FNR <=", int(lost.sum()), int(labelled.sum()), case.class_name)
    return Column(
        f"Worst case under eps {case.eps!r}",
        _map(case, lost),
        (caption,),
        _key(case, attacked=True),
    )


def _rate(what: str, count: int, size: int, name: str) -> str:
    if not size:
        return f"No pixel is labelled {name}: there is no FNR."
    return f"{what} {at_most(count / size)} ({count} of {size} labelled pixels)"


def _map(case: Case, lost: Pixels) -> Image:
    predicted, labelled = case.predicted, case.labelled
    colours = np.full((*case.mask.shape, 3), 255, np.uint8)
    colours[predicted & ~labelled] = FALSE_POSITIVE
    colours[predicted & labelled] = TRUE_POSITIVE
    colours[predicted & lost] = LOST
    colours[labelled & ~predicted] = FALSE_NEGATIVE
    colours[case.ignored] = UNLABELLED
    return magnified(colours)


def _key(case: Case, attacked: bool) -> tuple[tuple[Colour, str], ...]:
    key = [
        (TRUE_POSITIVE, "TP"),
        (FALSE_POSITIVE, "FP"),
        (FALSE_NEGATIVE, "FN"),
        (_TRUE_NEGATIVE, "TN"),
    ]
    if attacked:
        key.append((LOST, "TP made FN"))
    if case.ignored.any():
        key.append((UNLABELLED, "not labelled"))
    return tuple(key)
