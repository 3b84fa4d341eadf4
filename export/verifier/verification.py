"""`lipdeploy verify`: every check on one file, in order, each with its finding."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto

from lipdeploy.core.certificate import count_flips, margin_from_logits, radius_from_margin
from lipdeploy.core.errors import VerificationError
from lipdeploy.core.manifest import LayerBound, Manifest, manifest_from_metadata
from lipdeploy.export.verifier.graph import Graph, load_model, weights_sha256
from lipdeploy.export.verifier.head_check import check_head
from lipdeploy.export.verifier.lipschitz import graph_bound
from lipdeploy.export.verifier.parity import Frame, synthetic_frames
from lipdeploy.export.verifier.replay import Replay
from lipdeploy.runtime.session import Session, open_session

DRAFT_SPACING = 0.1  # budgets of the differential test of `flips`


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
    except VerificationError as error:
        found.failure = str(error)
    return found


def _verify(path: Path, frames: int, found: Verification) -> None:
    model = load_model(path)
    metadata = {p.key: p.value for p in model.metadata_props}
    manifest = manifest_from_metadata(metadata, str(path))
    found.declared, found.level = manifest.lipschitz, manifest.numerics.level
    graph = Graph(model)
    check_interface(graph, manifest)
    found.checks.append("interface: image, eps to mask, radius, flips")
    check_head(graph, manifest)
    found.checks.append(f"head: the {manifest.head} head of the contract, node by node")
    bound = graph_bound(graph)
    found.lipschitz, found.layers = bound.lipschitz, bound.layers
    if not bound.lipschitz <= manifest.lipschitz:
        raise VerificationError(_worst_layer(manifest, bound.lipschitz, bound.layers))
    found.checks.append(f"bound: L <= {bound.lipschitz:.6f} from the stored weights")
    if weights_sha256(model.graph.initializer) != manifest.weights_sha256:
        raise VerificationError("the weights do not have the hash of the metadata; export again")
    found.checks.append("hash: weights as recorded")
    largest = check_execution(path, graph, manifest, frames)
    found.checks.append(
        f"parity: radius and flips never above float64 on {frames} frames, "
        f"largest excess of a margin {largest:.2e} of slack 2 x {manifest.numerics.slack:.2e}"
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
    budgets = DRAFT_SPACING * np.arange(1, manifest.budgets + 1)
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
