"""Does an engine sum convolutions as the bound assumes? Asked of the engine itself.

Direct, im2col and blocked convolutions add up the products of stored weights and inputs, in some
order. Winograd and FFT forms mix in inputs from outside the window, whose rounding stays behind;
TF32 and BF16 round every input. Both show on one frame: noise with a single enormous value. An
output whose window does not hold that value must not feel it, and every output must be within the
bound of its own window. A test of the installed engine on this machine, not a proof of its code.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from lipdeploy.core.errors import VerificationError
from lipdeploy.export.opset import IR_VERSION, OPSET
from lipdeploy.export.verifier.graph import Graph, attributes, label
from lipdeploy.export.verifier.operators import OPERATORS
from lipdeploy.export.verifier.rounding.arithmetic import FLOAT32
from lipdeploy.export.verifier.rounding.losses import loss_of
from lipdeploy.export.verifier.rounding.tails import Tails
from lipdeploy.runtime.session import Run

_HUGE = 2.0**40  # beyond 2^24 times anything else: what leaks of it cannot hide
_SEED = 20


def check_summation(graph: Graph, engine: str, open_graph: Callable[[bytes, int], Run]) -> int:
    """Run every convolution of a graph alone; returns how many kinds there were.

    Raises:
        VerificationError: an output that no order of summation gives, named with its layer.
    """
    tails, seen = Tails(graph), set()
    for node in tails.nodes("logits"):
        kind = _kind(graph, node)
        if node.op_type not in ("Conv", "ConvTranspose") or kind in seen:
            continue
        seen.add(kind)
        excess = _excess(tails, node, open_graph)
        if not excess <= 1.0:
            raise VerificationError(
                f"{engine} computes {label(node)} with {excess:.3g} times the error that any order "
                "of summation can make (Winograd, TF32 or the like); level 'bounded' is not for it"
            )
    return len(seen)


def _kind(graph: Graph, node: onnx.NodeProto) -> tuple[object, ...]:
    found = sorted(a.SerializeToString(deterministic=True) for a in node.attribute)
    return node.op_type, *(graph.shape(name) for name in node.input if name), *found


def _excess(tails: Tails, node: onnx.NodeProto, open_graph: Callable[[bytes, int], Run]) -> float:
    """Largest error over its bound, over all outputs."""
    moving = tails.file.moving(node)[0]
    x = _probe(tails.graph.shape(moving))
    run = open_graph(_alone(tails.graph, node, moving), 1)
    (found,) = run([node.output[0]], {moving: x.astype(np.float32)})
    inputs = [x if name == moving else tails.file.constants.get(name) for name in node.input]
    exact = OPERATORS[node.op_type](attributes(node), *inputs)[0]
    loss = loss_of(tails, node, FLOAT32)
    assert loss.absolute is not None
    size = loss.absolute(inputs)
    # what float64 itself loses here is 2^-29 of the bound
    bound = (loss.sum_factor * size + loss.value_factor * np.abs(exact)) * (1 + 2.0**-20)
    error = np.abs(found.astype(np.float64) - exact)
    return float(np.nan_to_num(error / (bound + loss.tiny), nan=np.inf).max())


def _probe(shape: tuple[int, ...]) -> npt.NDArray[np.float64]:
    """Noise in float32, and one pixel that outweighs it in every channel."""
    rng = np.random.default_rng(_SEED)
    x = rng.uniform(-1, 1, shape).astype(np.float32).astype(np.float64)
    x[..., shape[-2] // 2, shape[-1] // 2] *= _HUGE
    return x


def _alone(graph: Graph, node: onnx.NodeProto, moving: str) -> bytes:
    """The node by itself, with its own weights."""
    copy = onnx.NodeProto()
    copy.CopyFrom(node)
    constants = [
        numpy_helper.from_array(graph.constants[name], name)
        for name in node.input
        if name in graph.constants
    ]
    info = helper.make_tensor_value_info
    made = helper.make_graph(
        [copy],
        "probe",
        [info(moving, TensorProto.FLOAT, graph.shape(moving))],
        [info(node.output[0], TensorProto.FLOAT, graph.shape(node.output[0]))],
        constants,
    )
    opsets = [helper.make_opsetid("", OPSET)]
    model = helper.make_model(made, opset_imports=opsets, ir_version=IR_VERSION)
    return bytes(model.SerializeToString())
