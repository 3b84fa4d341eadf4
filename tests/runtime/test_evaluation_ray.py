"""`certify --ray` on a local cluster of two workers."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.runtime.labelled import certify, write_data, write_model, written


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    write_data(tmp_path, 5)
    write_model(tmp_path)
    return tmp_path


def test_without_ray_one_line_says_how_to_get_it(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delitem(sys.modules, "lipdeploy.runtime.evaluation.ray_job", raising=False)
    monkeypatch.setitem(sys.modules, "ray", None)
    assert certify(folder, "r", "--ray") == 2
    assert 'pip install "lipdeploy[ray]"' in capsys.readouterr().err.splitlines()[-1]
    assert list((folder / "r").iterdir()) == []


@pytest.mark.slow
def test_two_workers_give_the_bytes_of_one_run(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ray = pytest.importorskip("ray")
    assert certify(folder, "plain") == 0
    with_ray = ("--ray", "--workers", "2")
    ray.init(
        address="local", num_cpus=2, include_dashboard=False, object_store_memory=100 * 2**20,
        log_to_driver=False,
    )  # fmt: skip
    try:
        assert certify(folder, "ray", *with_ray) == 0
        assert written(folder / "plain") == written(folder / "ray")
        (folder / "images/val/3.png").write_bytes(b"no image")
        assert certify(folder, "broken", *with_ray) == 2
        assert "3.png cannot be decoded" in capsys.readouterr().err.splitlines()[-1]
        assert ray.is_initialized()
    finally:
        ray.shutdown()
