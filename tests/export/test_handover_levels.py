"""What a receiver may claim: not what the file claims in the engines that it was measured on."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import yaml

from lipdeploy.cli import main
from lipdeploy.core.content_hash import RECORD_KEY, with_entries
from lipdeploy.runtime.onnxruntime_session import ENGINE as ORT
from lipdeploy.runtime.openvino_session import ENGINE as OPENVINO
from lipdeploy.runtime.processor import processor_kind
from tests.runtime.conftest import tiny_manifest, tiny_model, tiny_record

PROCESSOR = {"processor": processor_kind()}


def handed_over(folder: Path, precision: str, level: Any, **evidence: Any) -> dict[str, str]:
    """The levels in the configurations of a file that has this level here."""
    manifest = tiny_manifest(level=level)
    numerics = dataclasses.replace(manifest.numerics, precision=precision, evidence=evidence)
    manifest = dataclasses.replace(manifest, numerics=numerics)
    data = tiny_model(manifest).SerializeToString()
    record = dataclasses.replace(
        tiny_record(data, manifest), engines=(ORT,), checks=(f"processor {processor_kind()}",)
    )
    path = folder / "m.onnx"
    path.write_bytes(with_entries(data, {RECORD_KEY: record.to_text()}))
    assert main(["export", str(path), "--for", "triton", "--for", "holoscan"]) == 0
    configs = (folder / "m-triton").rglob("config.pbtxt")
    found = {config.parent.name: _level(config.read_text()) for config in configs}
    document = yaml.safe_load((folder / "m-holoscan" / "m.yaml").read_text())
    return found | {"holoscan": document["lipdeploy"]["level"]}


def _level(config: str) -> str:
    (line,) = (line for line in config.splitlines() if '"lipdeploy.level"' in line)
    return line.split('string_value: "')[1].split('"')[0]


@pytest.mark.parametrize(
    ("precision", "level", "evidence", "served"),
    [
        ("float32", "statistical", {"engine": ORT}, "statistical"),
        ("float32", "statistical", {"engine": OPENVINO}, "none"),
        ("float32", "bounded", {"engine": ORT, **PROCESSOR}, "none"),
        ("int8", "statistical", {"engine": ORT}, "none"),
    ],
)
def test_only_what_every_build_on_a_cpu_keeps_is_claimed_of_a_server(
    tmp_path: Path, precision: str, level: str, evidence: dict[str, str], served: str
) -> None:
    found = handed_over(tmp_path, precision, level, **evidence)
    assert found == {"m": served, "m_trt": "none", "holoscan": "none"}
    readme = (tmp_path / "m-triton" / "README.md").read_text()
    assert f"as the receiver has it: level {served}" in readme
