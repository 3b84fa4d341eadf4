"""One precision from one trunk: which transformations, with which ranges."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import onnx

from lipdeploy.calibration.activations import INT8, INT16, Grid, activation_tensors
from lipdeploy.calibration.activations import quantized_activations as with_quantizers
from lipdeploy.calibration.certified_ranges import RangeTrial, certified_limits
from lipdeploy.calibration.examples import Examples
from lipdeploy.calibration.half import half_trunk
from lipdeploy.calibration.histogram import Histogram, histograms
from lipdeploy.calibration.kernels import int8_weight_trunk, non_expansive, quantized_kernels
from lipdeploy.calibration.ranges import METHODS as HISTOGRAM_METHODS
from lipdeploy.calibration.ranges import entropy_limit, minmax_limit
from lipdeploy.core.errors import InputError
from lipdeploy.export.verifier.graph import Graph
from lipdeploy.export.verifier.lipschitz import graph_bound
from lipdeploy.export.verifier.rounding.level import PRECISIONS as BOUNDED_PRECISIONS

REDUCED = ("fp16", "int8-weights", "int8", "int16")
PRECISIONS = ("float32", *REDUCED)  # float32: the same function, D measured anew
METHODS = (*HISTOGRAM_METHODS, "certified")
GRIDS = {"int8": INT8, "int16": INT16}
# INT16 has steps to spare: what the range costs there is not worth a search.
DEFAULT_METHODS = {"int8": "certified", "int16": "minmax"}
# Engines that compute INT16 in float32 drop its clips (OpenVINO 2026.4 does): where frames reach a
# clip, they are off by what it cuts. Two of the 16 bits keep the clips out of reach.
HEADROOM = {"int16": 4.0}
RANGE_EXAMPLES, TRIAL_EXAMPLES = 64, 24


@dataclass(frozen=True)
class Plan:
    """What a trunk becomes.

    Attributes:
        precision: one of `PRECISIONS`.
        method: one of `METHODS`, for quantized activations; empty: the default of the precision.
        eps: budgets that `certified` maximises the certified accuracy for.
        level: `statistical`, or `bounded` where rounding is to be bounded and not measured.
    """

    precision: str
    method: str = ""
    eps: Sequence[float] = (0.1, 0.25)
    level: str = "statistical"

    def __post_init__(self) -> None:
        if self.precision not in PRECISIONS:
            raise InputError(
                f"precision is {self.precision!r}; expected one of {', '.join(PRECISIONS)}"
            )
        if self.level == "bounded" and self.precision not in BOUNDED_PRECISIONS:
            known = " or ".join(each for each in PRECISIONS if each in BOUNDED_PRECISIONS)
            raise InputError(f"level 'bounded' is of --precision {known}, got {self.precision!r}")
        if self.method not in ("", *METHODS):
            raise InputError(f"method is {self.method!r}; expected one of {', '.join(METHODS)}")

    @property
    def range_method(self) -> str:
        """How ranges are found; empty where there are none."""
        default = DEFAULT_METHODS.get(self.precision, "")
        return self.method or default if default else ""


@dataclass(frozen=True)
class Transformed:
    """A trunk in its new precision.

    Attributes:
        trunk: `image` to `logits`.
        limits: range of each quantized activation, by name of tensor.
    """

    trunk: onnx.ModelProto
    limits: dict[str, float] = field(default_factory=dict)


def transformed(trunk: onnx.ModelProto, plan: Plan, examples: Examples) -> Transformed:
    """Bring a float32 trunk to the precision of a plan.

    Raises:
        InputError: a weight that does not fit, or an example that cannot be read.
    """
    if plan.precision == "float32":
        return Transformed(trunk)
    if plan.precision == "fp16":
        return Transformed(half_trunk(trunk))
    kernels = non_expansive(trunk, quantized_kernels(trunk))
    quantized = int8_weight_trunk(trunk, kernels)
    if plan.precision == "int8-weights":
        return Transformed(quantized)
    grid = GRIDS[plan.precision]
    limits = _limits(quantized, plan, grid, examples)
    return Transformed(with_quantizers(quantized, limits, grid), limits)


def _limits(trunk: onnx.ModelProto, plan: Plan, grid: Grid, examples: Examples) -> dict[str, float]:
    frames = list(examples.spread(RANGE_EXAMPLES).images())
    found = histograms(trunk, activation_tensors(trunk), frames)
    if plan.range_method == "certified":
        return _certified(trunk, plan, grid, examples, found)
    method, room = HISTOGRAM_METHODS[plan.range_method], _room(plan)
    return {name: room * method(each) for name, each in found.items()}


def _room(plan: Plan) -> float:
    """Level `bounded` is of engines that keep their clips, and half of every step is part of D."""
    return 1.0 if plan.level == "bounded" else HEADROOM.get(plan.precision, 1.0)


def _certified(
    trunk: onnx.ModelProto,
    plan: Plan,
    grid: Grid,
    examples: Examples,
    found: Mapping[str, Histogram],
) -> dict[str, float]:
    room = _room(plan)
    maxima = {name: room * minmax_limit(each) for name, each in found.items()}
    informative = {name: entropy_limit(each) for name, each in found.items()}
    bound = graph_bound(Graph(trunk)).lipschitz
    chosen = list(examples.spread(TRIAL_EXAMPLES))
    trial = RangeTrial(trunk, grid, bound, chosen, plan.eps)
    return certified_limits(trial.score, maxima, [informative])
