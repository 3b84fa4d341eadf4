"""`lipdeploy verify`: every check on one file, in order, each with its finding."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto

from lipdeploy.core.certificate import count_flips
from lipdeploy.core.errors import InputError, VerificationError
from lipdeploy.core.figures import at_most
from lipdeploy.core.manifest import LayerBound, Manifest, manifest_from_metadata
from lipdeploy.core.radius import margin_from_logits, radius_from_margin
from lipdeploy.export.opset import IR_VERSION, OPSET
from lipdeploy.export.verifier.graph import Graph, load_model, weights_sha256
from lipdeploy.export.verifier.head_check import check_head
from lipdeploy.export.verifier.lipschitz import graph_bound
from lipdeploy.export.verifier.parity import (
    STATISTICAL_FRAMES,
    Frame,
    statistical_slack,
    synthetic_frames,
)
from lipdeploy.export.verifier.replay import Replay
from lipdeploy.runtime.session import Session, open_session

BUDGET_SPACING = 0.1  # budgets of the differential test of `flips`


@dataclass
class Verification:
    """Findings about one file; `failure` names the first check that did not hold."""

    model: str
    lipschitz: float = float("nan")
    declared: float = float("nan")
    level: str = "none"
    layers: tuple[LayerBound, ...] = ()
    checks: list[str] = field(default_factory=list)
    failure: str | None = None

    @property
    def passed(self) -> bool:
        """Whether every check held."""
        return self.failure is None


def verify(path: Path, frames: int = 12) -> Verification:
    """Check a file: structure, head, Lipschitz bound, hash, and parity with float64.

    Never raises for a bad model: the finding is in `failure`.

    Raises:
        InputError: there is no such file.
    """
    found = Verification(str(path))
    try:
        _verify(path, frames, found)
    except InputError as error:
        if not path.is_file():
            raise
        found.failure = str(error)
    except VerificationError as error:
        found.failure = str(error)
    except Exception as error:  # a hostile file must end as a finding, whatever it breaks
        found.failure = f"the file cannot be checked ({type(error).__name__}: {error})"
    return found


def _verify(path: Path, frames: int, found: Verification) -> None:
    model = load_model(path)
    metadata = {p.key: p.value for p in model.metadata_props}
    manifest = manifest_from_metadata(metadata, str(path))
    found.declared, found.level = manifest.lipschitz, manifest.numerics.level
    check_container(model)
    graph = Graph(model)
    check_interface(graph, manifest)
    found.checks.append("interface: image, eps to mask, radius, flips")
    check_head(graph, manifest)
    found.checks.append(f"head: the {manifest.head} head of the contract, node by node")
    bound = graph_bound(graph)
    found.lipschitz, found.layers = bound.lipschitz, bound.layers
    if not bound.lipschitz <= manifest.lipschitz:
        raise VerificationError(_worst_layer(manifest, bound.lipschitz, bound.layers))
    found.checks.append(f"bound: L <= {at_most(bound.lipschitz, 8)} from the stored weights")
    if weights_sha256(model.graph.initializer) != manifest.weights_sha256:
        raise VerificationError("the weights do not have the hash of the metadata; export again")
    found.checks.append("hash: weights as recorded")
    check_numerics(manifest)
    found.checks.append(f"level: {manifest.numerics.level}, evidence as declared by the file")
    largest = check_execution(path, graph, manifest, frames)
    found.checks.append(
        f"parity: radius and flips never above float64 on {frames} frames, "
        f"largest excess of a margin {largest:.2e} of slack 2 x {manifest.numerics.slack:.2e}"
    )


def check_container(model: onnx.ModelProto) -> None:
    """Refuse parts of an ONNX file that no lipdeploy model has and that engines read differently.

    Raises:
        VerificationError: which part.
    """
    outputs = [output.name for output in model.graph.output]
    unexpected = {
        "functions": len(model.functions),
        "training_info": len(model.training_info),
        "sparse initializers": len(model.graph.sparse_initializer),
        "overloaded nodes": sum(bool(node.overload) for node in model.graph.node),
        "outputs of one name": len(outputs) - len(set(outputs)),
    }
    for part, count in unexpected.items():
        if count:
            raise VerificationError(f"the file has {count} {part}; a lipdeploy model has none")
    opsets = {(o.domain, o.version) for o in model.opset_import}
    if opsets != {("", OPSET)} or model.ir_version > IR_VERSION:
        raise VerificationError(
            f"the file has opsets {sorted(opsets)} and IR {model.ir_version}; "
            f"expected opset {OPSET} alone and IR up to {IR_VERSION}"
        )


def check_numerics(manifest: Manifest) -> None:
    """The level must be one that the declared evidence can carry.

    `proved` and `bounded` are refused until their derivation is part of the file.

    Raises:
        VerificationError: a level that was not earned.
    """
    numerics = manifest.numerics
    if numerics.level == "none":
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


def _worst_layer(manifest: Manifest, lipschitz: float, layers: tuple[LayerBound, ...]) -> str:
    declared = {layer.name: layer.bound for layer in manifest.layers}
    changed = max(layers, key=lambda e: e.bound / declared.get(e.name, e.bound))
    place = f"{changed.op} {changed.name!r} has bound {changed.bound:.6f}"
    if changed.name in declared:
        place += f", the metadata says {declared[changed.name]:.6f}"
    return f"L is bounded by {lipschitz:.6f}, the metadata claims {manifest.lipschitz:.6f}; {place}"


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


def check_execution(path: Path, graph: Graph, manifest: Manifest, frames: int) -> float:
    """Run the file and compare with float64; returns the largest excess of a margin over float64.

    Raises:
        VerificationError: a radius above float64, a flip count below it, or another mask where
            the margin is clear.
    """
    replay = Replay(graph)
    worst = 0.0
    with open_session(path) as session:
        for frame in synthetic_frames(frames, manifest.height, manifest.width, seed=7):
            worst = max(worst, _compare(session, replay, manifest, frame))
    return worst


def _compare(session: Session, replay: Replay, manifest: Manifest, frame: Frame) -> float:
    logits = replay(frame)
    margin, slack = margin_from_logits(logits), manifest.numerics.slack
    radius = radius_from_margin(margin, manifest.lipschitz)
    budgets = BUDGET_SPACING * np.arange(1, manifest.budgets + 1)
    result = session.infer(frame, budgets.tolist())
    above = result.radius > radius
    if above.any():
        place = tuple(int(i) for i in np.argwhere(above)[0])
        raise VerificationError(
            f"radius {result.radius[place]} at pixel {place} is above float64 {radius[place]}"
        )
    if (result.flips < count_flips(radius, budgets)).any():
        raise VerificationError(
            f"flips {result.flips} are below float64 {count_flips(radius, budgets)}"
        )
    if ((result.mask != logits.argmax(0)) & (margin > 2 * slack)).any():
        raise VerificationError("mask differs from float64 where the margin exceeds the slack")
    executed = result.radius.astype(np.float64) * np.sqrt(2.0) * manifest.lipschitz + 2 * slack
    return float(np.max((executed - margin)[result.radius > 0], initial=0.0))
