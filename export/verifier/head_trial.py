"""The head run alone in an engine, on logits that no network gives: ties, zeros, huge values.

The head's nodes are checked one by one elsewhere; this finds an engine that computes them wrongly.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper

from lipdeploy.core.certificate import count_flips
from lipdeploy.core.errors import VerificationError
from lipdeploy.core.radius import margin_from_logits, radius_from_margin
from lipdeploy.export.head import HeadSpec, head_nodes
from lipdeploy.export.opset import IR_VERSION, OPSET
from lipdeploy.runtime.session import Run

Logits = npt.NDArray[np.float32]

_OUTPUTS = ("mask", "radius", "flips")


def head_model(spec: HeadSpec, opset: int = OPSET) -> bytes:
    """A model of the head alone: `logits` and `eps` to `mask`, `radius` and `flips`."""
    nodes, constants = head_nodes(spec)
    frame = [1, spec.height, spec.width]
    shapes = {
        "logits": (TensorProto.FLOAT, [1, spec.classes, spec.height, spec.width]),
        "eps": (TensorProto.FLOAT, [spec.budgets]),
        "mask": (TensorProto.UINT8, frame),
        "radius": (TensorProto.FLOAT, frame),
        "flips": (TensorProto.FLOAT, [1, spec.budgets]),
    }
    infos = {n: helper.make_tensor_value_info(n, *shape) for n, shape in shapes.items()}
    inputs, outputs = [infos["logits"], infos["eps"]], [infos[name] for name in _OUTPUTS]
    graph = helper.make_graph(nodes, "head", inputs, outputs, constants)
    opsets = [helper.make_opsetid("", opset)]
    model: onnx.ModelProto = helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION)
    return bytes(model.SerializeToString())


def trial_logits(spec: HeadSpec, seed: int = 0) -> dict[str, Logits]:
    """Logits by kind, each of shape (1, K, H, W)."""
    rng = np.random.default_rng(seed)
    shape = (1, spec.classes, spec.height, spec.width)
    normal = rng.standard_normal(shape).astype(np.float32)
    powers = np.exp2(rng.integers(-140, 127, shape)).astype(np.float32)
    return {
        "random": normal,
        "zeros": np.zeros(shape, np.float32),
        "ties": np.asarray(rng.integers(-1, 2, shape), np.float32),
        "near ties": np.float32(1) + normal * np.float32(2.0**-22),
        "huge and tiny": np.asarray(np.sign(normal) * powers, np.float32),
    }


def check_head_run(run: Run, spec: HeadSpec) -> int:
    """Compare an engine's head with float64; returns the number of kinds of logits tried.

    Raises:
        VerificationError: a mask, radius or count of flips that the logits do not carry.
    """
    kinds = trial_logits(spec)
    eps = np.asarray(np.geomspace(1e-3, 10.0, spec.budgets), np.float32)
    for kind, logits in kinds.items():
        mask, radius, flips = run(_OUTPUTS, {"logits": logits, "eps": eps})
        exact = radius_from_margin(margin_from_logits(logits[0]), spec.lipschitz, spec.slack)
        if not np.array_equal(mask[0], logits[0].argmax(0)):
            raise VerificationError(f"the head run alone gives another mask on {kind} logits")
        if not (radius[0] <= exact).all():
            raise VerificationError(f"the head run alone exceeds float64's radius on {kind} logits")
        if not (flips[0] >= count_flips(radius[0].astype(np.float64), eps.astype(float))).all():
            raise VerificationError(f"the head run alone counts too few flips on {kind} logits")
    return len(kinds)
