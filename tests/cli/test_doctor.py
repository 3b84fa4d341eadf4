"""`lipdeploy doctor`: what it says of machines that it is told about, and of this one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lipdeploy.cli import main
from lipdeploy.cli.doctor import text
from lipdeploy.runtime.devices import Camera
from lipdeploy.runtime.doctor import Check, Report, engines, hardware, surroundings
from lipdeploy.runtime.doctor.check import probed

CPUINFO = "model name\t: Some CPU  v4\nflags\t\t: fpu avx2 fma avx512_vnni\n"
MEMINFO = "MemTotal:       16777216 kB\nMemFree: 1 kB\nMemAvailable:    8388608 kB\n"


def test_this_machine_runs_the_bundled_model(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["runs_bundled_model"] is True
    names = {check["name"] for group in found["checks"].values() for check in group}
    assert {"python", "opencv", "onnxruntime", "cpu", "memory", "display", "disk"} <= names


def test_exit_code_6_where_no_engine_runs_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = [
        Check("onnxruntime", "fail", "does not run x: illegal instruction", "see the message")
    ]
    report = Report({"Engines": broken}, False)
    monkeypatch.setattr("lipdeploy.cli.doctor.examine", lambda folder: report)
    assert main(["doctor"]) == 6
    out = capsys.readouterr().out
    assert "  onnxruntime  FAIL does not run x: illegal instruction\n" in out
    assert "fix: see the message" in out
    assert "does NOT run here; 1 thing to look at" in out


def test_a_model_that_does_not_load_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines, "MODEL", "missing.onnx")
    checks, works = engines.engine_checks()
    assert not works
    assert checks[0].status == "fail"
    assert "missing.onnx" in checks[0].detail


def test_lines_fit_into_80_columns() -> None:
    long = Check("video input", "warn", "word " * 60, "command " * 30)
    lines = text(Report({"Software": [long]}, True)).splitlines()
    assert max(map(len, lines)) <= 79


def test_probes_survive_crashes_and_hangs() -> None:
    assert probed("import os; os.abort()")["error"] == "it crashed with signal 6"
    assert probed("import time; time.sleep(60)", timeout_s=0.5)["error"] == "no answer within 0.5 s"
    assert probed("raise SystemExit('broken')")["error"] == "broken"
    assert probed("import sys; print(sys.argv[1])", '{"a": 1}') == {"a": 1}


def test_cpu_and_memory() -> None:
    check = hardware.cpu(CPUINFO)
    assert check.status == "ok"
    assert check.detail.startswith("Some CPU v4, ")
    assert check.detail.endswith("avx2, fma, avx512_vnni")
    assert hardware.cpu("flags : fpu\n").status == "warn"
    assert hardware.memory(MEMINFO, None).detail == "8.0 of 16.0 GiB available"
    tight = hardware.memory(MEMINFO, 256 * 2**20)
    assert tight.status == "warn"
    assert "container may use 0.2 GiB" in tight.detail


def test_display_is_one_line_where_there_is_none() -> None:
    check = surroundings.display({})
    assert check.status == "info"
    assert "DISPLAY is not set" in check.detail


def test_a_display_that_cannot_be_used_is_found_without_dying() -> None:
    check = surroundings.display({"DISPLAY": ":97"})
    assert check.status == "warn"
    assert check.fix


def test_camera_problem_brings_its_fix() -> None:
    bad = Camera("/dev/video0", problem="you may not open it", fix="`sudo usermod ...`")
    check = surroundings.cameras([bad])
    assert (check.status, check.fix) == ("warn", "`sudo usermod ...`")
    assert surroundings.cameras([]).status == "info"
    good = Camera("/dev/video2", name="C920", kind="camera")
    assert surroundings.cameras([good]).detail.startswith("/dev/video2 C920")


def test_limits(tmp_path: Path) -> None:
    assert surroundings.files(256).fix == "ulimit -n 1024"
    assert surroundings.files(-1).detail == "no limit"
    assert surroundings.disk(tmp_path / "not" / "there").detail.endswith("not/there")
    few = tmp_path / "watches"
    few.write_text("100\n")
    assert surroundings.inotify(few).status == "warn"
    assert surroundings.inotify(tmp_path / "none").status == "info"


def test_cameras_without_a_camera(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["cameras", "--json"]) == 0
    assert isinstance(json.loads(capsys.readouterr().out), list)
