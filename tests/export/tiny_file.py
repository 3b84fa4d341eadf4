"""The smallest honest lipdeploy file: one 1x1 convolution, a head, and metadata that fits."""

import math

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from lipdeploy.core.manifest import Manifest, Numerics
from lipdeploy.export.artefact import Description, assembled, hashed
from lipdeploy.export.opset import IR_VERSION, OPSET
from lipdeploy.export.verifier.graph import Graph
from lipdeploy.export.verifier.lipschitz import graph_bound

SIDE = 8
SLACK = 1e-4


def tiny_file(head: str = "threshold") -> onnx.ModelProto:
    """A model of level `statistical` that `verify` passes; two classes, 8x8 pixels."""
    trunk = _trunk()
    draft = _manifest(head, graph_bound(Graph(trunk)).lipschitz, "")
    named = _manifest(head, draft.lipschitz, hashed(assembled(trunk, draft, Description())))
    return assembled(trunk, named, Description())


def _trunk() -> onnx.ModelProto:
    angle = 0.6
    kernel = np.array([[math.cos(angle), math.sin(angle), 0], [-math.sin(angle), 0, 0.5]])
    constants = {"zero": np.full((1, 3, 1, 1), 127.5), "kernel": kernel[:, :, None, None] / 255}
    graph = helper.make_graph(
        [
            helper.make_node("Cast", ["image"], ["bytes"], to=TensorProto.FLOAT),
            helper.make_node("Transpose", ["bytes"], ["planes"], perm=[0, 3, 1, 2]),
            helper.make_node("Sub", ["planes", "zero"], ["centred"]),
            helper.make_node("Conv", ["centred", "kernel"], ["logits"]),
        ],
        "tiny",
        [helper.make_tensor_value_info("image", TensorProto.UINT8, [1, SIDE, SIDE, 3])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [1, 2, SIDE, SIDE])],
        [numpy_helper.from_array(a.astype(np.float32), n) for n, a in constants.items()],
    )
    opsets = [helper.make_opsetid("", OPSET)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION)


def _manifest(head: str, lipschitz: float, weights_sha256: str) -> Manifest:
    evidence = {
        "engine": "onnxruntime 1 CPU",
        "frames": 1000,
        "attacked_frames": 125,
        "largest_error": 1e-6,
        "sigma": 1e-7,
    }
    return Manifest(
        class_names=("left", "right"),
        height=SIDE,
        width=SIDE,
        head=head,
        budgets=1,
        lipschitz=lipschitz,
        layers=(),
        preprocessing_lipschitz=1.0,
        numerics=Numerics("float32", SLACK, "statistical", evidence),
        weights_sha256=weights_sha256,
    )
