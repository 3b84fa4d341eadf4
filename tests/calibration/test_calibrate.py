"""The command: files of every precision that keep their promises, and inputs that it refuses."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path

import numpy as np
import onnx
import pytest

from lipdeploy.calibration.attack import L2Attack
from lipdeploy.calibration.derivatives import ReversePass
from lipdeploy.calibration.source import read_source, trunk_of
from lipdeploy.calibration.transformation import REDUCED
from lipdeploy.cli import main
from lipdeploy.core.manifest import Numerics
from lipdeploy.core.radius import margin_from_logits, radius_from_margin
from lipdeploy.export.artefact import Description
from lipdeploy.export.sealing import sealed
from lipdeploy.export.verifier.graph import Graph, load_model
from lipdeploy.export.verifier.replay import Replay
from lipdeploy.export.verifier.rounding_attack import climb
from lipdeploy.export.verifier.verification import verify
from lipdeploy.runtime.model_file import read_model
from lipdeploy.runtime.session import available_engines, open_session
from tests.calibration.small_network import frame

ENGINES = [name for name in ("onnxruntime", "openvino") if name in available_engines()]


@pytest.fixture(scope="module")
def folder(source_path: Path, data_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every precision, from too few frames for a level; D covers all engines, however dear."""
    target = tmp_path_factory.mktemp("out") / "precisions"
    engines = [word for name in ENGINES for word in ("--engine", name)]
    done = main(
        [
            *("calibrate", str(source_path), str(target), "--precision", "all"),
            *("--data", str(data_path), "--frames", "24", "--table-split", "train"),
            *engines,
            "--json",
        ]
    )
    assert done == 0
    return target


@pytest.mark.parametrize("precision", REDUCED)
def test_files_are_verified_and_named(folder: Path, precision: str, source_path: Path) -> None:
    file = read_model(folder / f"{source_path.stem}-{precision}.onnx")
    numerics = file.manifest.numerics
    assert file.standing.valid
    assert (numerics.precision, numerics.level) == (precision, "none")
    assert [name.split()[0] for name in numerics.evidence["engines"]] == ENGINES
    assert numerics.evidence["frames"] == 24
    assert numerics.evidence["attacked_frames"] == 3


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("precision", REDUCED)
def test_outputs_keep_to_float64(
    folder: Path, precision: str, engine: str, source_path: Path
) -> None:
    """Clean, l2-attacked and rounding-attacked frames: mask where clear, radius never above."""
    path = folder / f"{source_path.stem}-{precision}.onnx"
    replay = Replay(Graph(load_model(path)))
    attack = L2Attack(ReversePass(read_source(source_path).graph))
    with open_session(path, engine, 1) as session:
        manifest = session.manifest

        def excess(image: np.typing.NDArray[np.uint8]) -> np.typing.NDArray[np.float64]:
            exact = radius_from_margin(margin_from_logits(replay(image)), manifest.lipschitz)
            return np.asarray(session.infer(image, [0.0]).radius - exact)

        frames = [frame(seed) for seed in range(6)]
        frames += [attack(each) for each in frames]
        frames.append(climb(frames[0], excess, 24, 0)[0])
        for image in frames:
            logits, found = replay(image), session.infer(image, [0.0])
            margin = margin_from_logits(logits)
            clear = margin > 2 * manifest.numerics.slack
            assert (found.mask == logits.argmax(0))[clear].all()
            assert (found.radius <= radius_from_margin(margin, manifest.lipschitz)).all()


def trunk_bytes(path: Path) -> bytes:
    return bytes(trunk_of(Graph(load_model(path))).SerializeToString(deterministic=True))


def test_float32_is_the_same_network_measured_anew(
    source_path: Path, data_path: Path, tmp_path: Path
) -> None:
    """For an engine that the evidence of the source does not name."""
    target = tmp_path / "anew.onnx"
    args = [str(source_path), str(target), "--precision", "float32", "--data", str(data_path)]
    assert main(["calibrate", *args, "--frames", "24", "--engine", ENGINES[-1]]) == 0
    source, anew = read_model(source_path).manifest, read_model(target).manifest
    assert trunk_bytes(target) == trunk_bytes(source_path)
    assert anew.metrics == source.metrics
    assert anew.lipschitz == source.lipschitz
    assert anew.numerics.slack != source.numerics.slack
    assert [name.split()[0] for name in anew.numerics.evidence["engines"]] == ENGINES[-1:]
    image = frame(3)
    with open_session(source_path) as old, open_session(target) as new:
        assert np.array_equal(old.infer(image, [0.1]).mask, new.infer(image, [0.1]).mask)


