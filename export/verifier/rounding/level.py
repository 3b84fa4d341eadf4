"""Level `bounded`: which engines it is for, what a file must hold, and when it is worth having."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from lipdeploy.core.errors import VerificationError
from lipdeploy.core.manifest import Manifest, Numerics
from lipdeploy.core.radius import margin_from_logits
from lipdeploy.export.verifier.graph import Graph
from lipdeploy.export.verifier.parity import Frame
from lipdeploy.export.verifier.replay import Replay
from lipdeploy.export.verifier.rounding.bound import Rounding, RoundingBound
from lipdeploy.export.verifier.rounding.clip_check import check_clips
from lipdeploy.export.verifier.rounding.summation import check_summation
from lipdeploy.runtime.processor import processor_kind
from lipdeploy.runtime.session import engine_module

# Engine and device whose float32 convolutions are known to be sums of the stored products, and the
# name under which they are opened; docs/rounding.md says from which sources, and who is left out.
ENGINES: Mapping[tuple[str, str], str] = {("onnxruntime", "CPU"): "onnxruntime"}
PRECISIONS = ("float32", "int16")
SUMMATION = "any order"
LEAST_USABLE_SHARE = 0.5
_RESERVE = 1e-6  # another machine's float64 finds the bound within the declared one


def bounded_numerics(
    bound: RoundingBound, engine: str, measured: Mapping[str, Any], precision: str = "float32"
) -> Numerics:
    """What a file of level `bounded` declares.

    Args:
        bound: of `Rounding.of_model`.
        engine: that will run it, for example `onnxruntime 1.32.0 CPU`.
        measured: frames and errors that were seen, for comparison.
        precision: one of `PRECISIONS`.
    """
    slack = bound.slack * (1 + _RESERVE)
    evidence = {
        "rule": "bounded",
        "bound": bound.slack,
        "summation": SUMMATION,
        "receptive_field": list(bound.field),
        "engine": engine,
        "processor": processor_kind(),
        "engines": {engine: dict(measured)},
        **measured,
    }
    return Numerics(precision, slack, "bounded", evidence)


def bounded_engine(engines: Iterable[str]) -> str:
    """The first engine that level `bounded` is known for.

    Raises:
        VerificationError: there is none.
    """
    engines = list(engines)
    for name in engines:
        if (name.split()[0], name.split()[-1]) in ENGINES:
            return name
    raise VerificationError(
        f"level 'bounded' is not known for {', '.join(engines)}; use --level statistical"
    )


def check_bounded(graph: Graph, manifest: Manifest) -> None:
    """Derive the bound again from the file, and ask the engines that it names how they sum.

    Raises:
        VerificationError: the level is not earned.
    """
    numerics = manifest.numerics
    evidence = numerics.evidence
    rule, summation = evidence.get("rule"), evidence.get("summation")
    if numerics.precision not in PRECISIONS or rule != "bounded" or summation != SUMMATION:
        raise VerificationError(
            f"level 'bounded' at {numerics.precision!r} by rule {rule!r}, summation {summation!r} "
            f"has no proof; expected {' or '.join(PRECISIONS)}, 'bounded' and {SUMMATION!r}"
        )
    names = _engines(evidence)
    if evidence.get("processor") != processor_kind():
        raise VerificationError(
            f"level 'bounded' was asked of engines on {evidence.get('processor')!r}, this is "
            f"{processor_kind()!r}, where they may sum otherwise; {_again(manifest)} here"
        )
    found = Rounding(graph).of_model().slack
    if not found <= numerics.slack:
        raise VerificationError(
            f"level 'bounded' is not earned: rounding is bounded by D = {found:.6g}, the file "
            f"subtracts {numerics.slack:.6g}; {_again(manifest)}"
        )
    for name, family in dict.fromkeys(names):
        module = engine_module(ENGINES[family])
        if name != module.ENGINE:
            raise VerificationError(
                f"level 'bounded' was asked of {name}, here is {module.ENGINE}, which may sum "
                f"otherwise; {_back_to(name)}{_again(manifest)} here"
            )
        check_summation(graph, module.ENGINE, module.open_graph)
        check_clips(graph, module.ENGINE, module.open_graph)


def _back_to(engine: str) -> str:
    """How to get an engine back; nothing where its version is no version, but text to be pasted."""
    name, version = engine.split()[:2]
    known = re.fullmatch(r"[0-9]+(\.[0-9]+){1,3}", version)
    return f"run `pip install {name}=={version}`, or " if known else ""


def _again(manifest: Manifest) -> str:
    """The command that makes such a file."""
    precision = manifest.numerics.precision
    if precision == "float32":
        return "run `lipdeploy export ... --level bounded`"
    return f"run `lipdeploy calibrate ... --precision {precision} --level bounded`"


def _engines(evidence: Mapping[str, Any]) -> list[tuple[str, tuple[str, str]]]:
    """The engines that the evidence names, with their families."""
    named = [str(evidence.get("engine", ""))]
    more = evidence.get("engines", {})
    named += [str(name) for name in more] if isinstance(more, Mapping) else ["?"]
    families = [((words := name.split() or [""])[0], words[-1]) for name in named]
    for name, family in zip(named, families, strict=True):
        if family not in ENGINES:
            known = ", ".join(" ".join(pair) for pair in ENGINES)
            raise VerificationError(
                f"level 'bounded' names engine {name!r}, which is not known to sum in order; "
                f"known: {known}"
            )
    return list(zip(named, families, strict=True))


def check_useful(replay: Replay, frames: Iterable[Frame], bound: RoundingBound) -> float:
    """Share of the pixels of some frames whose float64 margin exceeds 2 D.

    Raises:
        VerificationError: half of them have none left: the file would claim next to nothing.
    """
    margins = np.concatenate([margin_from_logits(replay(frame)).ravel() for frame in frames])
    share = float((margins > 2 * bound.slack).mean())
    if share < LEAST_USABLE_SHARE:
        height, width = bound.field
        raise VerificationError(
            f"level 'bounded' is vacuous here: 2 D = {2 * bound.slack:.3g} for any frame, the "
            f"median margin is {float(np.median(margins)):.3g}, {share:.0%} of the pixels exceed "
            f"2 D (expected {LEAST_USABLE_SHARE:.0%}; receptive field {height}x{width}); use a "
            "smaller network, or --level statistical"
        )
    return share
