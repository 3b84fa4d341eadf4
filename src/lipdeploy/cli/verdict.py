"""How a verification is told: a table of layers and one line."""

from __future__ import annotations

from collections.abc import Sequence

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
        lines.append(
            f"{layer.name:{width}}  {layer.op:4}  {shape:>17}  {layer.bound:11.8f}  {product:11.8f}"
        )
    lines.append(f"{'whole graph':{width}}  {'':4}  {'':>17}  {'':11}  {lipschitz:11.8f}")
    return "\n".join(lines)


def summary_line(found: Verification) -> str:
    """`PASSED | L <= ... | level ...` or `FAILED | reason`."""
    if not found.passed:
        return f"FAILED | {found.failure}"
    return f"PASSED | L <= {found.declared:.8f} | level {found.level} | {len(found.checks)} checks"
