"""Pictures of one image's certificates, for people: regions, worst false negatives, vanishing."""

from __future__ import annotations

import numpy as np

from lipdeploy.core.manifest import Manifest
from lipdeploy.runtime.lettering import Image
from lipdeploy.runtime.picture_case import Case, checked_case, foreground
from lipdeploy.runtime.picture_fnr import fnr_page
from lipdeploy.runtime.picture_regions import regions_page
from lipdeploy.runtime.picture_vanishing import vanishing_page
from lipdeploy.runtime.session import Prediction


def certificate_pictures(
    image: Image,
    truth: Image | None,
    prediction: Prediction,
    manifest: Manifest,
    eps: float,
    keep: float = 0.9,
    class_id: int | None = None,
) -> dict[str, Image]:
    """Pages of one image, each RGB of its own size.

    Every figure on them is a bound, rounded against us, at the level of the manifest. At level
    `none` every radius counts as 0, so that nothing is claimed.

    Args:
        image: RGB, shape (H, W, 3), uint8, at the network's resolution.
        truth: class ids, shape (H, W), uint8, 255 where unlabelled; None without labels.
        prediction: of this image.
        manifest: of the model.
        eps: budget in l2 at the network's input, >= 0.
        keep: share of a region that must stay, above 0 up to 1.
        class_id: the class that `worst_fnr` and `vanishing` speak of; the foreground class with
            most labelled, or predicted, pixels if left out.

    Returns:
        `regions`, `worst_fnr` (with labels only) and `vanishing`.

    Raises:
        InputError: shapes that do not belong together, or an option out of range.
    """
    verified = manifest.numerics.level != "none"
    radius = prediction.radius if verified else np.zeros_like(prediction.radius)
    chosen = class_id
    if chosen is None:
        chosen = foreground(manifest.class_names, truth, prediction.mask)
    case = checked_case(Case(image, truth, prediction.mask, radius, manifest, eps, keep, chosen))
    pages = {"regions": regions_page(case)}
    if truth is not None:
        pages["worst_fnr"] = fnr_page(case)
    pages["vanishing"] = vanishing_page(case)
    return pages
