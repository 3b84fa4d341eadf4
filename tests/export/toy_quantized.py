"""Small files of every precision, and random quantized graphs beside the same function in torch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor

from lipdeploy.core.manifest import Manifest, Numerics
from lipdeploy.export.artefact import Description, assembled, hashed
from lipdeploy.export.verifier.graph import Graph
from lipdeploy.export.verifier.lipschitz import graph_bound
from tests.export.toy_graphs import Toy

SIDE = 8
SLACK = {"float32": 1e-4, "int8-weights": 1e-4, "fp16": 0.02, "int8": 0.05, "int16": 0.01}
KIND: dict[str, type[np.signedinteger[Any]]] = {"int8": np.int8, "int16": np.int16}
EVIDENCE = {
    "frames": 1000,
    "attacked_frames": 125,
    "rounding_attacked_frames": 24,
    "largest_error": 1e-6,
    "sigma": 1e-7,
}
Array = np.ndarray


def per_channel(kernel: Array) -> tuple[Array, Array]:
    """Symmetric weights and one scale for each output channel.

    On 7 bits: without VNNI, ONNX Runtime adds two products of 8 bits in a register of 16, which
    saturates (seen: an error of 0.24 in place of 0.01).
    """
    scale = (np.abs(kernel).max((1, 2, 3)) / 63).astype(np.float32)
    return np.rint(kernel / scale[:, None, None, None]).astype(np.int8), scale


@dataclass
class Trunk:
    """A trunk under construction in a precision."""

    precision: str
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    constants: dict[str, Array] = field(default_factory=dict)

    def add(self, op: str, inputs: list[str], *outputs: str, **found: Any) -> str:
        self.nodes.append(helper.make_node(op, inputs, list(outputs), name=outputs[0], **found))
        return outputs[0]

    def quantized(self, tensor: str, largest: float) -> str:
        """A tensor on 8 or 16 bits, up to its largest value; as it is at other precisions."""
        if self.precision not in KIND:
            return tensor
        kind = KIND[self.precision]
        self.constants[f"{tensor}/scale"] = np.array(largest / np.iinfo(kind).max, np.float32)
        self.constants[f"{tensor}/zero"] = np.zeros((), kind)
        steps = [f"{tensor}/scale", f"{tensor}/zero"]
        self.add("QuantizeLinear", [tensor, *steps], f"{tensor}/integers")
        return self.add("DequantizeLinear", [f"{tensor}/integers", *steps], f"{tensor}/clipped")

    def conv(self, tensor: str, name: str, kernel: Array, output: str, **found: Any) -> str:
        if self.precision in ("float32", "fp16"):
            kind = np.float16 if self.precision == "fp16" else np.float32
            self.constants[name] = kernel.astype(kind)
        else:
            self.constants[f"{name}/stored"], scale = per_channel(kernel)
            self.constants[f"{name}/scale"] = scale
            self.constants[f"{name}/zero"] = np.zeros(len(scale), np.int8)
            inputs = [f"{name}/{part}" for part in ("stored", "scale", "zero")]
            self.add("DequantizeLinear", inputs, name, axis=0)
        return self.add("Conv", [tensor, name], output, **found)

    def model(self, logits: str = "logits") -> onnx.ModelProto:
        graph = helper.make_graph(
            self.nodes,
            "toy",
            [helper.make_tensor_value_info("image", TensorProto.UINT8, [1, SIDE, SIDE, 3])],
            [helper.make_tensor_value_info(logits, TensorProto.FLOAT, [1, 2, SIDE, SIDE])],
            [numpy_helper.from_array(np.asarray(v), k) for k, v in self.constants.items()],
        )
        opsets = [helper.make_opsetid("", 21 if self.precision == "int16" else 18)]
        return helper.make_model(graph, opset_imports=opsets, ir_version=10)


def kernels(seed: int = 3) -> tuple[Array, Array]:
    """A 3x3 convolution of planes of bytes to 4 channels, and a pointwise one to 2 classes."""
    rng = np.random.default_rng(seed)
    first = rng.standard_normal((4, 3, 3, 3)) / 6 / 255
    last = np.linalg.qr(rng.standard_normal((4, 4)))[0][:2, :, None, None]
    return first, last


def toy_trunk(precision: str) -> Trunk:
    """Bytes, a 3x3 convolution, MaxMin, a pointwise convolution to `logits`."""
    trunk, (first, last) = Trunk(precision), kernels()
    half = precision == "fp16"
    trunk.add("Cast", ["image"], "bytes", to=TensorProto.FLOAT16 if half else TensorProto.FLOAT)
    trunk.add("Transpose", ["bytes"], "planes", perm=[0, 3, 1, 2])
    trunk.constants["zero"] = np.full((1, 3, 1, 1), 127.5, np.float16 if half else np.float32)
    x = trunk.quantized(trunk.add("Sub", ["planes", "zero"], "centred"), 127.5)
    x = trunk.quantized(trunk.conv(x, "first", first, "features", pads=[1, 1, 1, 1]), 0.9)
    trunk.add("Split", [x], "a", "b", axis=1, num_outputs=2)
    trunk.add("Concat", [trunk.add("Max", ["a", "b"], "high"), "low"], "sorted", axis=1)
    trunk.nodes.insert(-1, helper.make_node("Min", ["a", "b"], ["low"], name="low"))
    x = trunk.quantized("sorted", 0.9)
    if half:
        trunk.add("Cast", [trunk.conv(x, "last", last, "half")], "logits", to=TensorProto.FLOAT)
    else:
        trunk.conv(x, "last", last, "logits")
    return trunk


def file_of(trunk: onnx.ModelProto, lipschitz: float, numerics: Numerics) -> onnx.ModelProto:
    """A lipdeploy file: the trunk, the head for what is claimed of it, and metadata that fits."""
    draft = _manifest(lipschitz, numerics, "")
    named = _manifest(lipschitz, numerics, hashed(assembled(trunk, draft, Description())))
    return assembled(trunk, named, Description())


def honest_numerics(precision: str) -> Numerics:
    """Level `statistical` with evidence that carries it."""
    return Numerics(precision, SLACK[precision], "statistical", EVIDENCE)


def honest_file(precision: str) -> onnx.ModelProto:
    """A file of one precision that `verify` passes."""
    trunk = toy_trunk(precision).model()
    return file_of(trunk, graph_bound(Graph(trunk)).lipschitz, honest_numerics(precision))


def _manifest(lipschitz: float, numerics: Numerics, weights_sha256: str) -> Manifest:
    return Manifest(
        class_names=("left", "right"),
        height=SIDE,
        width=SIDE,
        head="threshold",
        budgets=1,
        lipschitz=lipschitz,
        layers=(),
        preprocessing_lipschitz=1.0,
        numerics=numerics,
        weights_sha256=weights_sha256,
    )


@dataclass
class Twin:
    """An ONNX graph and the function that it stands for, written in torch without reading it."""

    toy: Toy
    tensor: str = "image"
    steps: list[Callable[[Tensor], Tensor]] = field(default_factory=list)

    def __call__(self, image: Tensor) -> Tensor:
        for step in self.steps:
            image = step(image)
        return image

    @property
    def channels(self) -> int:
        return self.toy.shape_of(self.tensor)[1]

    def then(self, tensor: str, step: Callable[[Tensor], Tensor]) -> None:
        self.tensor = tensor
        self.steps.append(step)

    def quantizer(self, rng: np.random.Generator) -> None:
        """Of any kind that is one clip: 8 bits with or without sign, per tensor or per channel."""
        kind = [np.int8, np.uint8][int(rng.integers(2))]
        shape = () if rng.random() < 0.6 else (self.channels,)
        scale = rng.uniform(0.004, 0.02, shape).astype(np.float32)
        zero = np.asarray(rng.integers(np.iinfo(kind).min, np.iinfo(kind).max + 1, shape), kind)
        names = [self.toy.constant(scale), self.toy.constant(zero, kind)]
        q = self.toy.node("QuantizeLinear", self.tensor, *names, axis=-3)
        x = self.toy.node("DequantizeLinear", q, *names, axis=1)
        wide = (-1, 1, 1) if shape else ()
        low, high = (
            torch.tensor((float(end) - zero.astype(float)) * scale.astype(float)).reshape(wide)
            for end in (np.iinfo(kind).min, np.iinfo(kind).max)
        )
        self.then(x, lambda t: torch.minimum(torch.maximum(t, low), high))

    def quantized_conv(self, rng: np.random.Generator) -> None:
        stored, scale = per_channel(rng.standard_normal((3, self.channels, 3, 3)))
        names = [self.toy.constant(stored, np.int8), self.toy.constant(scale)]
        zero = self.toy.constant(np.zeros(3), np.int8)
        kernel = self.toy.node("DequantizeLinear", *names, zero, axis=0)
        exact = torch.tensor(stored.astype(float) * scale.astype(float)[:, None, None, None])
        x = self.toy.node("Conv", self.tensor, kernel, pads=[1, 1, 1, 1])
        self.then(x, lambda t: torch.nn.functional.conv2d(t, exact, padding=1))

    def half_conv(self, rng: np.random.Generator) -> None:
        stored = rng.standard_normal((2, self.channels, 2, 2)).astype(np.float16)
        x = self.toy.node("Cast", self.tensor, to=TensorProto.FLOAT16)
        x = self.toy.node("Conv", x, self.toy.constant(stored, np.float16))
        x = self.toy.node("Cast", x, to=TensorProto.FLOAT)
        exact = torch.tensor(stored.astype(float))
        self.then(x, lambda t: torch.nn.functional.conv2d(t, exact))

    def quantized_branch(self, rng: np.random.Generator) -> None:
        """x plus its own clipped values, read through two DequantizeLinear nodes."""
        names = [self.toy.constant(0.01), self.toy.constant(0, np.int8)]
        q = self.toy.node("QuantizeLinear", self.tensor, *names)
        a, b = (self.toy.node("DequantizeLinear", q, *names) for _ in range(2))
        x = self.toy.node("Add", self.tensor, self.toy.node("Add", a, b))
        self.then(x, lambda t: t + 2 * t.clamp(-128 * f32(0.01), 127 * f32(0.01)))

    def sorted_halves(self, rng: np.random.Generator) -> None:
        """Max and Min of a tensor and of its mirror image along the columns."""
        places = [self.toy.constant([v], np.int64) for v in (-1, -(2**31), 3, -1)]
        other = self.toy.node("Slice", self.tensor, *places)
        parts = [self.toy.node(op, self.tensor, other) for op in ("Max", "Min")]
        x = self.toy.node("Concat", *parts, axis=1)
        self.then(
            x,
            lambda t: torch.cat([torch.maximum(t, t.flip(3)), torch.minimum(t, t.flip(3))], 1),
        )


def f32(value: float) -> float:
    """A number as it is stored in float32."""
    return float(np.float32(value))


def random_twin(rng: np.random.Generator, steps: int) -> Twin:
    """A chain of quantizers, convolutions and sorts on a frame of 4x4."""
    twin = Twin(Toy((1, 2, 4, 4)))
    kinds = (twin.quantizer, twin.quantized_conv, twin.half_conv, twin.quantized_branch)
    for _ in range(steps):
        step = (*kinds, twin.sorted_halves)[int(rng.integers(5))]
        small = min(twin.toy.shape_of(twin.tensor)[2:]) < 3
        (twin.quantizer if small or twin.channels > 6 else step)(rng)
    return twin


def dense_norm(twin: Twin, rng: np.random.Generator, points: int = 3) -> float:
    """Largest singular value of the exact Jacobian in float64 at random images."""
    size, largest = int(np.prod(twin.toy.shape)), 0.0
    for width in rng.uniform(0.05, 1.0, points):
        image = torch.tensor(rng.standard_normal(twin.toy.shape) * width)
        found = torch.autograd.functional.jacobian(twin, image).reshape(-1, size)
        largest = max(largest, float(torch.linalg.matrix_norm(found, 2)))
    return largest
