"""Small random graphs for the Lipschitz rules: one function an operator, in ONNX's own terms."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper, shape_inference

from lipdeploy.export.verifier.graph import Graph
from lipdeploy.export.verifier.lipschitz import graph_bound
from lipdeploy.export.verifier.replay import Replay

Rng = np.random.Generator
OPSET = 19


@dataclass
class Toy:
    """A graph under construction from a float image of shape (1, C, H, W)."""

    shape: tuple[int, ...]
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    constants: dict[str, np.ndarray] = field(default_factory=dict)

    def constant(self, value: Any, kind: Any = np.float32) -> str:
        name = f"c{len(self.constants)}"
        self.constants[name] = np.asarray(value, kind)
        return name

    def node(self, op: str, *inputs: str, outputs: Any = 1, **found: Any) -> Any:
        names = [f"t{len(self.nodes)}_{i}" for i in range(outputs)]
        self.nodes.append(
            helper.make_node(op, list(inputs), names, name=f"{op}_{len(self.nodes)}", **found)
        )
        return names[0] if outputs == 1 else names

    def shape_of(self, tensor: str) -> tuple[int, ...]:
        if tensor == "image":
            return self.shape
        info = self.model(tensor).graph.output[0]
        return tuple(d.dim_value for d in info.type.tensor_type.shape.dim)

    def model(self, output: str) -> onnx.ModelProto:
        graph = helper.make_graph(
            self.nodes,
            "toy",
            [helper.make_tensor_value_info("image", TensorProto.FLOAT, self.shape)],
            [helper.make_tensor_value_info(output, TensorProto.FLOAT, None)],
            [numpy_helper.from_array(v, k) for k, v in self.constants.items()],
        )
        opsets = [helper.make_opsetid("", OPSET)]
        model = helper.make_model(graph, opset_imports=opsets, ir_version=9)
        inferred = shape_inference.infer_shapes(model, strict_mode=True, data_prop=True)
        model.graph.output[0].CopyFrom(inferred.graph.output[0])
        return model


def run_onnxruntime(model: onnx.ModelProto, images: np.ndarray) -> np.ndarray:
    """Outputs for many images, each in a run of its own. Shape: (images, elements)."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    rows = [session.run(None, {"image": x})[0].ravel() for x in images.astype(np.float32)]
    return np.stack(rows).astype(np.float64)


def exact_norm(model: onnx.ModelProto, shape: tuple[int, ...]) -> float:
    """Largest singular value of a linear graph's matrix, by unit vectors through ONNX Runtime."""
    size = int(np.prod(shape))
    images = np.concatenate([np.zeros((1, size)), np.eye(size)]).reshape(-1, *shape)
    values = run_onnxruntime(model, images)
    return float(np.linalg.norm(values[1:] - values[0], 2))


def local_norm(replay: Replay, shape: tuple[int, ...], rng: Rng, points: int = 3) -> float:
    """Largest singular value of Jacobians at random points, by differences in float64."""
    size, step, largest = int(np.prod(shape)), 1e-6, 0.0
    for _ in range(points):
        base = rng.standard_normal((1, size)) * 2
        values = np.stack(
            [replay.run(x.reshape(shape)).ravel() for x in (base + step * np.eye(size))]
        )
        here = replay.run(base.reshape(shape)).ravel()
        largest = max(largest, float(np.linalg.norm((values - here) / step, 2)))
    return largest


def bound_of(model: onnx.ModelProto, output: str) -> float:
    return graph_bound(Graph(model), "image", output).lipschitz
