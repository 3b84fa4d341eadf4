"""How every operator pulls weights back, one family of operators a file.

An operator that is not in `RULES` is refused by name and place, and so is an attribute that the
proof of its rule does not cover.
"""

from __future__ import annotations

from lipdeploy.export.verifier.rules import (
    elementwise,
    layout,
    linear,
    pooling,
    quantization,
    sorting,
    sums,
)
from lipdeploy.export.verifier.rules.walk import Rule

RULES: dict[str, Rule] = {
    **elementwise.RULES,
    **layout.RULES,
    **linear.RULES,
    **pooling.RULES,
    **quantization.RULES,
    **sorting.RULES,
    **sums.RULES,
}
