"""Small graphs for the bound on rounding, and their execution in float32 by any order of sums."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from lipdeploy.export.verifier.graph import Graph, attributes
from lipdeploy.export.verifier.operators import OPERATORS

Rng = np.random.Generator
Array = npt.NDArray[Any]


def local_graph(seed: int, side: int = 8, residual: bool = False) -> Graph:
    """Stride 2, MaxMin, dilation, a pixel shuffle: uint8 (1, side, side, 3) to 2 classes."""
    rng = np.random.default_rng(seed)
    node = helper.make_node
    kernels = {
        "k0": rng.normal(0, 0.2, (8, 3, 3, 3)) / 255,
        "k1": rng.normal(0, 0.2, (4, 4, 3, 3)),
        "k2": rng.normal(0, 0.3, (8, 8, 1, 1)),
        "b0": rng.normal(0, 0.1, 8),
        "b1": rng.normal(0, 0.1, 4),
        "grey": np.full((1, 3, 1, 1), 127.5),
    }
    nodes = [
        node("Cast", ["image"], ["float"], to=TensorProto.FLOAT),
        node("Transpose", ["float"], ["planes"], perm=[0, 3, 1, 2]),
        node("Sub", ["planes", "grey"], ["centred"]),
        node("Conv", ["centred", "k0", "b0"], ["c0"], pads=[1, 1, 1, 1], strides=[2, 2]),
        node("Split", ["c0"], ["a", "b"], axis=1, num_outputs=2),
        node("Max", ["a", "b"], ["high"]),
        node("Min", ["a", "b"], ["low"]),
        node("Conv", ["low", "k1", "b1"], ["c1"], pads=[2, 2, 2, 2], dilations=[2, 2]),
        node("Add", ["c1", "low"], ["r"]) if residual else node("Relu", ["c1"], ["r"]),
        node("Concat", ["high", "r"], ["joined"], axis=1),
        node("Conv", ["joined", "k2"], ["c2"]),
        node("DepthToSpace", ["c2"], ["logits"], blocksize=2, mode="CRD"),
    ]
    return graph_of(nodes, kernels, [1, side, side, 3], [1, 2, side, side], TensorProto.UINT8)


def graph_of(
    nodes: list[onnx.NodeProto],
    constants: dict[str, Array],
    shape: list[int],
    output: list[int],
    kind: int = TensorProto.FLOAT,
    opset: int = 18,
) -> Graph:
    """A graph from `image` to `logits`; floats are stored in float32."""
    stored = {n: a.astype(np.float32) if a.dtype.kind == "f" else a for n, a in constants.items()}
    made = helper.make_graph(
        nodes,
        "local",
        [helper.make_tensor_value_info("image", kind, shape)],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [d or None for d in output])],
        [numpy_helper.from_array(a, n) for n, a in stored.items()],
    )
    opsets = [helper.make_opsetid("", opset)]
    return Graph(helper.make_model(made, opset_imports=opsets, ir_version=10))


def int16_graph(seed: int, side: int = 8, residual: bool = False) -> Graph:
    """`local_graph` with INT16 inputs of its convolutions, some of them clipped, INT8 kernels."""
    plain = local_graph(seed, side, residual)
    constants, nodes = dict(plain.constants), []
    limits = {"centred": 0.5 * 32767, "low": 0.3, "joined": 0.4}
    zero = {"zero16": np.zeros((), np.int16)}
    for node in plain.nodes:
        if node.op_type == "Conv":
            name, kernel = node.input[0], constants.pop(node.input[1])
            scale = (np.abs(kernel).max((1, 2, 3)) / 127).astype(np.float32)
            stored = node.input[1]
            constants[f"{stored}_8"] = np.rint(kernel / scale[:, None, None, None]).astype(np.int8)
            constants |= {f"{stored}_s": scale, f"{stored}_z": np.zeros(len(scale), np.int8)}
            constants |= zero | {f"{name}_s": np.array(limits[name] / 32767, np.float32)}
            steps, parts = [f"{name}_s", "zero16"], [f"{stored}_{part}" for part in "8sz"]
            nodes += [
                helper.make_node("QuantizeLinear", [name, *steps], [f"{name}_16"]),
                helper.make_node("DequantizeLinear", [f"{name}_16", *steps], [f"{name}_c"]),
                helper.make_node("DequantizeLinear", parts, [stored], axis=0),
            ]
            node.input[0] = f"{name}_c"
        nodes.append(node)
    shape = [1, side, side, 3]
    return graph_of(nodes, constants, shape, [1, 2, side, side], TensorProto.UINT8, opset=21)


Round = Callable[[Array, Array], Array]
"""Values and scale in float32 to integers, before they saturate."""

ROUNDS: dict[str, Round] = {
    "divide, even": lambda x, s: np.rint(x / s),
    "multiply, even": lambda x, s: np.rint(x * (np.float32(1) / s)),
    "divide, up": lambda x, s: np.floor((x / s).astype(np.float64) + 0.5),
    "divide, down": lambda x, s: np.ceil((x / s).astype(np.float64) - 0.5),
}


def executed(
    graph: Graph,
    image: Array,
    add_up: Callable[[str, Array, Array], Array],
    rounds: Round = ROUNDS["divide, even"],
) -> Array:
    """The logits in float32, every convolution summed by `add_up`.

    `add_up` gets the node's output name, products (O, H, W, terms) in float64 (exact: two float32)
    and the bias (O,), and returns float32 (O, H, W).
    """
    values: dict[str, Array] = dict(graph.constants) | {"image": image[None]}
    for node in graph.nodes:
        inputs = [values[name] for name in node.input]
        outputs: list[Array]
        if node.op_type == "QuantizeLinear":
            outputs = [np.clip(rounds(inputs[0], inputs[1]), -32768, 32767).astype(np.int16)]
        elif node.op_type == "DequantizeLinear":
            outputs = [inputs[0].astype(np.float32) * _along_first(inputs[1])]
        elif node.op_type == "Conv":
            bias = inputs[2] if len(inputs) > 2 else np.zeros(len(inputs[1]), np.float32)
            outputs = [add_up(node.output[0], products(node, *inputs[:2]), bias)[None]]
        elif node.op_type == "Cast":
            outputs = [inputs[0].astype(np.float32)]
        else:
            found = OPERATORS[node.op_type](attributes(node), *inputs)
            outputs = [np.asarray(v, np.float32) for v in found]
        values.update(zip(node.output, outputs, strict=True))
    return np.asarray(values["logits"][0])


def in_integers(graph: Graph, image: Array, rounds: Round) -> Array:
    """The logits where convolutions add up integers and scale the sum in float32."""
    stored = {k: v for k, v in graph.constants.items() if v.dtype == np.int8 and v.ndim == 4}
    inputs = {node.output[0]: node.input[0] for node in graph.nodes if node.op_type == "Conv"}

    def add_up(name: str, terms: Array, bias: Array) -> Array:
        node = graph.producer[name]
        scale = graph.constants[f"{inputs[name].removesuffix('_c')}_s"]
        factor = scale * graph.constants[f"{node.input[1]}_s"]
        # the products hold both scales, each rounded once: divided out, they are integers again
        exact = scale.astype(np.float64) * graph.constants[f"{node.input[1]}_s"].astype(np.float64)
        whole = np.rint(terms / exact[:, None, None, None])
        assert f"{node.input[1]}_8" in stored
        total = whole.sum(-1).astype(np.float32)
        return np.asarray(total * factor[:, None, None] + bias[:, None, None], np.float32)

    return executed(graph, image, add_up, rounds)


def _along_first(scale: Array) -> Array:
    return scale.reshape(-1, 1, 1, 1) if scale.ndim else scale


def replayed(
    graph: Graph,
    image: Array,
    moved: Mapping[str, Array] | None = None,
    add_up: Callable[[str, Array, Array], Array] | None = None,
    pushed: Mapping[str, Array] | None = None,
) -> dict[str, Array]:
    """All tensors in float64; some put in place of what the graph computes, or sums by `add_up`.

    Quantized values are clipped, and not rounded but `pushed` half a step in some direction.
    """
    values: dict[str, Array] = {k: v.astype(np.float64) for k, v in graph.constants.items()}
    values["image"] = image[None].astype(np.float64)
    for node in graph.nodes:
        inputs = [values[name] for name in node.input]
        if node.op_type == "QuantizeLinear":
            step = inputs[1]
            half = 0.5 * step * np.sign((pushed or {}).get(node.output[0], 0.0))
            outputs = [np.clip(inputs[0], -32768 * step, 32767 * step) + half]
        elif node.op_type == "DequantizeLinear":
            is_kernel = node.input[0] in graph.constants
            outputs = [inputs[0] * _along_first(inputs[1]) if is_kernel else inputs[0]]
        elif node.op_type == "Conv" and add_up is not None:
            bias = inputs[2] if len(inputs) > 2 else np.zeros(len(inputs[1]))
            outputs = [add_up(node.output[0], products(node, *inputs[:2]), bias)[None]]
        else:
            outputs = OPERATORS[node.op_type](attributes(node), *inputs)
        values.update(zip(node.output, outputs, strict=True))
        values.update({k: v for k, v in (moved or {}).items() if k in node.output})
    return values


def products(node: onnx.NodeProto, x: Array, kernel: Array) -> Array:
    """Every product of a convolution, exact in float64. Shape: (O, H, W, terms)."""
    found = attributes(node)
    pads, (dy, dx) = found.get("pads", [0] * 4), found.get("dilations", [1, 1])
    (sy, sx), (kh, kw) = found.get("strides", [1, 1]), kernel.shape[2:]
    padded = np.pad(x[0].astype(np.float64), ((0, 0), (pads[0], pads[2]), (pads[1], pads[3])))
    rows = range(0, padded.shape[1] - (kh - 1) * dy, sy)
    columns = range(0, padded.shape[2] - (kw - 1) * dx, sx)
    made = np.zeros((len(kernel), len(rows), len(columns), kernel[0].size))
    for (i, r), (j, c) in itertools.product(enumerate(rows), enumerate(columns)):
        window = padded[:, r : r + (kh - 1) * dy + 1 : dy, c : c + (kw - 1) * dx + 1 : dx]
        made[:, i, j] = (kernel.astype(np.float64) * window).reshape(len(kernel), -1)
    return made


def chain(rng: Rng, fused: bool) -> Callable[[str, Array, Array], Array]:
    """One accumulator, a random order, the bias anywhere in it."""

    def add_up(_: str, terms: Array, bias: Array) -> Array:
        terms = _with_bias(terms, bias)[..., rng.permutation(terms.shape[-1] + 1)]
        total = np.zeros(terms.shape[:-1], np.float32)
        for k in range(terms.shape[-1]):
            term = terms[..., k] if fused else terms[..., k].astype(np.float32)
            # float64 holds the product exactly; its sum with a float32 rounds twice, as x87 does
            total = (total.astype(np.float64) + term).astype(np.float32)
        return total

    return add_up


def tree(rng: Rng) -> Callable[[str, Array, Array], Array]:
    """Pairs, pairs of pairs and so on, in a random order."""

    def add_up(_: str, terms: Array, bias: Array) -> Array:
        found = _with_bias(terms, bias).astype(np.float32)
        parts = list(np.moveaxis(found[..., rng.permutation(found.shape[-1])], -1, 0))
        while len(parts) > 1:
            pairs = zip(parts[::2], parts[1::2], strict=False)
            parts = [a + b for a, b in pairs] + ([parts[-1]] if len(parts) % 2 else [])
        return np.asarray(parts[0], np.float32)

    return add_up


def _with_bias(terms: Array, bias: Array) -> Array:
    last = np.broadcast_to(bias[:, None, None, None].astype(np.float64), (*terms.shape[:-1], 1))
    return np.concatenate([terms, last], -1)


def adversary(directions: dict[str, Array], unit: float) -> Callable[[str, Array, Array], Array]:
    """Every addition errs by `unit` of its result, in the worst direction and a bad order.

    Positive terms from the largest, then negative ones: the partial sums are large throughout.
    Within the model of IEEE arithmetic to nearest, which may be this unlucky.
    """

    def add_up(name: str, terms: Array, bias: Array) -> Array:
        found = -np.sort(-_with_bias(terms, bias), axis=-1)
        partial = np.abs(np.cumsum(found, -1))[..., 1:].sum(-1)
        lost = unit * (partial + np.abs(found).sum(-1))
        return np.asarray(found.sum(-1) + np.sign(directions[name]) * lost)

    return add_up
