"""The page of the regions: the budget that each takes, and those that take more than eps."""

from __future__ import annotations

import numpy as np

from lipdeploy.core.figures import percent_at_least
from lipdeploy.runtime.budget_labels import budget_text, draw_labels, place_labels
from lipdeploy.runtime.heat import heat_colours, scale_for
from lipdeploy.runtime.lettering import Colour, Image
from lipdeploy.runtime.page import Column, draw_page, magnified, page_style
from lipdeploy.runtime.picture_case import Case, map_colour
from lipdeploy.runtime.regions import RegionMap, find_regions
from lipdeploy.runtime.wording import kept_percent

_WHITE: Colour = (255, 255, 255)


def regions_page(case: Case) -> Image:
    """Left the budget of each region as a colour, right the regions whose budget exceeds eps.

    Every region counts, down to one pixel. Source: Massena et al. 2025, Fig. 1.
    """
    found = find_regions(case.mask, case.radius, case.eps, case.keep, min_area=1)
    change = kept_percent(case.keep)[1]
    return draw_page(
        "What it takes to change each region",
        [_budgets(case, found, change), _stable(case, found)],
        case.notes(
            "A region is a connected set of pixels with one predicted class. "
            "Each is judged against the whole budget."
        ),
        case.eps,
        case.alert,
    )


def _budgets(case: Case, found: RegionMap, change: str) -> Column:
    budgets = np.array([region.budget for region in found.regions])
    scale = scale_for(float(budgets[np.isfinite(budgets)].max(initial=0)))
    picture = magnified(heat_colours()[scale.codes(budgets[found.number])])
    size = (picture.shape[0], picture.shape[1])
    style = page_style(*size)
    texts = {k: budget_text(float(budget)) for k, budget in enumerate(budgets) if case.claims}
    draw_labels(picture, place_labels(found, texts, size, (0, size[0]), style), style)
    caption = f"No smaller l2 norm changes {change} of the region."
    if (budgets <= 0).any():
        caption += " White: no budget is certified."
    return Column("Budget of each region", picture, (caption,), bar=scale)


def _stable(case: Case, found: RegionMap) -> Column:
    names = case.manifest.class_names
    colours = np.array([map_colour(name) for name in names], np.uint8)
    shown = np.where(found.stable[..., np.newaxis], colours[case.mask], np.uint8(255))
    present = np.unique(case.mask[found.stable]).tolist()
    key = [(map_colour(names[k]), names[k]) for k in present]
    count = sum(region.stable for region in found.regions)
    share = percent_at_least(float(found.stable.mean()), 1)
    keep, _ = kept_percent(case.keep)
    return Column(
        f"Regions whose budget exceeds eps {case.eps!r}",
        magnified(shown),
        (
            f"{count} of {len(found.regions)} regions, {share} % of all pixels: "
            f"at least {keep} % of each keeps its class.",
        ),
        (*key, (_WHITE, "no such guarantee")),
    )
