"""Building: what the builder is told, what it says, and what a faulty plan is told in turn."""

from __future__ import annotations

import sys
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

import numpy as np
import onnx
import pytest

from lipdeploy.core.errors import ArtefactError, InputError, VerificationError
from lipdeploy.export.verifier.graph import Graph, model_from_bytes
from lipdeploy.export.verifier.plan_check import check_plan
from lipdeploy.runtime import tensorrt_execution
from lipdeploy.runtime.model_file import model_file
from lipdeploy.runtime.tensorrt_api import installed_flavours, load_tensorrt
from lipdeploy.runtime.tensorrt_build import BuildOptions, build_plan
from lipdeploy.runtime.tensorrt_session import open_bytes
from tests.export.tiny_file import SLACK, tiny_file
from tests.runtime.tensorrt_fakes import HEADER, ORIN, Fakes

DATA = tiny_file().SerializeToString()


def test_strongly_typed_without_tf32_and_within_the_workspace() -> None:
    fakes, phases = Fakes(), list[tuple[str, int, int]]()
    options = BuildOptions(workspace_mb=64, timing_cache=b"")
    built = build_plan(fakes.tensorrt(), DATA, "m", options, lambda *phase: phases.append(phase))
    assert built.plan == HEADER + DATA
    assert built.timing_cache == b"timed"
    assert fakes.networks[0].flags == 1 << 1
    assert fakes.configs[0].flags == set()
    assert fakes.configs[0].pools == {"WORKSPACE": 64 * 2**20}
    assert phases == [("Building engine", 1, 2), ("Building engine", 2, 2)]


@pytest.mark.parametrize(
    ("parse", "build", "words"),
    [
        (["legalUINT8: no UINT8 types for intermediate tensors"], [], "export it again"),
        ([], ["ITopKLayer: K exceeds the maximum value allowed (3840)"], "--head threshold"),
        (["Failed to import initializer: x"], [], "such as INT16"),
        ([], ["Error Code 1: Cuda Runtime (In generateForCurrent"], "needs a GPU here"),
        ([], ["Requested amount of GPU memory, out of memory"], "--workspace-mb"),
        (["some other thing"], [], r"cannot parse it \(some other thing\)"),
        ([], ["no tactic"], r"cannot build it \(no tactic\)"),
    ],
)
def test_failures_are_one_line_with_the_fix(parse: list[str], build: list[str], words: str) -> None:
    fakes = Fakes()
    fakes.parse_errors, fakes.build_errors = parse, build
    with pytest.raises(ArtefactError, match=rf"^model m does not build with TensorRT .*{words}"):
        build_plan(fakes.tensorrt(), DATA, "m")


def test_timing_caches_that_cannot_be_used() -> None:
    with pytest.raises(InputError, match="of another device"):
        build_plan(Fakes().tensorrt(), DATA, "m", BuildOptions(timing_cache=b"of another device"))
    rtx = Fakes().tensorrt("tensorrt-rtx", "1.7.1")
    with pytest.raises(InputError, match="leave out --timing-cache"):
        build_plan(rtx, DATA, "m", BuildOptions(timing_cache=b""))


def test_a_shape_that_is_not_static_is_refused() -> None:
    fakes = Fakes()
    fakes.dynamic = True
    with pytest.raises(VerificationError, match="expected a static one"):
        build_plan(fakes.tensorrt(), DATA, "m")


def test_what_is_not_installed_or_too_old(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="expected one of tensorrt, tensorrt-rtx"):
        load_tensorrt("tensort")
    old = ModuleType("tensorrt")
    old.__version__ = "8.6.1"  # type: ignore[attr-defined]
    old.__spec__ = ModuleSpec("tensorrt", None)
    monkeypatch.setitem(sys.modules, "tensorrt", old)
    assert "tensorrt" in installed_flavours()
    with pytest.raises(ArtefactError, match=r"TensorRT 8.6.1 is installed, 10.3 is the oldest"):
        load_tensorrt("tensorrt")


def checked(fakes: Fakes, monkeypatch: pytest.MonkeyPatch, model: onnx.ModelProto) -> Any:
    monkeypatch.setattr(tensorrt_execution, "load_cuda", fakes.cuda)
    data = model.SerializeToString()
    file = model_file(data, "m")
    graph = Graph(model_from_bytes(data, "m"))
    with open_bytes(fakes.tensorrt(), ORIN, HEADER + data, "m", file) as session:
        return check_plan(session, graph, file.manifest, ORIN.title, frames=4)


def test_a_sound_plan_passes_with_an_error_within_the_slack(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = checked(Fakes(), monkeypatch, tiny_file())
    assert found.verified
    assert 0 < found.largest_error < SLACK / 10
    assert found.device == "Orin (8.7)"
    assert (found.frames, found.perturbed_frames, found.rounding_attacked_frames) == (4, 4, 8)


def _larger_radius(found: dict[str, Any]) -> dict[str, Any]:
    return found | {"radius": found["radius"] * np.float32(1.01)}


def _smaller_radius(found: dict[str, Any]) -> dict[str, Any]:
    return found | {"radius": np.maximum(found["radius"] - np.float32(2 * SLACK), 0)}


def _no_flips(found: dict[str, Any]) -> dict[str, Any]:
    return found | {"flips": found["flips"] * 0}


def _other_mask(found: dict[str, Any]) -> dict[str, Any]:
    return found | {"mask": 1 - found["mask"]}


def _not_a_number(found: dict[str, Any]) -> dict[str, Any]:
    return found | {"radius": found["radius"] * np.nan}


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (_larger_radius, "over-claims"),
        (_smaller_radius, "more than the slack"),
        (_no_flips, "too few flips"),
        (_other_mask, "another mask"),
        (_not_a_number, "over-claims"),
    ],
)
def test_a_silently_wrong_plan_is_caught(
    spoil: Any, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fakes = Fakes()
    fakes.spoil = spoil
    with pytest.raises(VerificationError, match=words):
        checked(fakes, monkeypatch, tiny_file())
