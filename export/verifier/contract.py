"""What every lipdeploy file has: container, interface, and a level that its evidence carries."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import onnx
from onnx import TensorProto

from lipdeploy.core.errors import VerificationError
from lipdeploy.core.manifest import Level, Manifest, Numerics
from lipdeploy.export.opset import IR_VERSION
from lipdeploy.export.verifier.graph import Graph
from lipdeploy.export.verifier.parity import STATISTICAL_FRAMES, statistical_slack
from lipdeploy.export.verifier.precision import PRECISIONS, opset_of
from lipdeploy.export.verifier.rounding.level import PRECISIONS as BOUNDED_PRECISIONS
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
    precision = file.manifest.numerics.precision
    opset = opset_of(precision)
    if opsets != {("", opset)} or model.ir_version > IR_VERSION:
        raise VerificationError(
            f"the file has opsets {sorted(opsets)} and IR {model.ir_version}; expected opset "
            f"{opset} alone for precision {precision!r} and IR up to {IR_VERSION}"
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
    if graph.shape("logits") != (1, classes, h, w):
        raise VerificationError(
            f"logits have shape {graph.shape('logits')}, expected (1, {classes}, {h}, {w})"
        )
    kinds = {graph.dtype("logits"), *([logits[0]] if logits else [])}
    if kinds != {TensorProto.FLOAT}:  # the head computes in float32 at every precision
        named = sorted(TensorProto.DataType.Name(kind).lower() for kind in kinds)
        raise VerificationError(f"logits hold {', '.join(named)}; expected float alone")
    if any(n.domain not in ("", "ai.onnx") for n in graph.nodes):
        raise VerificationError("the graph uses operators outside the ONNX standard")


def _type(info: onnx.ValueInfoProto) -> tuple[int, tuple[int, ...]]:
    tensor = info.type.tensor_type
    return tensor.elem_type, tuple(d.dim_value for d in tensor.shape.dim)


# Levels that the evidence of a file can carry, by precision; `none` always can be.
LEVELS_OF: dict[str, tuple[Level, ...]] = {
    **dict.fromkeys(PRECISIONS, ("statistical",)),
    **dict.fromkeys(BOUNDED_PRECISIONS, ("statistical", "bounded")),
}


def check_numerics(manifest: Manifest, graph: Graph) -> None:
    """The level must be one that the declared evidence can carry; `bounded` is derived again.

    `proved` is refused: a file's margins are computed in float32. That `precision` is the graph's
    own is checked before, by `check_precision`.

    Raises:
        VerificationError: a level that was not earned.
    """
    numerics = manifest.numerics
    if numerics.level == "none":
        return
    levels = LEVELS_OF.get(numerics.precision, ())
    if numerics.level not in levels:
        expected = " or ".join(map(repr, (*levels, "none")))
        raise VerificationError(
            f"level {numerics.level!r} at precision {numerics.precision!r} cannot be checked by "
            f"this version; expected {expected}"
        )
    if numerics.level == "bounded":
        check_bounded(graph, manifest)
    else:
        _check_statistical(numerics)


def _check_statistical(numerics: Numerics) -> None:
    """Enough frames, attacked ones among them, and a slack that covers every engine measured."""
    evidence, attacked = numerics.evidence, ["attacked_frames"]
    if numerics.precision != "float32":
        attacked.append("rounding_attacked_frames")
    earned = all(
        _figure(each, "frames") >= STATISTICAL_FRAMES
        and all(_figure(each, kind) > 0 for kind in attacked)
        and _covered(numerics.slack, each)
        for each in (evidence, *_engines(evidence))
    )
    if not earned:
        raise VerificationError(
            f"level 'statistical' is not earned by slack {numerics.slack} and {dict(evidence)}; "
            f"at precision {numerics.precision!r} it needs {STATISTICAL_FRAMES} frames, "
            f"{' and '.join(attacked)} above 0, and slack of at least the largest error and "
            "8 sqrt(2) sigma, on every engine that it names"
        )


def _engines(evidence: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """What was measured on each engine, where that is told apart."""
    engines = evidence.get("engines", {})
    if not isinstance(engines, Mapping) or not all(isinstance(v, dict) for v in engines.values()):
        raise VerificationError(f"evidence of engines {engines!r}; expected figures by engine")
    return list(engines.values())


def _covered(slack: float, figures: Mapping[str, Any]) -> bool:
    largest, sigma = (_figure(figures, name) for name in ("largest_error", "sigma"))
    return min(largest, sigma) >= 0 and slack >= statistical_slack(largest, sigma)


def _figure(figures: Mapping[str, Any], name: str) -> float:
    """A finite number of the evidence.

    Raises:
        VerificationError: it is missing, text, or no finite number.
    """
    value = figures.get(name, 0 if name.endswith("frames") else None)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise VerificationError(f"evidence {name!r} is {value!r}; expected a finite number")
    return float(value)
