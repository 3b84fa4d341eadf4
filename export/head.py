"""The certification head as ONNX nodes: mask, radius and an upper bound on the flips.

The head is a pure function of `HeadSpec`: export appends it, and the verifier builds it again
from the metadata and demands that the file holds exactly these nodes and constants.

Soundness in float32, with u = 2^-24 and every constant rounded to the safe side:

* margin: the difference of two float32 logits carries a relative error of u; it is multiplied by
  1 - 2^-22 before 2 D is subtracted, and the final factor is rounded down by 2^-22.
* a margin that is not a number, infinite or close to float32's subnormals gives radius 0.
* flips: float32 sums along W, then H, are off by a relative (H + W) u at most; budgets are
  inflated by GAMMA = (H + W + 8) 2^-23, twice that and more, which also covers the rounding of
  the squares, of eps and of the comparisons.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from lipdeploy.core import single_precision
from lipdeploy.core.errors import InputError

STEPS = 12
LARGEST_RADIUS = float(2**20)
SMALLEST_RADIUS = 1e-30  # below it float32 loses the digits that the safe rounding needs
SMALLEST_COST = 1e-30
HEADS = ("threshold", "sort")


@dataclass(frozen=True)
class HeadSpec:
    """Everything the head depends on.

    Attributes:
        kind: `threshold` (bisection, builds in every engine) or `sort` (the paper's sort and sum).
        classes: channels K of `logits`.
        height: rows H.
        width: columns W.
        budgets: length E of `eps`.
        lipschitz: L of the logits.
        slack: D, bound on the error of a logit difference.
    """

    kind: str
    classes: int
    height: int
    width: int
    budgets: int
    lipschitz: float
    slack: float

    def __post_init__(self) -> None:
        if self.kind not in HEADS:
            raise InputError(f"head is {self.kind!r}; expected one of {', '.join(HEADS)}")
        if self.height * self.width > 2**24 or self.classes > 255:
            raise InputError(
                "the head counts up to 2^24 pixels and 255 classes; use a smaller size"
            )

    @property
    def gamma(self) -> float:
        """Relative inflation of budgets that covers all float32 rounding of the sums."""
        return (self.height + self.width + 8) * 2.0**-23


class _Nodes:
    """Collects nodes and constants under the prefix `head/`."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def constant(self, name: str, value: float | list[int], dtype: type = np.float32) -> str:
        array: npt.NDArray[Any] = np.asarray(value, dtype)
        self.constants.append(numpy_helper.from_array(array, f"head/{name}"))
        return f"head/{name}"

    def add(self, op: str, inputs: list[str], name: str, **attributes: Any) -> str:
        output = name if name in ("mask", "radius", "flips") else f"head/{name}"
        node = helper.make_node(op, inputs, [output], name=f"head/{op}_{name}", **attributes)
        self.nodes.append(node)
        return output


def head_nodes(spec: HeadSpec) -> tuple[list[onnx.NodeProto], list[onnx.TensorProto]]:
    """Nodes and constants from `logits` and `eps` to `mask`, `radius` and `flips`."""
    n = _Nodes()
    zero = n.constant("zero", 0.0)
    one = n.constant("one", 1.0)
    winner, margin = _top2(n, spec, zero)
    frame = n.constant("frame_shape", [1, spec.height, spec.width], np.int64)
    n.add("Reshape", [winner, frame], "winner_frame")
    # TensorRT takes bytes as an output and nowhere else: the cast comes last.
    n.add("Cast", ["head/winner_frame"], "mask", to=TensorProto.UINT8)
    cost = _radius(n, spec, margin, zero, frame)
    budget = _budget(n, spec)
    if spec.kind == "sort":
        count = _sorted_count(n, spec, cost, budget, zero, one)
    else:
        count = _threshold_count(n, spec, cost, budget, zero, one)
    _flips(n, spec, count)
    return n.nodes, n.constants


def float32_down(value: float) -> float:
    """Largest float32 at most `value`."""
    return float(single_precision.float32_down(np.asarray(value, np.float64)))


def float32_up(value: float) -> float:
    """Smallest float32 at least `value`."""
    return float(single_precision.float32_up(np.asarray(value, np.float64)))


def _top2(n: _Nodes, spec: HeadSpec, zero: str) -> tuple[str, str]:
    """Winner (as float) and margin by one fold over the classes; the first of equals wins."""
    planes = [f"head/class_{k}" for k in range(spec.classes)]
    n.nodes.append(
        helper.make_node(
            "Split", ["logits"], planes, name="head/Split", axis=1, num_outputs=spec.classes
        )
    )
    first, second, winner = planes[0], "", zero
    for k in range(1, spec.classes):
        wins = n.add("Greater", [planes[k], first], f"wins_{k}")
        index = n.constant(f"index_{k}", float(k))
        winner = n.add("Where", [wins, index, winner], f"winner_{k}")
        loser = n.add("Min", [planes[k], first], f"loser_{k}")
        second = n.add("Max", [second, loser], f"second_{k}") if second else loser
        first = n.add("Max", [planes[k], first], f"first_{k}")
    return winner, n.add("Sub", [first, second], "margin")


def _radius(n: _Nodes, spec: HeadSpec, margin: str, zero: str, frame: str) -> str:
    """`radius` rounded down, and its square."""
    shrink = n.constant("margin_shrink", float32_down(1 - 2.0**-22))
    slack = n.constant("twice_slack", float32_up(2 * spec.slack))
    factor = float32_down((1 - 2.0**-22) / (math.sqrt(2.0) * spec.lipschitz))
    scale = n.constant("radius_per_margin", factor)
    largest = n.constant("largest_radius", LARGEST_RADIUS)
    usable = n.add("Sub", [n.add("Mul", [margin, shrink], "margin_down"), slack], "usable_margin")
    raw = n.add("Mul", [usable, scale], "raw_radius")
    smallest = n.constant("smallest_radius", SMALLEST_RADIUS)
    positive = n.add("Greater", [raw, smallest], "radius_positive")
    finite = n.add("Less", [raw, largest], "radius_finite")
    valid = n.add("And", [positive, finite], "radius_valid")
    n.add("Reshape", [n.add("Where", [valid, raw, zero], "safe_radius"), frame], "radius")
    return n.add("Mul", ["radius", "radius"], "cost")


def _budget(n: _Nodes, spec: HeadSpec) -> str:
    """eps^2, inflated, shaped (E, 1, 1)."""
    shape = n.constant("budget_shape", [spec.budgets, 1, 1], np.int64)
    inflation = n.constant("budget_inflation", float32_up(1 + spec.gamma))
    tiny = n.constant("budget_tiny", SMALLEST_COST)
    eps = n.add("Reshape", ["eps", shape], "eps_column")
    squared = n.add("Mul", [eps, eps], "eps_squared")
    return n.add("Add", [n.add("Mul", [squared, inflation], "budget_scaled"), tiny], "budget")


def _spent(n: _Nodes, name: str, condition: str, value: str, zero: str) -> str:
    """Sum of `value` where `condition` holds, along W, then H: shape (E, 1, 1)."""
    columns = "head/columns"
    rows = "head/rows"
    if not any(c.name == columns for c in n.constants):
        n.constant("columns", [2], np.int64)
        n.constant("rows", [1], np.int64)
    chosen = n.add("Where", [condition, value, zero], f"{name}_chosen")
    by_row = n.add("ReduceSum", [chosen, columns], f"{name}_by_row", keepdims=1)
    return n.add("ReduceSum", [by_row, rows], f"{name}_sum", keepdims=1)


def _threshold_count(n: _Nodes, spec: HeadSpec, cost: str, budget: str, zero: str, one: str) -> str:
    """Geometric bisection on the dearest pixel that the budget buys.

    Invariants: no optimal attack buys more pixels than those with cost <= high; those with
    cost <= low fit. The rest of the budget buys pixels of more than `low` each.
    """
    pixels = spec.height * spec.width
    share = n.constant("per_pixel", 1.0 / pixels)
    tiny = n.constant("smallest_cost", SMALLEST_COST)
    low = n.add("Max", [n.add("Mul", [budget, share], "even_share"), tiny], "low_0")
    high = budget
    for step in range(1, STEPS + 1):
        roots = [
            n.add("Sqrt", [x], f"{side}_root_{step}") for x, side in ((low, "low"), (high, "high"))
        ]
        middle = n.add("Mul", roots, f"middle_{step}")
        below = n.add("LessOrEqual", [cost, middle], f"below_{step}")
        total = _spent(n, f"step_{step}", below, cost, zero)
        fits = n.add("LessOrEqual", [total, budget], f"fits_{step}")
        low = n.add("Where", [fits, middle, low], f"low_{step}")
        high = n.add("Where", [fits, high, middle], f"high_{step}")
    at_high = _spent(n, "count_high", n.add("LessOrEqual", [cost, high], "at_high"), one, zero)
    at_low = n.add("LessOrEqual", [cost, low], "at_low")
    bought = _spent(n, "count_low", at_low, one, zero)
    paid = _spent(n, "paid_low", at_low, cost, zero)
    deflation = n.constant("paid_deflation", float32_down(1 - spec.gamma))
    rest = n.add("Sub", [budget, n.add("Mul", [paid, deflation], "paid_down")], "rest")
    rest = n.add("Max", [rest, zero], "rest_positive")
    excess = n.constant("quotient_up", float32_up(1 + 2.0**-20))
    more = n.add("Mul", [n.add("Div", [rest, low], "quotient"), excess], "quotient_inflated")
    reach = n.add("Add", [bought, n.add("Floor", [more], "more")], "count_reach")
    return n.add("Min", [at_high, reach], "count")


def _sorted_count(n: _Nodes, spec: HeadSpec, cost: str, budget: str, zero: str, one: str) -> str:
    """Sort, then prefix sums by rows of W: the paper's Eq. 11 with rounding against us."""
    pixels = n.constant("pixel_count", [spec.height * spec.width], np.int64)
    frame = "head/frame_shape"
    flat = n.add("Reshape", [cost, pixels], "cost_flat")
    values = "head/cost_sorted"
    n.nodes.append(
        helper.make_node(
            "TopK", [flat, pixels], [values, "head/order"], name="head/TopK", largest=0, sorted=1
        )
    )
    table = n.add("Reshape", [values, frame], "cost_table")
    last, rows_axis = n.constant("axis_columns", 2, np.int64), n.constant("axis_rows", 1, np.int64)
    within = n.add("CumSum", [table, last], "sum_within_row")
    n.constant("columns", [2], np.int64)
    n.constant("rows", [1], np.int64)
    totals = n.add("ReduceSum", [table, "head/columns"], "row_totals", keepdims=1)
    before = n.add("CumSum", [totals, rows_axis], "sum_before_row", exclusive=1)
    fits = n.add("LessOrEqual", [n.add("Add", [within, before], "prefix"), budget], "prefix_fits")
    return _spent(n, "count", fits, one, zero)


def _flips(n: _Nodes, spec: HeadSpec, count: str) -> None:
    """Every pixel where eps is too large for float32 or not a number; shape (1, E)."""
    everything = n.constant("all_pixels", float(spec.height * spec.width))
    limit = n.constant("largest_eps", LARGEST_RADIUS)
    shape = n.constant("flips_shape", [1, spec.budgets], np.int64)
    usable = n.add("Less", [n.add("Abs", ["head/eps_column"], "eps_abs"), limit], "eps_usable")
    n.add("Reshape", [n.add("Where", [usable, count, everything], "flips_column"), shape], "flips")
