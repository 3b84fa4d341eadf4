"""The metadata of a file that somebody else wrote."""

import json
from typing import Any

import pytest

from lipdeploy.core.errors import VerificationError
from lipdeploy.core.manifest import Manifest, Numerics, manifest_from_metadata


def metadata() -> dict[str, str]:
    numerics = Numerics("float32", 1e-6, "none", {"frames": 24})
    return Manifest(
        ("road", "sky"), 64, 96, "threshold", 1, 1.5, (), 1.0, numerics, "0" * 64, {"miou": 0.5}
    ).to_metadata()


def nested(depth: int) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for _ in range(depth):
        found = {"deeper": [found]}
    return found


def test_what_was_written_is_read_again() -> None:
    found = manifest_from_metadata(metadata())
    assert found.to_metadata() == metadata()
    assert (found.class_names, found.lipschitz) == (("road", "sky"), 1.5)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("lipschitz", True),
        ("lipschitz", "1.0"),
        ("lipschitz", None),
        ("classes", "ab"),
        ("classes", [1, 2]),
        ("classes", ["\ud800", "b"]),
        ("metrics", [1]),
        ("metrics", nested(9)),
        ("training", nested(400)),
        ("numerics", {"precision": "float32", "slack": True, "level": "none", "evidence": {}}),
        ("imgsz", [64]),
    ],
)
def test_what_is_not_of_its_kind_is_refused(key: str, value: Any) -> None:
    broken = metadata() | {f"lipdeploy.{key}": json.dumps(value)}
    with pytest.raises(VerificationError, match="broken lipdeploy metadata"):
        manifest_from_metadata(broken, "m.onnx")
