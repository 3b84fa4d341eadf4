"""`lipdeploy verify`: every check on one file, in order, each with its finding."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import onnx

from lipdeploy import __version__
from lipdeploy.core.content_hash import content_from_bytes
from lipdeploy.core.errors import ArtefactError, InputError, VerificationError
from lipdeploy.core.figures import at_most
from lipdeploy.core.manifest import LayerBound, Manifest, Numerics
from lipdeploy.core.record import Record
from lipdeploy.export.verifier.contract import check_container, check_interface, check_numerics
from lipdeploy.export.verifier.execution import (
    EngineError,
    Plan,
    check_execution,
    covered_engines,
)
from lipdeploy.export.verifier.graph import Graph, model_from_bytes, weights_sha256
from lipdeploy.export.verifier.head_check import check_head
from lipdeploy.export.verifier.isolation import check_survives
from lipdeploy.export.verifier.lipschitz import foreign_bound, graph_bound
from lipdeploy.export.verifier.parity import Frame
from lipdeploy.export.verifier.precision import check_precision
from lipdeploy.export.verifier.rounding.summary import RoundingSummary, rounding_summary
from lipdeploy.export.verifier.tightness import layer_estimates
from lipdeploy.runtime.measured_engines import processor_check
from lipdeploy.runtime.model_file import ModelFile, model_file, read_bytes


@dataclass
class Verification:
    """Findings about one file; `failure` names the first check that did not hold.

    Attributes:
        model: the file.
        content_sha256: of the content that was checked; empty where it has none.
        lipschitz: computed from the stored weights.
        declared: L of the metadata.
        level: of the metadata.
        precision: as the graph computes; empty before that was found.
        quantizers: of activations.
        quantized_weights: weights stored as integers.
        slack: D of the metadata.
        layers: bound of every linear layer.
        tightness: of each layer where asked for: bound over a lower estimate of the norm.
        checks: what held, in order.
        errors: of every engine on every kind of frame.
        rounding: what float32 can do to a logit difference, where asked for.
        record: what may be written into the file; None unless every check held.
        foreign_bound: L of a graph without a lipdeploy head, for information.
        failure: why the file failed.
    """

    model: str
    content_sha256: str = ""
    lipschitz: float = float("nan")
    declared: float = float("nan")
    level: str = "none"
    precision: str = ""
    quantizers: int = 0
    quantized_weights: int = 0
    slack: float = float("nan")
    layers: tuple[LayerBound, ...] = ()
    tightness: tuple[float | None, ...] = ()
    checks: list[str] = field(default_factory=list)
    errors: tuple[EngineError, ...] = ()
    rounding: RoundingSummary | None = None
    record: Record | None = None
    foreign_bound: float | None = None
    failure: str | None = None

    @property
    def passed(self) -> bool:
        """Whether every check held."""
        return self.failure is None


def verify(
    path: Path,
    frames: int = 12,
    images: Sequence[Frame] = (),
    tight: bool = False,
    isolated: bool = True,
    engines: Sequence[str] = (),
    rounding: bool = False,
) -> Verification:
    """Check a file: structure, head, Lipschitz bound, hash, and parity with float64.

    The file is read once: graph, hash and engine see the same bytes. Nothing is written. Never
    raises for a bad model: the finding is in `failure`.

    Args:
        path: the file.
        frames: synthetic frames for parity; the attack on rounding tries twice as many.
        images: calibration frames of the network's size.
        tight: also find out how tight the bound of each layer is.
        rounding: also bound the rounding of float32.
        isolated: survive files that abort the onnx library, for the price of starting a process.
        engines: names of those to compare; none: all that work here.

    Raises:
        ArtefactError: an engine that cannot be loaded, or a file for engines that are not here.
        InputError: there is no such file.
    """
    found = Verification(str(path))
    data = read_bytes(path)
    try:
        if isolated:
            check_survives(data)
        once = tuple(dict.fromkeys(engines))  # a record counts frames: the same twice are not more
        _verify(data, Plan(frames, images, once), tight, found)
        if rounding and found.passed:
            found.rounding = rounding_summary(Graph(model_from_bytes(data, found.model)))
    except ArtefactError:
        raise
    except (InputError, VerificationError) as error:
        found.failure = str(error)
    except Exception as error:  # a hostile file must end as a finding, whatever it breaks
        found.failure = f"the file cannot be checked ({type(error).__name__}: {error})"
    return found


def _verify(data: bytes, plan: Plan, tight: bool, found: Verification) -> None:
    found.content_sha256 = content_from_bytes(data).sha256
    model = model_from_bytes(data, found.model)
    if not any(p.key == "lipdeploy.schema" for p in model.metadata_props):
        found.foreign_bound = _bound_of_foreign(model)
    file = model_file(data, found.model)
    manifest, numerics = file.manifest, file.manifest.numerics
    found.declared, found.level, found.slack = manifest.lipschitz, numerics.level, numerics.slack
    check_container(model, file)
    graph = Graph(model)
    check_interface(graph, manifest)
    found.checks.append("interface: image, eps to mask, radius, flips")
    check_head(graph, manifest)
    found.checks.append(f"head: the {manifest.head} head of the contract, node by node")
    _check_precision(graph, manifest, found)
    _check_bound(graph, manifest, tight, found)
    if weights_sha256(model.graph.initializer) != manifest.weights_sha256:
        raise VerificationError("the weights do not have the hash of the metadata; export again")
    found.checks.append("hash: weights as recorded")
    check_numerics(manifest, graph)
    by = "derived again from the file" if numerics.level == "bounded" else "as declared by the file"
    found.checks.append(f"level: {numerics.level}, evidence {by}")
    found.errors = check_execution(file, graph, plan)
    found.checks.append("head alone: ties, zeros and huge logits as in float64")
    found.checks.append("parity: " + _parity(found.errors, numerics))
    if found.precision != "float32":
        found.checks.append(f"{processor_check()}: where {found.precision} was compared")
    found.record = _record(file, found)


def _check_precision(graph: Graph, manifest: Manifest, found: Verification) -> None:
    contents = check_precision(graph, manifest)
    found.precision = contents.precision
    found.quantizers, found.quantized_weights = contents.activations, contents.weights
    found.checks.append(f"precision {contents}: as the graph computes")


def _check_bound(graph: Graph, manifest: Manifest, tight: bool, found: Verification) -> None:
    bound = graph_bound(graph)
    found.lipschitz, found.layers = bound.lipschitz, bound.layers
    if tight:
        estimates = layer_estimates(graph)
        norms = ((layer.bound, estimates.get(layer.name)) for layer in bound.layers)
        found.tightness = tuple(norm / estimate if estimate else None for norm, estimate in norms)
    if not bound.lipschitz <= manifest.lipschitz:
        raise VerificationError(_worst_layer(manifest, bound.lipschitz, bound.layers))
    found.checks.append(f"bound: L <= {at_most(bound.lipschitz, 8)} from the stored weights")


def _bound_of_foreign(model: onnx.ModelProto) -> float | None:
    """For information, None where some operator has no rule."""
    try:
        return foreign_bound(Graph(model)).lipschitz
    except VerificationError:
        return None


def _parity(errors: Sequence[EngineError], numerics: Numerics) -> str:
    covered = covered_engines(errors, numerics.level)
    total = sum(row.frames for row in errors if row.engine in covered)
    largest = max((row.largest for row in errors if row.engine in covered), default=0.0)
    return (
        f"radius and flips never above float64 on {total} frames, largest error of a logit "
        f"difference {largest:.2e}, slack {numerics.slack:.2e}"
    )


def _record(file: ModelFile, found: Verification) -> Record:
    now = dt.datetime.now(dt.timezone.utc).isoformat(timespec="seconds")
    numerics = file.manifest.numerics
    covered = covered_engines(found.errors, numerics.level)
    return Record(
        content_sha256=file.content.sha256,
        lipschitz=file.manifest.lipschitz,
        level=numerics.level,
        slack=numerics.slack,
        checks=tuple(check.partition(":")[0] for check in found.checks),
        frames=sum(row.frames for row in found.errors if row.engine in covered),
        engines=covered,
        lipdeploy=__version__,
        time=now,
    )


def _worst_layer(manifest: Manifest, lipschitz: float, layers: tuple[LayerBound, ...]) -> str:
    declared = {layer.name: layer.bound for layer in manifest.layers}
    changed = max(layers, key=lambda e: e.bound / declared.get(e.name, e.bound))
    place = f"{changed.op} {changed.name!r} has bound {changed.bound:.6f}"
    if changed.name in declared:
        place += f", the metadata says {declared[changed.name]:.6f}"
    return f"L is bounded by {lipschitz:.6f}, the metadata claims {manifest.lipschitz:.6f}; {place}"
