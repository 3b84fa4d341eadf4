"""The radius of a pixel: how far the input must move before its class can change.

A radius is a lower bound on the l2 norm of the input perturbation that makes another class tie with
the predicted one. Radii are rounded down, margins to nearest.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.floating]
Radii = npt.NDArray[np.float64]

_UNIT_ROUNDOFF = 2.0**-53
_LOWERED, _RAISED = 1.0 - 4 * _UNIT_ROUNDOFF, 1.0 + 4 * _UNIT_ROUNDOFF


def margin_from_logits(logits: FloatArray) -> Radii:
    """Largest minus second largest logit of every pixel, in float64.

    Shape: (K, ...) to (...), K >= 2.

    Raises:
        ValueError: fewer than two classes: one class has no margin.
    """
    if len(logits) < 2:
        raise ValueError(f"logits have {len(logits)} classes; expected 2 or more")
    top2 = np.partition(np.asarray(logits, np.float64), -2, axis=0)[-2:]
    return np.asarray(top2[1] - top2[0])


def joining_margin(logits: FloatArray, class_id: int) -> Radii:
    """Largest logit minus that of `class_id`: what the pixel lacks to join this class.

    Shape: (K, ...) to (...). 0 where the class is predicted already.

    Source: App. B, the cost of a true negative.
    """
    exact = np.asarray(logits, np.float64)
    return np.asarray(exact.max(axis=0) - exact[class_id])


def radius_from_margin(margin: FloatArray, lipschitz: float, slack: float = 0.0) -> Radii:
    """Radius in input l2 units of each pixel: max(0, margin - 2 * slack) / (sqrt(2) * lipschitz).

    `slack` bounds the error of one logit difference of the network that executes (0 for exact
    logits). A margin that is not a number gets radius 0. The result is lowered by a few
    units of rounding, so it never exceeds the real-arithmetic value.

    Raises:
        ValueError: `lipschitz` is not above 0.

    Source: Eq. 8 and 20 with p = 2.
    """
    _check_lipschitz(lipschitz)
    # Lowered before the difference, which may cancel: a margin is rounded to nearest.
    usable = np.asarray(margin, np.float64) * _LOWERED - 2.0 * slack * _RAISED
    factor = (1.0 - 8 * _UNIT_ROUNDOFF) / (math.sqrt(2.0) * lipschitz)
    return np.where(usable > 0, usable * factor, 0.0)


def pairwise_radius(
    logits: FloatArray,
    classifier: FloatArray,
    features_lipschitz: float,
    lipschitz: float,
    slack: float = 0.0,
) -> Radii:
    """Radius where the logits are one linear map of each pixel's own features.

    With f = W g + b, closing the gap between the predicted class c and j takes a feature change of
    (f_c - f_j) / ||W_c - W_j||, and the nearest j decides. Never below `radius_from_margin` of the
    whole network, to which it falls back.

    Radii of different pixels may share a budget only if no two pixels share a feature: a 1x1
    classifier at full resolution. Behind a pixel shuffle or an upsampling use `radius_from_margin`.

    Args:
        logits: f, shape (K, ...), K >= 2.
        classifier: W, the weights of the last 1x1 convolution, shape (K, C).
        features_lipschitz: upper bound on the Lipschitz constant from the image to g.
        lipschitz: likewise to f.
        slack: bound on the error of one logit difference of the network that executes.

    Raises:
        ValueError: a shape does not fit, or a constant is not above 0.

    Source: Eq. 8 with the pairwise norms of Tsuzuku et al. 2018 in place of sqrt(2) L.
    """
    _check_lipschitz(features_lipschitz)
    if len(classifier) != len(logits):
        raise ValueError(f"classifier has {len(classifier)} rows; the logits {len(logits)} classes")
    exact, rows = np.asarray(logits, np.float64), np.asarray(classifier, np.float64)
    nearest = radius_from_margin(margin_from_logits(exact), lipschitz, slack)
    best = np.full(nearest.shape, np.inf)
    winner = exact.argmax(axis=0)
    # Lowered for the rounding of C products, their sum, the root and the quotient.
    lowered = 1.0 - (rows.shape[1] + 16) * _UNIT_ROUNDOFF
    for j, row in enumerate(rows):
        distance = np.linalg.norm(rows - row, axis=1)[winner]
        usable = (exact.max(axis=0) - exact[j]) * _LOWERED - 2.0 * slack * _RAISED
        with np.errstate(divide="ignore", invalid="ignore"):
            alone = usable * lowered / (features_lipschitz * distance)
        best = np.where(winner == j, best, np.minimum(best, np.where(usable > 0, alone, 0.0)))
    return np.asarray(np.fmax(best, nearest))


def _check_lipschitz(lipschitz: float) -> None:
    if not lipschitz > 0:
        raise ValueError(f"lipschitz is {lipschitz}; expected a number above 0")
