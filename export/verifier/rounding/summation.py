"""Does an engine sum convolutions as the bound assumes? Asked of the engine itself.

Direct, im2col and blocked convolutions add up the products of stored weights and inputs, in some
order. Winograd and FFT forms add and subtract inputs that no such product holds, whose rounding
stays behind; TF32 and BF16 round every input. Both show where kernels have one tap other than 0
and some inputs are enormous: an output must not feel what its tap does not meet. Asked for every
form of convolution in the file. A test of the installed engine on this machine, not a proof of
its code.
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
_SHARE = 0.1  # of the pixels
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
    probe = _probe_graph(tails.graph, node, moving)
    x = _probe_input(tails.graph.shape(moving))
    run = open_graph(bytes(probe.model.SerializeToString()), 1)
    (found,) = run([node.output[0]], {moving: x.astype(np.float32)})
    alone = Tails(probe, moving)
    inputs = [x if name == moving else alone.file.constants.get(name) for name in node.input]
    exact = OPERATORS[node.op_type](attributes(node), *inputs)[0]
    loss = loss_of(alone, node, FLOAT32)
    assert loss.absolute is not None
    size = loss.absolute(inputs)
    # what float64 itself loses here is 2^-29 of the bound
    bound = (loss.sum_factor * size + loss.value_factor * np.abs(exact)) * (1 + 2.0**-20)
    error = np.abs(found.astype(np.float64) - exact)
    return float(np.nan_to_num(error / (bound + loss.tiny), nan=np.inf).max())


def _probe_input(shape: tuple[int, ...]) -> npt.NDArray[np.float64]:
    """Noise in float32, and pixels here and there that outweigh it in every channel."""
    rng = np.random.default_rng(_SEED)
    x = rng.uniform(-1, 1, shape).astype(np.float32).astype(np.float64)
    x[..., rng.random(shape[-2:]) < _SHARE] *= _HUGE
    return x


def _probe_kernel(node: onnx.NodeProto, shape: tuple[int, ...]) -> npt.NDArray[np.float32]:
    """Noise at one tap for each output channel, so that it must not feel any other position."""
    rng = np.random.default_rng(_SEED + 1)
    kernel = rng.uniform(0.5, 1, shape).astype(np.float32)
    taps = np.arange(shape[2] * shape[3]).reshape(shape[2:])
    outputs = np.arange(shape[0 if node.op_type == "Conv" else 1])
    chosen = taps == (outputs % taps.size)[:, None, None]
    one_tap = chosen[:, None] if node.op_type == "Conv" else chosen[None]
    return np.asarray(np.where(one_tap, kernel, 0), np.float32)


def _probe_graph(graph: Graph, node: onnx.NodeProto, moving: str) -> Graph:
    """The node by itself, with a kernel of its shape and its own bias."""
    constants = {n: graph.constants.get(n) for n in node.input if n and n != moving}
    constants[node.input[1]] = _probe_kernel(node, graph.shape(node.input[1]))
    info = helper.make_tensor_value_info
    made = helper.make_graph(
        [node],
        "probe",
        [info(moving, TensorProto.FLOAT, graph.shape(moving))],
        [info(node.output[0], TensorProto.FLOAT, graph.shape(node.output[0]))],
        [numpy_helper.from_array(v, n) for n, v in constants.items() if v is not None],
    )
    opsets = [helper.make_opsetid("", OPSET)]
    return Graph(helper.make_model(made, opset_imports=opsets, ir_version=IR_VERSION))
