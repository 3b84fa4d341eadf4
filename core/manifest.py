"""What a lipdeploy model file says of itself: the `lipdeploy.*` keys of its ONNX metadata."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from lipdeploy.core.errors import VerificationError

SCHEMA = 1
DEEPEST = 16  # of lists and mappings in the metadata
Level = Literal["proved", "bounded", "statistical", "none"]
LEVELS: tuple[Level, ...] = ("proved", "bounded", "statistical", "none")

LEVEL_MEANING: dict[str, str] = {
    "proved": "holds in real arithmetic for the stored weights",
    "bounded": "holds for what executes, rounding included",
    "statistical": "rounding measured, not bounded: not sound against an attack on rounding",
    "none": "not verified",
}


@dataclass(frozen=True)
class LayerBound:
    """Upper bound on the l2 operator norm of one linear layer as stored."""

    name: str
    op: str
    shape: tuple[int, ...]
    bound: float


@dataclass(frozen=True)
class Numerics:
    """How the file's execution may differ from real arithmetic.

    Attributes:
        precision: what the engine computes in, for example `float32`.
        slack: D, the bound on the error of one logit difference; 2 D is subtracted from margins.
        level: what is promised, see `LEVEL_MEANING`.
        evidence: how `slack` was found (frames, largest error seen, engine).
    """

    precision: str
    slack: float
    level: Level
    evidence: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Manifest:
    """The contract between export and everything that runs or checks the file.

    Attributes:
        class_names: one per class id, in order.
        height: rows of the input `image`.
        width: columns of the input `image`.
        head: `threshold` or `sort`, how `flips` is computed in the graph.
        budgets: length E of the input `eps`.
        lipschitz: L of the logits with respect to `image` / 255.
        layers: bound of every linear layer, in graph order.
        preprocessing_lipschitz: factor of the pre-processing alone, included in `lipschitz`.
        numerics: rounding and guarantee level.
        weights_sha256: hash of the stored weights.
        metrics: measured results, with their data set.
        training: how the weights came about.
    """

    class_names: tuple[str, ...]
    height: int
    width: int
    head: str
    budgets: int
    lipschitz: float
    layers: tuple[LayerBound, ...]
    preprocessing_lipschitz: float
    numerics: Numerics
    weights_sha256: str
    metrics: Mapping[str, Any] = field(default_factory=dict)
    training: Mapping[str, Any] = field(default_factory=dict)
    norm: str = "l2"
    domain: str = "[0,1]"
    schema: int = SCHEMA

    def to_metadata(self) -> dict[str, str]:
        """The `lipdeploy.*` keys with JSON values."""
        return {
            "lipdeploy.schema": json.dumps(self.schema),
            "lipdeploy.norm": json.dumps(self.norm),
            "lipdeploy.domain": json.dumps(self.domain),
            "lipdeploy.classes": json.dumps(self.class_names),
            "lipdeploy.imgsz": json.dumps([self.height, self.width]),
            "lipdeploy.head": json.dumps({"kind": self.head, "budgets": self.budgets}),
            "lipdeploy.lipschitz": json.dumps(self.lipschitz),
            "lipdeploy.lipschitz_layers": json.dumps(
                [dataclasses.asdict(layer) for layer in self.layers]
            ),
            "lipdeploy.preprocessing_lipschitz": json.dumps(self.preprocessing_lipschitz),
            "lipdeploy.numerics": json.dumps(dataclasses.asdict(self.numerics)),
            "lipdeploy.weights_sha256": json.dumps(self.weights_sha256),
            "lipdeploy.metrics": json.dumps(self.metrics),
            "lipdeploy.training": json.dumps(self.training),
        }


def manifest_from_metadata(metadata: Mapping[str, str], source: str = "the model") -> Manifest:
    """Read the manifest from ONNX metadata.

    Raises:
        VerificationError: the keys are missing, malformed or out of range.
    """
    if "lipdeploy.schema" not in metadata:
        raise VerificationError(
            f"{source} is not a lipdeploy model: its metadata has no lipdeploy.schema; "
            "make one with `lipdeploy export ckpt.pt model.onnx`"
        )
    try:
        manifest = _parse(metadata)
    except (
        KeyError,
        TypeError,
        ValueError,
        AttributeError,
        OverflowError,
        RecursionError,
    ) as error:
        raise VerificationError(
            f"{source} has broken lipdeploy metadata ({type(error).__name__}: {error}); "
            "export it again"
        ) from error
    _check(manifest, source)
    return manifest


def _parse(metadata: Mapping[str, str]) -> Manifest:
    def value(key: str) -> Any:
        return json.loads(metadata[f"lipdeploy.{key}"])

    height, width = value("imgsz")
    return Manifest(
        class_names=_names(value("classes")),
        height=int(height),
        width=int(width),
        head=str(value("head")["kind"]),
        budgets=int(value("head")["budgets"]),
        lipschitz=_number(value("lipschitz")),
        layers=tuple(
            LayerBound(str(e["name"]), str(e["op"]), tuple(e["shape"]), float(e["bound"]))
            for e in value("lipschitz_layers")
        ),
        preprocessing_lipschitz=float(value("preprocessing_lipschitz")),
        numerics=_numerics(value("numerics")),
        weights_sha256=str(value("weights_sha256")),
        metrics=_remarks(value("metrics")),
        training=_remarks(value("training")),
        norm=str(value("norm")),
        domain=str(value("domain")),
        schema=int(value("schema")),
    )


def _numerics(fields: Mapping[str, Any]) -> Numerics:
    precision, slack, level = str(fields["precision"]), _number(fields["slack"]), fields["level"]
    return Numerics(precision, slack, level, _remarks(fields["evidence"]))


def _number(found: Any) -> float:
    if isinstance(found, bool) or not isinstance(found, (int, float)):
        raise TypeError(f"{found!r} is no number")
    return float(found)


def _names(found: Any) -> tuple[str, ...]:
    if not isinstance(found, list) or not all(isinstance(name, str) for name in found):
        raise TypeError("classes are no list of names")
    for name in found:
        name.encode()  # half a surrogate pair is no text: UnicodeEncodeError is a ValueError
    return tuple(found)


def _remarks(found: Any) -> dict[str, Any]:
    """What people wrote, nested no deeper than people do: whoever walks it must come to an end."""
    if not isinstance(found, dict):
        raise TypeError(f"{type(found).__name__} in place of named values")
    level: list[Any] = [found]
    for _ in range(DEEPEST):
        inner = [v for each in level for v in (each.values() if isinstance(each, dict) else each)]
        level = [v for v in inner if isinstance(v, (dict, list))]
        if not level:
            return found
    raise ValueError(f"values nested over {DEEPEST} deep")


def _check(manifest: Manifest, source: str) -> None:
    numbers = (manifest.lipschitz, manifest.numerics.slack)
    problems = [
        (manifest.schema != SCHEMA, f"schema {manifest.schema}, this version reads {SCHEMA}"),
        (manifest.norm != "l2", f"norm {manifest.norm!r}, expected 'l2'"),
        (manifest.domain != "[0,1]", f"domain {manifest.domain!r}, expected '[0,1]'"),
        (manifest.numerics.level not in LEVELS, f"level {manifest.numerics.level!r}"),
        (len(manifest.class_names) < 2, f"{len(manifest.class_names)} classes, expected 2 or more"),
        (not all(math.isfinite(n) for n in numbers), f"numbers that are not finite: {numbers}"),
        (not manifest.lipschitz > 0, f"lipschitz {manifest.lipschitz}, expected above 0"),
        (not manifest.numerics.slack >= 0, f"slack {manifest.numerics.slack}, expected 0 or more"),
    ]
    for wrong, what in problems:
        if wrong:
            raise VerificationError(f"{source} declares {what}; export it again with this version")
