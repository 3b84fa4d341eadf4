"""Does an engine sum convolutions as the bound assumes? Asked of the engine itself.

Direct, im2col and blocked convolutions add up the products of stored weights and inputs, in some
order. Winograd and FFT forms add and subtract inputs that no such product holds, whose rounding
stays behind; TF32 and BF16 round every input. Both show where kernels have one tap other than 0
and some inputs are enormous: an output must not feel what its tap does not meet. Asked for every
form of convolution in the file, with the quantizers of its input and kernel: clips must be kept,
and sums of integers must not overflow. A test of the installed engine on this machine, not a proof
of its code.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from lipdeploy.core.errors import VerificationError
from lipdeploy.export.opset import IR_VERSION, OPSET
from lipdeploy.export.verifier.graph import Graph, attributes, label
from lipdeploy.export.verifier.operators import OPERATORS
from lipdeploy.export.verifier.rounding.arithmetic import FACTOR_ROUNDINGS, FLOAT32
from lipdeploy.export.verifier.rounding.losses import loss_of
from lipdeploy.export.verifier.rounding.tails import Tails
from lipdeploy.runtime.session import Run

_HUGE = 2.0**40  # beyond 2^24 times anything else: what leaks of it cannot hide
_BEYOND = 40000.0  # steps: beyond the 32767 of a clip
_SHARE = 0.1  # of the pixels
_SEED = 20


def check_summation(graph: Graph, engine: str, open_graph: Callable[[bytes, int], Run]) -> int:
    """Run every convolution of a graph alone; returns how many kinds there were.

    Raises:
        VerificationError: an output that no order of summation gives, named with its layer.
    """
    tails, seen = Tails(graph), set()
    convolutions = ("Conv", "ConvTranspose")
    for node in [each for each in tails.nodes("logits") if each.op_type in convolutions]:
        kind = _kind(tails, node)
        if kind in seen:
            continue
        seen.add(kind)
        excess = _excess(tails, node, open_graph)
        if not excess <= 1.0:
            raise VerificationError(
                f"{engine} computes {label(node)} with {excess:.3g} times the error that any order "
                "of summation can make (Winograd, TF32, a clip that is dropped or the like); level "
                "'bounded' is not for it"
            )
    return len(seen)


def _kind(tails: Tails, node: onnx.NodeProto) -> tuple[object, ...]:
    found = sorted(a.SerializeToString(deterministic=True) for a in node.attribute)
    graph = tails.graph
    chain = [before.op_type for before in _chain(tails, node)]
    return *chain, *(graph.shape(name) for name in node.input if name), *found


def _chain(tails: Tails, node: onnx.NodeProto) -> list[onnx.NodeProto]:
    """What an engine may fuse: quantizer, dequantizers of input and kernel, the node itself."""
    reader = tails.graph.producer.get(tails.file.moving(node)[0])
    quantizer = tails.clips.get(id(reader))
    before = [] if quantizer is None or reader is None else [quantizer.node, reader]
    kernel = tails.graph.producer.get(node.input[1])
    made = kernel is not None and kernel.op_type == "DequantizeLinear"
    return [*([kernel] if made and kernel is not None else []), *before, node]


def _excess(tails: Tails, node: onnx.NodeProto, open_graph: Callable[[bytes, int], Run]) -> float:
    """Largest error over its bound, over all outputs."""
    quantized = any(each.op_type == "QuantizeLinear" for each in _chain(tails, node))
    taps = (True, False) if quantized else (True,)
    return max(_excess_of(tails, node, one_tap, open_graph) for one_tap in taps)


def _excess_of(
    tails: Tails, node: onnx.NodeProto, one_tap: bool, open_graph: Callable[[bytes, int], Run]
) -> float:
    probe = _probe_graph(tails, node, one_tap)
    source = probe.model.graph.input[0].name
    alone = Tails(probe, source)
    x = _probe_input(alone, source, one_tap)
    run = open_graph(bytes(probe.model.SerializeToString()), 1)
    (found,) = run([node.output[0]], {source: x.astype(np.float32)})
    moving, clip = alone.file.moving(node)[0], next(iter(alone.clips.values()), None)
    read = x if clip is None else clip.clipped(x)
    inputs = [read if name == moving else alone.file.constants.get(name) for name in node.input]
    exact = OPERATORS[node.op_type](attributes(node), *inputs)[0]
    loss = loss_of(alone, node, FLOAT32)
    assert loss.absolute is not None
    size = loss.absolute(inputs)
    # a dequantized input is itself rounded; what float64 loses here is 2^-29 of the bound
    factor = loss.sum_factor + (2 * (FACTOR_ROUNDINGS + 1) * FLOAT32.unit if clip else 0.0)
    bound = (factor * size + loss.value_factor * np.abs(exact)) * (1 + 2.0**-20)
    error = np.abs(found.astype(np.float64) - exact)
    return float(np.nan_to_num(error / (bound + loss.tiny), nan=np.inf).max())


def _probe_input(alone: Tails, source: str, one_tap: bool) -> npt.NDArray[np.float64]:
    """Noise in float32, and pixels here and there that outweigh it in every channel.

    Where it is quantized, a step or two, and pixels beyond the clip; all of these and of one sign
    where every tap meets them.
    """
    shape, rng = alone.graph.shape(source), np.random.default_rng(_SEED)
    x = rng.uniform(-1, 1, shape).astype(np.float32).astype(np.float64)
    huge = rng.random(shape[-2:]) < _SHARE
    if not alone.clips:
        x[..., huge] *= _HUGE
        return x
    scale = next(iter(alone.clips.values())).steps.scale
    steps = np.rint(2 * x)
    beyond = _BEYOND * np.rint(1 + np.abs(x)) * (np.sign(x) if one_tap else 1.0)
    steps = np.where(huge | (not one_tap), beyond, steps)
    return np.asarray((steps * scale).astype(np.float32).astype(np.float64))


def _probe_kernel(
    node: onnx.NodeProto, shape: tuple[int, ...], one_tap: bool
) -> npt.NDArray[np.float32]:
    """Noise at one tap for each output channel, so that it must not feel any other position.

    Otherwise the largest at all of them: sums that narrow accumulators cannot hold.
    """
    if not one_tap:
        return np.ones(shape, np.float32)
    kernel = np.random.default_rng(_SEED + 1).uniform(0.5, 1, shape).astype(np.float32)
    taps = np.arange(shape[2] * shape[3]).reshape(shape[2:])
    outputs = np.arange(shape[0 if node.op_type == "Conv" else 1])
    chosen = taps == (outputs % taps.size)[:, None, None]
    placed = chosen[:, None] if node.op_type == "Conv" else chosen[None]
    return np.asarray(np.where(placed, kernel, 0), np.float32)


def _probe_graph(tails: Tails, node: onnx.NodeProto, one_tap: bool) -> Graph:
    """The node with its quantizers and nothing else, a kernel of its shape and its own bias."""
    graph, chain = tails.graph, _chain(tails, node)
    made = {name for each in chain for name in each.output}
    names = [name for each in chain for name in each.input if name and name not in made]
    folded = tails.file.constants
    constants: dict[str, Any] = {
        n: graph.constants.get(n, np.asarray(folded[n], np.float32)) for n in names if n in folded
    }
    kernel: npt.NDArray[Any] = _probe_kernel(node, graph.shape(node.input[1]), one_tap)
    stored = node.input[1]
    if stored in made:  # by the DequantizeLinear that comes first
        kernel, stored = np.rint(127 * kernel).astype(np.int8), chain[0].input[0]
    constants[stored] = kernel
    (source,) = dict.fromkeys(name for name in names if name not in constants)
    info = helper.make_tensor_value_info
    model = helper.make_graph(
        chain,
        "probe",
        [info(source, TensorProto.FLOAT, graph.shape(source))],
        [info(node.output[0], TensorProto.FLOAT, graph.shape(node.output[0]))],
        [numpy_helper.from_array(v, n) for n, v in constants.items()],
    )
    opsets = [helper.make_opsetid("", max(OPSET, graph.opset))]
    return Graph(helper.make_model(model, opset_imports=opsets, ir_version=IR_VERSION))