def test_the_table_compares_all_precisions(folder: Path) -> None:
    found = json.loads((folder / "precision.json").read_text())
    assert [row["precision"] for row in found["table"]] == ["float32", *REDUCED]
    reference, *others = found["table"]
    assert reference["changed_pixels"] == reference["radius_drift"] == 0
    for row in others:
        assert row["radius_drift"] > 0
        assert row["crpa"] == {"0.1": None, "0.25": None}  # level none claims nothing
        assert row["size_bytes"] == Path(found["files"][row["precision"]]["model"]).stat().st_size
        assert set(row["milliseconds"]) == set(ENGINES)
    assert others[2]["precision"] == "int8"
    assert others[2]["slack"] > others[3]["slack"] > others[1]["slack"]
    assert set(found["files"]["int8"]["limits"]) == {"b", "d", "e"}


def test_an_int8_file_with_too_small_a_slack_is_refused(
    folder: Path, source_path: Path, tmp_path: Path
) -> None:
    """All that is forged is the measurement: the level fits its evidence, the engine does not."""
    path = folder / f"{source_path.stem}-int8.onnx"
    figures: dict[str, float] = {"largest_error": 1e-6, "sigma": 1e-8}
    figures |= {"frames": 1000, "attacked_frames": 125, "rounding_attacked_frames": 64}
    evidence = {**figures, "engine": "onnxruntime 1.32.0 CPU"}
    trunk = trunk_of(Graph(load_model(path)))
    manifest = dataclasses.replace(
        read_model(path).manifest, numerics=Numerics("int8", 2e-6, "statistical", evidence)
    )
    forged = tmp_path / "forged.onnx"
    onnx.save_model(sealed(trunk, manifest, Description(), False), str(forged))
    found = verify(forged, isolated=False, engines=["onnxruntime"])
    assert not found.passed
    assert re.search("is above float64|more than the slack 2e-06", str(found.failure))


def refused(capsys: pytest.CaptureFixture[str], *args: str) -> str:
    code = main(["calibrate", *args])
    lines = capsys.readouterr().err.strip().splitlines()
    assert code in (2, 3)
    assert len(lines) == 1
    return lines[0]


def test_bad_inputs_give_one_line(
    folder: Path,
    source_path: Path,
    data_path: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    int8, data = ("--precision", "int8"), ("--data", str(data_path))
    out, model = str(tmp_path / "out.onnx"), str(source_path)
    bare = tmp_path / "bare.onnx"
    unrecorded = onnx.load(str(source_path))
    kept = [p for p in unrecorded.metadata_props if p.key != "lipdeploy.verification"]
    del unrecorded.metadata_props[:]
    unrecorded.metadata_props.extend(kept)
    onnx.save_model(unrecorded, str(bare))
    assert "has no verification record; run `lipdeploy verify" in refused(
        capsys, str(bare), out, *int8, *data
    )
    assert "has no split 'test'" in refused(capsys, model, out, *int8, *data, "--split", "test")
    assert "val holds 3 examples; calibration needs 8 or more" in refused(
        capsys, model, out, *int8, *data, "--split", "val"
    )
    quantized = str(folder / f"{source_path.stem}-int8.onnx")
    assert "is int8 already; calibrate the float32 file" in refused(
        capsys, quantized, out, *int8, *data
    )
    assert "is the model itself" in refused(capsys, model, model, *int8, *data)
    assert "there is no engine 'openvin'; did you mean 'openvino'?" in refused(
        capsys, model, out, *int8, *data, "--engine", "openvin"
    )
    assert not Path(out).exists()


BOUNDED = ("--precision", "int16", "--level", "bounded")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--precision", "int8", "--eps", "nan"], "eps is nan"),
        (
            ["--precision", "fp16", "--method", "minmax"],
            "leave it out for fp16",
        ),
        (["--precision", "all", "--engine", "tensorrt"], "calibrate one --precision at a time"),
        (["--precision", "int8", "--table", "--engine", "tensorrt"], "without --table"),
        ([*BOUNDED, "--engine", "onnxruntime", "--engine", "openvino"], "is of one engine"),
    ],
)
def test_what_does_not_go_together_is_said_before_the_measurement(
    options: list[str],
    message: str,
    source_path: Path,
    data_path: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "out"
    assert message in refused(
        capsys, str(source_path), str(out), *options, "--data", str(data_path)
    )
    assert not out.exists()


def test_too_few_frames_are_told(
    source_path: Path, data_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "half.onnx"
    args = [str(source_path), str(out), "--precision", "fp16", "--data", str(data_path)]
    assert main(["calibrate", *args, "--frames", "8", "--engine", "onnxruntime"]) == 0
    text = capsys.readouterr().out
    assert "level none: fewer than 1000 frames, or none attacked" in text
    assert "PASSED | L <= " in text
    assert f"Results saved to {out}" in text
