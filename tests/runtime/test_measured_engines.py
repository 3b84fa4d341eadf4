"""A level holds on the engines that were measured, and is none elsewhere."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from lipdeploy.cli import main
from lipdeploy.core.content_hash import RECORD_KEY, with_entries
from lipdeploy.core.errors import VerificationError
from lipdeploy.core.manifest import Level, Numerics
from lipdeploy.core.record import Record
from lipdeploy.runtime import onnxruntime_session, openvino_session
from lipdeploy.runtime.measured_engines import doubt_on, family, measured_as, measured_engines
from lipdeploy.runtime.processor import processor_kind
from lipdeploy.runtime.session import Session, check_level, open_session
from tests.runtime.conftest import tiny_manifest, tiny_model, tiny_record

ORT, OV = onnxruntime_session.ENGINE, openvino_session.ENGINE
SCENE = "test://scene?seed=3&duration=100ms&size=64x48&fps=20"


def numerics(level: Level = "statistical", **evidence: Any) -> Numerics:
    return Numerics("float32", 0.0, level, evidence)


@pytest.mark.parametrize(
    ("engine", "name"),
    [("onnxruntime 1.32.0 CPU", "onnxruntime CPU"), ("tensorrt 10.3 Orin GPU", "tensorrt GPU")],
)
def test_family(engine: str, name: str) -> None:
    assert family(engine) == name


def test_evidence_names_engines_in_two_ways() -> None:
    old = numerics(engine="onnxruntime 1.20.1 CPU")
    new = numerics(engine=ORT, engines={ORT: {}, "openvino 2025.1 CPU": {}})
    assert doubt_on(ORT, old) == doubt_on(ORT, new) == doubt_on(OV, new) == ""
    assert doubt_on(OV, old) == "was not measured on openvino CPU, only on onnxruntime CPU"
    assert measured_as(ORT, old) == "onnxruntime 1.20.1 CPU"
    assert "only on no engine at all" in doubt_on(ORT, numerics())
    # `engines` is the whole truth where it is there, and what is no list of names is nothing
    assert doubt_on(ORT, numerics(engine=ORT, engines={OV: {}}))
    odd: Any
    for odd in (None, 3, "onnxruntime 1 CPU", [3], {}):
        assert doubt_on(ORT, numerics(engines=odd, engine=ORT))
    assert doubt_on("onnxruntime 1.32.0 CUDA GPU", new)
    assert doubt_on("tensorrt 10 GPU", numerics("none")) == ""


def test_a_derived_level_holds_on_the_engine_and_processor_that_were_asked() -> None:
    here: Any = {"rule": "bounded", "engines": {ORT: {}}, "processor": processor_kind()}
    assert doubt_on(ORT, numerics("bounded", **here)) == ""
    assert doubt_on("onnxruntime 9.9.9 CPU", numerics("bounded", **here))
    assert doubt_on(OV, numerics("bounded", **here))
    there = here | {"processor": "x86_64 avx512f"}
    assert "is bounded for" in doubt_on(ORT, numerics("bounded", **there))
    assert doubt_on(ORT, numerics("bounded", engines={ORT: {}}))
    assert doubt_on(OV, numerics("bounded", **here), record(9000, ORT, OV))


def record(frames: int, *engines: str) -> Record:
    return Record("0" * 64, 1.0, "statistical", 0.0, (), frames, engines, "0", "now")


def test_only_a_long_verification_stands_for_an_engine() -> None:
    file = numerics(engine=ORT)
    assert doubt_on(OV, file, record(36, OV))
    assert doubt_on(OV, file, record(2999, OV))
    assert doubt_on(OV, file, record(5999, OV, ORT))
    assert doubt_on(OV, file, record(3000, OV)) == ""
    assert doubt_on(OV, file, record(3000, ORT))
    assert measured_engines(file, record(3000, OV)) == (ORT, OV)
    assert measured_engines(file, record(0)) == (ORT,)


def test_an_unmeasured_engine_claims_nothing(
    model_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with open_session(model_path, "openvino") as session:
        assert session.manifest.numerics.level == "none"
        with pytest.raises(VerificationError, match="verify --engine openvino --frames 1000"):
            check_level(session, unverified=False)
    args = ["stream", "--model", str(model_path), "--source", SCENE, "--sink", "null"]
    assert main([*args, "--engine", "openvino"]) == 3
    err = capsys.readouterr().err
    assert "was not measured on openvino CPU, only on onnxruntime CPU" in err
    assert err.count("\n") == 1
    assert main([*args, "--engine", "openvino", "--unverified", "--json"]) == 0
    assert main(args) == 0


def test_a_long_record_lets_it_claim(tmp_path: Path) -> None:
    manifest = tiny_manifest()
    data = tiny_model(manifest).SerializeToString()
    path = tmp_path / "m.onnx"
    levels = []
    for frames in (36, 3000):
        found = dataclasses.replace(tiny_record(data, manifest), engines=(OV,), frames=frames)
        path.write_bytes(with_entries(data, {RECORD_KEY: found.to_text()}))
        with open_session(path, "openvino") as session:
            levels.append(level_of(session))
    assert levels == ["none", "statistical"]


def level_of(session: Session) -> str:
    return session.manifest.numerics.level
