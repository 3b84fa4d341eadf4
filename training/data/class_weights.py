"""Weights of the classes in the loss, from how often they occur in the training masks."""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt

from lipdeploy.core.dataset import IGNORE
from lipdeploy.training.data.examples import Examples

Scheme = Literal["none", "inverse-sqrt-frequency", "median-frequency"]
SCHEMES: tuple[Scheme, ...] = ("none", "inverse-sqrt-frequency", "median-frequency")

Weights = npt.NDArray[np.float64]


def class_weights(examples: Examples, classes: int, scheme: Scheme) -> Weights:
    """One weight a class, scaled so that the weights of the labelled pixels have mean 1.

    * `none`: 1 for every class.
    * `inverse-sqrt-frequency`: 1 / sqrt(p_k), p_k the share of the labelled pixels.
    * `median-frequency`: median(f) / f_k, f_k the pixels of class k over the labelled pixels of the
      images in which it occurs, the median taken over the classes that occur.

    Ignored pixels do not count, and augmentation is not considered. A class that never occurs
    gets weight 1, that of an average pixel: no training pixel carries it, so it changes nothing in
    training, and a loss over another split neither divides by zero nor drops the class silently.

    Returns:
        Shape (classes,), positive.

    Source: Eigen and Fergus 2015 (median frequency); Badrinarayanan et al. 2017 (SegNet). There f_k
    counts all pixels of those images, here the labelled ones.
    """
    pixels, surroundings = _counts(examples, classes)
    present = pixels > 0
    weights = np.ones(classes)
    if scheme == "none" or not present.any():
        return weights
    share = pixels / pixels.sum()
    frequency = pixels / np.maximum(surroundings, 1)
    raw = (
        1 / np.sqrt(share[present])
        if scheme == "inverse-sqrt-frequency"
        else np.median(frequency[present]) / frequency[present]
    )
    weights[present] = raw / (raw @ share[present])
    return weights


def _counts(examples: Examples, classes: int) -> tuple[Weights, Weights]:
    """Pixels of each class, and labelled pixels of the images in which it occurs."""
    pixels, surroundings = np.zeros(classes), np.zeros(classes)
    for i in range(len(examples)):
        found = np.bincount(examples.masks[i].ravel(), minlength=IGNORE + 1)[:classes]
        pixels += found
        surroundings += np.where(found > 0, found.sum(), 0)
    return pixels, surroundings
