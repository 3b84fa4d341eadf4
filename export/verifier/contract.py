"""What every lipdeploy file has: container, interface, and a level that its evidence carries."""

from __future__ import annotations

import math

import onnx
from onnx import TensorProto

from lipdeploy.core.errors import VerificationError
from lipdeploy.core.manifest import Manifest
from lipdeploy.export.opset import IR_VERSION, OPSET
from lipdeploy.export.verifier.graph import Graph
from lipdeploy.export.verifier.parity import STATISTICAL_FRAMES, statistical_slack
from lipdeploy.export.verifier.rounding.level import check_bounded
from lipdeploy.runtime.model_file import ModelFile


def check_container(model: onnx.ModelProto, file: ModelFile) -> None:
    """Refuse parts of an ONNX file that no lipdeploy model has and that engines read differently.

    Raises:
        VerificationError: which part.
    """
    outputs = [output.name for output in model.graph.output]
    unexpected = {
        "functions": len(model.functions),
        "training_info": len(model.training_info),
        "device configurations": len(getattr(model, "configuration", ())),
        "sparse initializers": len(model.graph.sparse_initializer),
        "overloaded nodes": sum(bool(node.overload) for node in model.graph.node),
        "outputs of one name": len(outputs) - len(set(outputs)),
    }
    for part, count in unexpected.items():
        if count:
            raise VerificationError(f"the file has {count} {part}; a lipdeploy model has none")
    if {p.key: p.value for p in model.metadata_props} != dict(file.content.metadata):
        raise VerificationError("two readings of the file's metadata differ; export it again")
    opsets = {(o.domain, o.version) for o in model.opset_import}
    if opsets != {("", OPSET)} or model.ir_version > IR_VERSION:
        raise VerificationError(
            f"the file has opsets {sorted(opsets)} and IR {model.ir_version}; "
            f"expected opset {OPSET} alone and IR up to {IR_VERSION}"
        )


def check_interface(graph: Graph, manifest: Manifest) -> None:
    """Names, types and shapes of inputs and outputs as in the contract.

    Raises:
        VerificationError: what differs.
    """
    h, w = manifest.height, manifest.width
    expected_inputs = {
        "image": (TensorProto.UINT8, (1, h, w, 3)),
        "eps": (TensorProto.FLOAT, (manifest.budgets,)),
    }
    expected_outputs = {
        "mask": (TensorProto.UINT8, (1, h, w)),
        "radius": (TensorProto.FLOAT, (1, h, w)),
        "flips": (TensorProto.FLOAT, (1, manifest.budgets)),
    }
    inputs = {i.name: _type(i) for i in graph.model.graph.input}
    outputs = {o.name: _type(o) for o in graph.model.graph.output}
    logits = outputs.pop("logits", None)
    if inputs != expected_inputs or outputs != expected_outputs:
        raise VerificationError(
            f"interface {inputs} -> {outputs} is not {expected_inputs} -> {expected_outputs}"
        )
    classes = len(manifest.class_names)
    if graph.shape("logits") != (1, classes, h, w) or (logits and logits[0] != TensorProto.FLOAT):
        raise VerificationError(
            f"logits have shape {graph.shape('logits')}, expected (1, {classes}, {h}, {w})"
        )
    if any(n.domain not in ("", "ai.onnx") for n in graph.nodes):
        raise VerificationError("the graph uses operators outside the ONNX standard")


def _type(info: onnx.ValueInfoProto) -> tuple[int, tuple[int, ...]]:
    tensor = info.type.tensor_type
    return tensor.elem_type, tuple(d.dim_value for d in tensor.shape.dim)


def check_numerics(manifest: Manifest, graph: Graph) -> None:
    """The level must be one that the declared evidence can carry; `bounded` is derived again.

    Raises:
        VerificationError: a level that was not earned.
    """
    numerics = manifest.numerics
    if numerics.level == "none":
        return
    if numerics.level == "bounded":
        check_bounded(graph, manifest)
        return
    if numerics.level != "statistical" or numerics.precision != "float32":
        raise VerificationError(
            f"level {numerics.level!r} at precision {numerics.precision!r} cannot be checked by "
            "this version; expected 'statistical' at 'float32', or 'none'"
        )
    evidence = numerics.evidence
    largest = float(evidence.get("largest_error", math.inf))
    sigma = float(evidence.get("sigma", math.inf))
    earned = (
        int(evidence.get("frames", 0)) >= STATISTICAL_FRAMES
        and int(evidence.get("attacked_frames", 0)) > 0
        and numerics.slack >= statistical_slack(largest, sigma)
    )
    if not earned:
        raise VerificationError(
            f"level 'statistical' is not earned by slack {numerics.slack} and {dict(evidence)}; "
            f"it needs {STATISTICAL_FRAMES} frames, attacked ones among them, and slack of at "
            "least the largest error and 8 sqrt(2) sigma"
        )
