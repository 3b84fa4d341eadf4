"""The page of the vanishing attack: what eps can take of a predicted class, without labels."""

from __future__ import annotations

import numpy as np

from lipdeploy.core.figures import at_least, percent_at_least
from lipdeploy.core.objectives import vanishing_pixels
from lipdeploy.core.segments import certify_segments
from lipdeploy.runtime.budget_labels import budget_text, draw_labels, place_labels
from lipdeploy.runtime.lettering import Colour, Image
from lipdeploy.runtime.page import Column, draw_page, page_style
from lipdeploy.runtime.palette import class_colour
from lipdeploy.runtime.picture_case import Case, key_colour, photo_with, pixels_text
from lipdeploy.runtime.regions import RegionMap, find_regions

_TENTHS = 9  # of a region that must change
_LISTED = 3  # regions named in the caption
VANISHED: Colour = (110, 0, 30)


def vanishing_budgets(case: Case, found: RegionMap) -> dict[int, float]:
    """Lower bound on the l2 norm that changes at least 90 % of each region of the class.

    By place of the region in `found.regions`. Source: Massena et al. 2025, Eq. 14, App. H.
    """
    places = [k for k, r in enumerate(found.regions) if r.class_id == case.class_id]
    area = np.array([region.area for region in found.regions])
    needed = np.maximum(1, -(-_TENTHS * area // 10))
    number = np.where(case.predicted, found.number, -1)
    budget = certify_segments(number, case.radius, case.eps, needed).budget
    return {k: float(budget[k]) for k in places}


def vanishing_page(case: Case) -> Image:
    """Left the regions of the class with their budgets, right what eps can take of the class.

    Source: Massena et al. 2025, Fig. 8.
    """
    note = (
        "The worst case changes the cheapest pixels first. It is an upper bound: "
        "no attack within eps changes more, and one that changes as many need not exist."
    )
    title = f"Vanishing attack on the class {case.class_name}"
    columns = [_regions(case), _attacked(case)]
    return draw_page(title, columns, case.notes(note), case.eps, case.alert)


def _regions(case: Case) -> Column:
    found = find_regions(case.mask, case.radius, case.eps, case.keep, min_area=1)
    budgets = vanishing_budgets(case, found)
    colour = class_colour(case.class_name)
    picture = photo_with(case.image, (case.predicted, colour))
    size = (picture.shape[0], picture.shape[1])
    style = page_style(*size)
    texts = {k: budget_text(budget) for k, budget in budgets.items() if case.claims}
    draw_labels(picture, place_labels(found, texts, size, (0, size[0]), style), style)
    title = f"eps to change {_TENTHS}0 % or more of a region"
    return Column(
        title, picture, _captions(case, found, budgets), ((key_colour(colour), case.class_name),)
    )


def _captions(case: Case, found: RegionMap, budgets: dict[int, float]) -> tuple[str, ...]:
    if not budgets:
        return (f"No pixel is predicted as {case.class_name}.",)
    if not case.claims:
        return ("No budget is claimed.",)
    largest = [
        f"{pixels_text(found.regions[k].area)}, eps {at_least(budgets[k], 3)}"
        for k in sorted(budgets)[:_LISTED]
    ]
    rest = len(budgets) - len(largest)
    more = f"; {rest} smaller not listed" if rest else ""
    return (f"No smaller l2 norm does it. Largest: {'; '.join(largest)}{more}.",)


def _attacked(case: Case) -> Column:
    predicted = case.predicted
    vanished = vanishing_pixels(case.mask, case.radius, case.class_id, case.eps)
    colour = class_colour(case.class_name)
    size, gone = int(predicted.sum()), int(vanished.sum())
    caption = f"No pixel is predicted as {case.class_name}: nothing can vanish."
    if size:
        left = percent_at_least((size - gone) / size)
        caption = f"At least {left} % of the class is left ({size - gone} of {size} pixels)."
    return Column(
        f"Worst case under eps {case.eps!r}",
        photo_with(case.image, (predicted & ~vanished, colour), (vanished, VANISHED)),
        (caption,),
        ((key_colour(colour), f"still {case.class_name}"), (key_colour(VANISHED), "changed")),
    )
