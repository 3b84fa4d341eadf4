"""OpenVINO: float32 and nothing less, its refusals, and no reports to its maker."""

from __future__ import annotations

import dataclasses
import functools
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from lipdeploy.cli import main
from lipdeploy.core.errors import ArtefactError, VerificationError
from lipdeploy.runtime import openvino_session
from lipdeploy.runtime.model_file import read_model
from lipdeploy.runtime.openvino_package import openvino
from lipdeploy.runtime.session import open_session

SCENE = "test://scene?seed=3&duration=100ms&size=64x48&fps=20"
Image = npt.NDArray[np.uint8]


def image(seed: int = 0) -> Image:
    return np.random.default_rng(seed).integers(0, 256, (48, 64, 3), np.uint8)


def test_what_openvino_returned_stays_when_it_runs_again(model_path: Path) -> None:
    with open_session(model_path, "openvino") as session:
        first = session.infer(image(1), [0.1])
        kept = first.mask.copy(), first.radius.copy()
        session.infer(image(2), [0.1])
    assert np.array_equal(first.mask, kept[0])
    assert np.array_equal(first.radius, kept[1])


def test_openvino_checks_the_interface_and_the_metadata(
    make_model: Callable[..., Path], model_path: Path
) -> None:
    with pytest.raises(VerificationError, match="input 'image' is"):
        open_session(make_model(size=(24, 32)), "openvino")
    file = read_model(model_path)
    lying = dict(file.content.metadata) | {"names": "{0: 'other'}"}
    content = dataclasses.replace(file.content, metadata=lying)
    with pytest.raises(VerificationError, match="other metadata"):
        openvino_session.open_model(dataclasses.replace(file, content=content), 1)


def test_openvino_refuses_what_it_cannot_load(model_path: Path) -> None:
    file = read_model(model_path)
    broken = dataclasses.replace(file, data=file.data[:-200])
    with pytest.raises(VerificationError, match="cannot be loaded as ONNX") as caught:
        openvino_session.open_model(broken, 1)
    assert "\n" not in str(caught.value)


def test_openvino_computes_in_float32_and_says_where_it_does_not(model_path: Path) -> None:
    core = openvino.Core()
    compiled = openvino_session.compiled_model(core.read_model(model_path.read_bytes()), 1)
    found = openvino_session.precisions(compiled.get_runtime_model())
    assert found
    assert not {"bf16", "f16"} & set(found.values())
    with pytest.raises(ArtefactError, match="compute conv1 in bf16 on this device"):
        openvino_session.check_float32("f32", {"relu": "f32", "conv1": "bf16"})
    with pytest.raises(ArtefactError, match="everything in f16"):
        openvino_session.check_float32("f16", {})


def test_a_model_compiled_otherwise_is_refused(
    model_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A processor with bf16 that ignores the hint, as far as the session can see."""
    monkeypatch.setattr(openvino_session, "precisions", lambda model: {"conv": "bf16"})
    args = ["stream", "--model", str(model_path), "--source", SCENE, "--sink", "null"]
    assert main([*args, "--engine", "openvino", "--unverified"]) == 6
    err = capsys.readouterr().err
    assert "would compute conv in bf16" in err
    assert err.count("\n") == 1


def test_signals_are_handled_after_sessions_were_closed_in_the_order_of_opening(
    model_path: Path,
) -> None:
    """With a Core for each session the kernel finds no stack for the handler and kills."""
    code = f"""
import signal
from lipdeploy.runtime.session import open_session
handled = []
signal.signal(signal.SIGINT, lambda number, frame: handled.append(number))
first, second = (open_session({str(model_path)!r}, "openvino") for _ in range(2))
first.close()
del first
second.close()
del second
signal.raise_signal(signal.SIGINT)
assert handled == [signal.SIGINT]
"""
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_threads_that_ask_at_once_share_the_core(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[object] = []

    def slow() -> object:
        time.sleep(0.05)
        made.append(object())
        return made[-1]

    # The Core of this process stays: that is what the test above is about.
    monkeypatch.setattr(openvino_session, "_made_core", functools.cache(slow))
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: openvino_session._core(), range(4)))
    assert len(made) == 1
    assert found == made * 4


def test_openvino_reports_to_nobody() -> None:
    """`import openvino` alone sends an event and keeps an identifier in the home folder."""
    code = """
import socket, sys
def refuse(*args, **kwargs):
    raise SystemExit(f"connects to {args}")
socket.socket.connect = socket.getaddrinfo = refuse
import lipdeploy.runtime.openvino_session
assert "openvino" in sys.modules
assert not [m for m in sys.modules if m.startswith("openvino_telemetry.")]
"""
    with tempfile.TemporaryDirectory() as home:
        done = subprocess.run(
            [sys.executable, "-c", code], env={**os.environ, "HOME": home}, check=False
        )
        assert done.returncode == 0
        assert not list(Path(home).iterdir())
