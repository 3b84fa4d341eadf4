"""How a verification is told: a table of layers, one of engines, and one line."""

from __future__ import annotations

from collections.abc import Sequence

from lipdeploy.cli.plain_text import printable
from lipdeploy.core.figures import at_most
from lipdeploy.core.manifest import LayerBound
from lipdeploy.export.verifier.execution import EngineError
from lipdeploy.export.verifier.rounding.summary import RoundingSummary
from lipdeploy.export.verifier.verification import Verification


def layer_table(
    layers: Sequence[LayerBound], lipschitz: float, tightness: Sequence[float | None] = ()
) -> str:
    """One line a linear layer with its bound and the running product.

    The product is that of a chain; the graph's bound below it accounts for parallel branches.
    `bound/norm` compares with an estimate of the norm from below.
    """
    names = [printable(layer.name) for layer in layers]
    width = max([11, *map(len, names)])
    kind = max([4, *(len(layer.op) for layer in layers)])
    last = f"  {'bound/norm':>10}" if tightness else ""
    head = f"{'kernel':>17}  {'norm <=':>11}  {'product':>11}{last}"
    lines = [f"{'layer':{width}}  {'op':{kind}}  {head}"]
    product = 1.0
    ratios = tightness or [None] * len(layers)
    for name, layer, ratio in zip(names, layers, ratios, strict=True):
        product *= layer.bound
        shape = "x".join(map(str, layer.shape))
        bounds = f"{at_most(layer.bound, 8):>11}  {at_most(product, 8):>11}"
        last = f"  {_ratio(ratio):>10}" if tightness else ""
        lines.append(f"{name:{width}}  {layer.op:{kind}}  {shape:>17}  {bounds}{last}")
    lines.append(
        f"{'whole graph':{width}}  {'':{kind}}  {'':>17}  {'':11}  {at_most(lipschitz, 8):>11}"
    )
    lines.append("product: of a chain; branches side by side share it, so the whole may be below")
    if tightness:
        lines.append("bound/norm: the norm is estimated from below; 1 is the best a proof can do")
    return "\n".join(lines)


def _ratio(ratio: float | None) -> str:
    return "-" if ratio is None else f"{ratio:.6f}"


def engine_table(errors: Sequence[EngineError], slack: float) -> str:
    """One line an engine and kind of frame: the largest error of a logit difference, and D."""
    width = max((len(row.engine) for row in errors), default=6)
    lines = [f"{'engine':{width}}  {'frames':>18}  {'largest error':>13}  {'slack D':>9}  covered"]
    for row in errors:
        frames = f"{row.frames} {row.kind}"
        covered = "yes" if row.covered else "NO"
        lines.append(
            f"{row.engine:{width}}  {frames:>18}  {row.largest:>13.2e}  {slack:>9.2e}  {covered}"
        )
    return "\n".join(lines)


def rounding_table(found: RoundingSummary) -> str:
    """The bound on float32 rounding and the nodes that contribute most, or why there is none."""
    if found.slack is None:
        return f"rounding: no bound on float32 ({printable(found.refusal)})"
    height, width = found.field
    lines = [
        f"rounding: float32 in any order moves no logit difference by more than "
        f"{at_most(found.slack, 4)} (D, for any frame; receptive field {height}x{width})"
    ]
    names = max((len(printable(part.name)) for part in found.parts), default=0)
    lines += [f"  {printable(p.name):{names}}  {at_most(p.largest, 4)}" for p in found.parts]
    return "\n".join(lines)


def summary_line(found: Verification) -> str:
    """`PASSED | L <= ... | level ...` or `FAILED | reason`."""
    if not found.passed:
        return f"FAILED | {printable(str(found.failure))}"
    bound = at_most(found.declared, 8)
    return f"PASSED | L <= {bound} | level {found.level} | {len(found.checks)} checks"
