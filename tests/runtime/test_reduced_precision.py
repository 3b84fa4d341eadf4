"""A level in less than float32 asks for a verification by this engine on this kind of processor."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import onnxruntime
import pytest

from lipdeploy.core.content_hash import RECORD_KEY, with_entries
from lipdeploy.core.errors import VerificationError
from lipdeploy.runtime.onnxruntime_session import ENGINE
from lipdeploy.runtime.processor import features_named, processor_kind
from lipdeploy.runtime.session import check_level, open_session
from tests.runtime.conftest import tiny_manifest, tiny_model, tiny_record

HERE = f"processor {processor_kind()}"
OTHER_BUILD = ENGINE.replace(onnxruntime.__version__, "1.0.0")


def level(
    path: Path, precision: str, checks: tuple[str, ...], engines: tuple[str, ...] = (ENGINE,)
) -> str:
    """The level of a file whose evidence names ONNX Runtime, verified as the record says."""
    manifest = tiny_manifest()
    numerics = dataclasses.replace(manifest.numerics, precision=precision)
    manifest = dataclasses.replace(manifest, numerics=numerics)
    data = tiny_model(manifest).SerializeToString()
    found = dataclasses.replace(tiny_record(data, manifest), checks=checks, engines=engines)
    path.write_bytes(with_entries(data, {RECORD_KEY: found.to_text()}))
    with open_session(path) as session:
        if session.manifest.numerics.level == "none":
            with pytest.raises(VerificationError, match=r"run `lipdeploy verify .* on this device"):
                check_level(session, unverified=False)
        return session.manifest.numerics.level


@pytest.mark.parametrize("precision", ["fp16", "int8-weights", "int8", "int16"])
def test_a_level_of_less_than_float32_is_of_one_kind_of_processor(
    tmp_path: Path, precision: str
) -> None:
    path = tmp_path / "m.onnx"
    assert level(path, precision, (HERE,)) == "statistical"
    assert level(path, precision, ("processor aarch64 asimd asimdhp",)) == "none"
    assert level(path, precision, ()) == "none"  # of a version that did not say where it ran
    assert level(path, precision, (HERE,), (OTHER_BUILD,)) == "none"
    assert level(path, precision, (HERE,), ()) == "none"


def test_float32_rounds_alike_within_a_family(tmp_path: Path) -> None:
    assert level(tmp_path / "m.onnx", "float32", (), (OTHER_BUILD,)) == "statistical"


def test_arithmetic_in_half_precision_tells_processors_apart() -> None:
    plain, half = "Features : fp asimd asimddp", "Features : fp asimd asimddp asimdhp"
    assert features_named(plain) != features_named(half)
    assert features_named("flags : avx2 avx512_fp16") != features_named("flags : avx2")
