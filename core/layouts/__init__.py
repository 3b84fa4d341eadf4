"""How data sets lie on disk: one file a layout, as their authors distribute them."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from lipdeploy.core.layouts.cityscapes import cityscapes
from lipdeploy.core.layouts.fields import Fields
from lipdeploy.core.layouts.folders import folders
from lipdeploy.core.layouts.kvasir_seg import kvasir_seg
from lipdeploy.core.layouts.layout import Layout
from lipdeploy.core.layouts.oxford_pet import oxford_pet

LAYOUTS: Mapping[str, Callable[[Fields], Layout]] = {
    "folders": folders,
    "cityscapes": cityscapes,
    "oxford-iiit-pet": oxford_pet,
    "kvasir-seg": kvasir_seg,
}

__all__ = ["LAYOUTS", "Fields", "Layout"]
