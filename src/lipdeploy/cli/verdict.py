"""How a verification is told: a table of layers and one line."""

from __future__ import annotations

from collections.abc import Sequence

from lipdeploy.core.figures import at_most
from lipdeploy.core.manifest import LayerBound
from lipdeploy.export.verifier.verification import Verification


def layer_table(layers: Sequence[LayerBound], lipschitz: float) -> str:
    """One line a linear layer with its bound and the running product.

    The product is that of a chain; the graph's bound below it accounts for parallel branches.
    """
    width = max((len(layer.name) for layer in layers), default=5)
    lines = [f"{'layer':{width}}  {'op':4}  {'kernel':>17}  {'norm <=':>11}  {'product':>11}"]
    product = 1.0
    for layer in layers:
        product *= layer.bound
        shape = "x".join(map(str, layer.shape))
        bounds = f"{at_most(layer.bound, 8):>11}  {at_most(product, 8):>11}"
        lines.append(f"{layer.name:{width}}  {layer.op:4}  {shape:>17}  {bounds}")
    lines.append(f"{'whole graph':{width}}  {'':4}  {'':>17}  {'':11}  {at_most(lipschitz, 8):>11}")
    return "\n".join(lines)


def summary_line(found: Verification) -> str:
    """`PASSED | L <= ... | level ...` or `FAILED | reason`."""
    if not found.passed:
        return f"FAILED | {found.failure}"
    bound = at_most(found.declared, 8)
    return f"PASSED | L <= {bound} | level {found.level} | {len(found.checks)} checks"
