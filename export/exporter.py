"""From a checkpoint to a verified file: fold, bound, measure, assemble, check."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import torch

from lipdeploy.core.dataset import read_image
from lipdeploy.core.errors import InputError, VerificationError
from lipdeploy.core.manifest import Level, Manifest, Numerics
from lipdeploy.core.resize import resized
from lipdeploy.export.artefact import Description, assembled
from lipdeploy.export.engine_parity import EngineMeter, Progress, logits_of, measure_engines
from lipdeploy.export.fold import FoldedNetwork, folded
from lipdeploy.export.sealing import MARGIN_OVER_COMPUTED, sealed, write_verified
from lipdeploy.export.slack import measured_figures, measured_numerics
from lipdeploy.export.trunk import trunk_model
from lipdeploy.export.verifier.graph import Graph
from lipdeploy.export.verifier.lipschitz import graph_bound
from lipdeploy.export.verifier.parity import (
    STATISTICAL_FRAMES,
    Frame,
    Parity,
    interleaved,
    synthetic_frames,
)
from lipdeploy.export.verifier.replay import Replay
from lipdeploy.export.verifier.rounding.bound import Rounding, RoundingBound
from lipdeploy.export.verifier.rounding.level import bounded_engine, bounded_numerics, check_useful
from lipdeploy.export.verifier.verification import Verification
from lipdeploy.runtime.session import available_engines, engine_module
from lipdeploy.samples.scene import SMALLEST
from lipdeploy.training.attack import cross_entropy_objective, l2_attack
from lipdeploy.training.checkpoint import Checkpoint
from lipdeploy.training.network import SegmentationNetwork, build_network

WEIGHT_TOLERANCE = 1e-3  # relative to the largest logit, like the next
FLOAT32_TOLERANCE = 1e-3
JUDGED_FRAMES = 32  # whose margins decide whether a bound on rounding leaves anything to claim
ATTACK_EPS, ATTACK_STEPS, ATTACK_EVERY = 0.5, 3, 8
ROUNDING_EVERY = 16  # frames for each neighbour tried against the rounding of an engine


@dataclass(frozen=True)
class Request:
    """What to export.

    Attributes:
        height: rows of the input.
        width: columns of the input.
        head: `threshold` or `sort`.
        budgets: length E of `eps`.
        with_logits: also output `logits`.
        frames: frames of the parity measurement; below 1,000 the level is `none`.
        images: calibration images, used for half of the frames.
        level: `statistical`, or `bounded` where rounding is to be bounded and not measured.
    """

    height: int
    width: int
    head: str = "threshold"
    budgets: int = 1
    with_logits: bool = False
    frames: int = STATISTICAL_FRAMES
    images: Sequence[Path] = ()
    level: Level = "statistical"


@dataclass(frozen=True)
class ExportReport:
    """What export found out, for the command line to print."""

    verification: Verification
    parity: Parity
    fold_error: float
    numerics: Numerics


def export(
    checkpoint: Checkpoint, target: Path, request: Request, progress: Progress
) -> ExportReport:
    """Write `target`; nothing is left there when a check fails.

    Raises:
        InputError: a size that the network cannot take.
        VerificationError: folding, the bound, the head or parity does not hold.
    """
    _check_request(checkpoint, request)
    network = folded(checkpoint.network)
    trunk = trunk_model(network, request.height, request.width)
    graph = Graph(trunk)
    replay = Replay(graph)
    manifest = _draft_manifest(checkpoint, request, graph)
    fold_error = _fold_error(checkpoint.network, replay, request)
    bound = _rounding_bound(graph, replay, request) if request.level == "bounded" else None
    draft = assembled(trunk, manifest, Description(), with_logits=True)
    meters = _measure(draft, replay, network, request, progress)
    numerics = measured_numerics("float32", meters)
    worst = str(numerics.evidence["engine"])
    parity = meters[worst].parity
    if not parity.slack <= FLOAT32_TOLERANCE * max(parity.scale, 1e-3):
        raise VerificationError(
            f"the logits of {worst} are off by {parity.slack:.3g} "
            f"(logits up to {parity.scale:.3g}), more than float32 explains; nothing written"
        )
    if bound is not None:
        name = bounded_engine(meters)
        numerics = bounded_numerics(bound, name, measured_figures(meters[name]))
    manifest = dataclasses.replace(manifest, numerics=numerics)
    description = Description(stride=checkpoint.network.config.stride)
    model = sealed(trunk, manifest, description, request.with_logits)
    verification = write_verified(model, target)
    return ExportReport(verification, parity, fold_error, manifest.numerics)


def _check_request(checkpoint: Checkpoint, request: Request) -> None:
    stride = checkpoint.network.config.stride
    sides = (request.height, request.width)
    if any(side < SMALLEST or side % stride for side in sides):
        raise InputError(
            f"--imgsz is {sides[0]} {sides[1]}; expected multiples of {stride}, {SMALLEST} or more"
        )
    if request.budgets < 1 or request.frames < 1:
        raise InputError("budgets and frames must be 1 or more")


def _draft_manifest(checkpoint: Checkpoint, request: Request, graph: Graph) -> Manifest:
    bound = graph_bound(graph)
    return Manifest(
        class_names=checkpoint.class_names,
        height=request.height,
        width=request.width,
        head=request.head,
        budgets=request.budgets,
        lipschitz=bound.lipschitz * (1 + MARGIN_OVER_COMPUTED),
        layers=bound.layers,
        preprocessing_lipschitz=1.0,
        numerics=Numerics("float32", 0.0, "none"),
        weights_sha256="",
        metrics=checkpoint.metrics,
        training=checkpoint.training,
    )


@torch.no_grad()
def _fold_error(network: SegmentationNetwork, replay: Replay, request: Request) -> float:
    """Largest logit difference between the unfolded float64 network and the folded weights.

    Raises:
        VerificationError: it is more than the rounding of weights to float32 explains.
    """
    exact = _double(network)
    worst = scale = 0.0
    for frame in synthetic_frames(6, request.height, request.width, seed=3):
        pixels = torch.from_numpy(frame).permute(2, 0, 1)[None].double() / 255
        expected = exact(pixels)[0].numpy()
        worst = max(worst, float(np.abs(replay(frame) - expected).max()))
        scale = max(scale, float(np.abs(expected).max()))
    if not worst <= WEIGHT_TOLERANCE * max(scale, 1e-3):
        raise VerificationError(
            f"folding changed a logit by {worst:.3g} (logits up to {scale:.3g})"
        )
    return worst


def _double(network: SegmentationNetwork) -> SegmentationNetwork:
    copy = build_network(network.config)
    copy.load_state_dict(network.state_dict())
    return copy.double().eval()


def _measure(
    draft: onnx.ModelProto,
    replay: Replay,
    network: FoldedNetwork,
    request: Request,
    progress: Progress,
) -> dict[str, EngineMeter]:
    """Errors of every engine that works here, on the same frames."""
    data = bytes(draft.SerializeToString())
    modules = [engine_module(name) for name in available_engines()]
    engines = {m.ENGINE: logits_of(m.open_graph(data, 0), request.budgets) for m in modules}
    frames = interleaved(_frames(request), _attacker(network), ATTACK_EVERY)
    steps = -(-request.frames // ROUNDING_EVERY)
    return measure_engines(engines, replay, frames, steps, progress)


def _frames(request: Request) -> Iterator[Frame]:
    """Calibration images first, at most half of the frames, then synthetic ones."""
    images = list(request.images)[: request.frames // 2]
    for path in images:
        yield resized(read_image(path), request.height, request.width)
    yield from synthetic_frames(request.frames - len(images), request.height, request.width)


def _attacker(network: FoldedNetwork) -> Callable[[Frame], Frame]:
    objective = cross_entropy_objective(40.0)

    def attack(frame: Frame) -> Frame:
        image = torch.from_numpy(frame).permute(2, 0, 1)[None].float() / 255
        with torch.no_grad():
            labels = network.score(image).argmax(1)
        moved = l2_attack(network.score, image, labels, ATTACK_EPS, objective, ATTACK_STEPS)
        return np.asarray((moved[0] * 255).round().byte().permute(1, 2, 0).numpy(), np.uint8)

    return attack


def _rounding_bound(graph: Graph, replay: Replay, request: Request) -> RoundingBound:
    """The bound on rounding for any frame; what it leaves is judged on the first frames.

    Raises:
        VerificationError: it has no proof, or exceeds most margins.
    """
    bound = Rounding(graph).of_model()
    check_useful(replay, itertools.islice(_frames(request), JUDGED_FRAMES), bound)
    return bound
