"""What runs needs a valid record; without one, or with --unverified, nothing is claimed."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

import lipdeploy.runtime.session as session_module
from lipdeploy.cli import main
from lipdeploy.core.content_hash import RECORD_KEY, with_entries
from lipdeploy.core.errors import InputError, VerificationError
from lipdeploy.core.record import record_from_text
from lipdeploy.runtime.model_file import ModelFile, read_model
from lipdeploy.runtime.onnxruntime_session import open_graph
from lipdeploy.runtime.session import available_engines, check_level, open_session
from lipdeploy.runtime.sources import open_source
from lipdeploy.runtime.stream import Stream, StreamOptions
from lipdeploy.runtime.wording import Wording
from tests.runtime.conftest import save_tiny, tiny_manifest, tiny_model, tiny_record

SCENE = "test://scene?seed=3&duration=200ms&size=64x48&fps=20"


def no_record(path: Path) -> None:
    path.write_bytes(with_entries(path.read_bytes(), {}))


def with_record(path: Path, **changes: Any) -> None:
    text = read_model(path).standing.record_text
    assert text is not None
    record = dataclasses.replace(record_from_text(text), **changes)
    path.write_bytes(with_entries(path.read_bytes(), {RECORD_KEY: record.to_text()}))


def of_another_file(path: Path) -> None:
    manifest = tiny_manifest(level="none")
    foreign = tiny_record(tiny_model(manifest).SerializeToString(), manifest)
    path.write_bytes(with_entries(path.read_bytes(), {RECORD_KEY: foreign.to_text()}))


def garbage(path: Path) -> None:
    path.write_bytes(with_entries(path.read_bytes(), {RECORD_KEY: "{"}))


def edited(path: Path) -> None:
    """The file is changed after its verification; the record stays as it is."""
    record = read_model(path).standing.record_text
    assert record is not None
    data = tiny_model(tiny_manifest(), scale=100.0).SerializeToString()
    path.write_bytes(with_entries(data, {RECORD_KEY: record}))


BROKEN: list[tuple[Callable[[Path], None], str]] = [
    (no_record, "has no verification record"),
    (of_another_file, "was changed after it was verified"),
    (edited, "was changed after it was verified"),
    (garbage, "cannot be read"),
    (lambda p: with_record(p, schema=2), "schema 2, this version reads 1"),
    (lambda p: with_record(p, lipschitz=0.5), "declares L, level and slack"),
    (lambda p: with_record(p, level="proved"), "declares L, level and slack"),
    (lambda p: with_record(p, slack=1e-9), "declares L, level and slack"),
]


@pytest.mark.parametrize(("damage", "message"), BROKEN)
def test_a_model_without_a_valid_record_is_refused_in_one_line(
    model_path: Path,
    damage: Callable[[Path], None],
    message: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    damage(model_path)
    args = ["stream", "--model", str(model_path), "--source", SCENE, "--sink", "null"]
    assert main(args) == 3
    err = capsys.readouterr().err
    assert message in err
    assert f"run `lipdeploy verify {model_path}`" in err
    assert "--unverified" in err
    assert err.count("\n") == 1
    assert main([*args, "--unverified", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["level"] == "none"
    assert report["certified_share"] is report["pixelwise_share"] is None


@pytest.mark.parametrize("damage", [lambda _: None, no_record])
def test_unverified_claims_nothing_even_of_a_verified_model(
    model_path: Path, recorder: Any, damage: Callable[[Path], None]
) -> None:
    damage(model_path)
    sink = recorder(wants_overlay=True)
    with open_session(model_path) as session:
        options = StreamOptions(unverified=True, eps=0.001)
        report = Stream(session, open_source(SCENE), [sink], options).run()
        wording = Wording(session.manifest, 0.9, "regions")
        assert wording.headline(sink.results[0]).startswith("NOT VERIFIED")
    assert report.certified_share is None
    assert len(sink.results) == 4
    for result in sink.results:
        assert not result.claims
        assert result.regions is None
        line = result.to_json(("a", "b", "c"))
        assert (line["level"], line["certified_share"], line["flips"]) == ("none", None, None)
        assert (line["pixelwise_share"], line["eps_source"]) == (None, None)


def test_whoever_forgets_to_ask_claims_nothing_either(model_path: Path) -> None:
    no_record(model_path)
    with open_session(model_path) as session:
        assert session.manifest.numerics.level == "none"


def test_a_verified_model_claims(model_path: Path, recorder: Any) -> None:
    sink = recorder()
    with open_session(model_path) as session:
        check_level(session, unverified=False)
        Stream(session, open_source(SCENE), [sink], StreamOptions()).run()
    assert all(r.claims and r.certified_share is not None for r in sink.results)


def test_certify_refuses_too(
    model_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for folder in ("images", "masks"):
        (tmp_path / folder).mkdir()
    (tmp_path / "images/a.png").write_bytes(b"x")
    (tmp_path / "masks/a.png").write_bytes(b"x")
    data = tmp_path / "d.yaml"
    names = "[road, vegetation, sky]"
    data.write_text(f"train: images\nval: images\nmasks_dir: masks\nnames: {names}\n")
    no_record(model_path)
    assert main(["certify", str(model_path), "--data", str(data)]) == 3
    assert "has no verification record" in capsys.readouterr().err


def test_a_file_swapped_after_it_was_read_does_not_run(
    model_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    evil = save_tiny(tmp_path / "evil.onnx", tiny_manifest(), scale=100.0)

    def read_then_swap(path: Path) -> ModelFile:
        file = read_model(path)
        evil.replace(path)
        return file

    image = np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)
    with open_session(model_path) as session:
        honest = session.infer(image, [0.1]).radius
    monkeypatch.setattr(session_module, "read_model", read_then_swap)
    with open_session(model_path) as session:
        check_level(session, unverified=False)
        assert np.array_equal(session.infer(image, [0.1]).radius, honest)


def test_trust_and_unverified_exclude_each_other(model_path: Path) -> None:
    with open_session(model_path) as session, pytest.raises(InputError, match="exclude"):
        check_level(session, unverified=True, trust=[Path("pub.pem")])


def test_a_container_that_parsers_read_differently_is_refused(model_path: Path) -> None:
    model_path.write_bytes(model_path.read_bytes() + b"\x3a\x00")  # a second, empty graph
    with pytest.raises(VerificationError, match="field 7 is given twice"):
        open_session(model_path)


def test_engines_are_listed() -> None:
    assert available_engines() == ("onnxruntime", "openvino")


def test_inspect_tells_what_the_file_holds(
    model_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["inspect", str(model_path)]) == 0
    out = capsys.readouterr().out
    assert "road, vegetation, sky" in out
    assert "48x64" in out
    assert "valid: verified 2026-01-01" in out
    assert main(["inspect", str(model_path), "--json"]) == 0
    fields = json.loads(capsys.readouterr().out)
    assert (fields["record_valid"], fields["signed"], fields["lipschitz"]) == (True, False, 1.0)
    assert fields["record"]["content_sha256"] == fields["content_sha256"]
    no_record(model_path)
    assert main(["inspect", str(model_path)]) == 0
    assert "NOT VALID: the file has no verification record" in capsys.readouterr().out


def test_inspect_of_a_foreign_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "foreign.onnx"
    path.write_bytes(tiny_model(tiny_manifest(), {}).SerializeToString())
    assert main(["inspect", str(path)]) == 3
    assert "not a lipdeploy model" in capsys.readouterr().err


def test_inspect_does_not_let_a_file_move_the_cursor(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    manifest = dataclasses.replace(tiny_manifest(), class_names=("a\x1b[2J", "b\nrecord valid"))
    assert main(["inspect", str(save_tiny(tmp_path / "m.onnx", manifest))]) == 0
    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert "\nrecord valid" not in out


def test_the_engine_is_told_the_format_and_does_not_guess() -> None:
    """ONNX Runtime takes any bytes with its mark for its own format, ONNX or not."""
    model = tiny_model(tiny_manifest())
    model.ClearField("ir_version")
    model.producer_name = "..ORTM" + "." * 10
    data = model.SerializeToString() + b"\x08\x0a"
    with pytest.raises(Exception, match="ORT model verification failed"):
        onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    open_graph(data, 1)
