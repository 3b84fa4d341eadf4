"""`certify --ray` on a local cluster of two workers."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from lipdeploy.core.dataset import load_dataset
from lipdeploy.runtime.evaluation.job import make_job
from lipdeploy.runtime.evaluation.questions import Questions
from lipdeploy.runtime.session import open_session
from tests.runtime.conftest import CLASSES
from tests.runtime.labelled import certify, write_all, write_model, written

TERMS = (False, ())  # a valid record, no signature asked for


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")  # set here, so that it ends with the test
    monkeypatch.setenv("RAY_BACKEND_LOG_LEVEL", "fatal")
    return write_all(tmp_path, 5)


def test_without_ray_one_line_says_how_to_get_it(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delitem(sys.modules, "lipdeploy.runtime.evaluation.ray_job", raising=False)
    monkeypatch.setitem(sys.modules, "ray", None)
    assert certify(folder, "r", "--ray") == 2
    assert 'pip install "lipdeploy[ray]"' in capsys.readouterr().err.splitlines()[-1]
    assert list((folder / "r").iterdir()) == []


def test_a_worker_hands_on_what_went_wrong(folder: Path) -> None:
    ray_job = pytest.importorskip("lipdeploy.runtime.evaluation.ray_job")
    with open_session(folder / "tiny.onnx") as session:
        dataset = load_dataset(folder / "data.yaml")
        job = make_job(session, dataset, "val", Questions(CLASSES, (0.1,)))
    (folder / "images/val/3.png").write_bytes(b"no image")
    worker = ray_job.Certifier(folder / "tiny.onnx", TERMS, job, [None], (1, None))
    files = [str(task.pair.image) for task in job.tasks]
    masks = [str(task.pair.mask) for task in job.tasks]
    batch = {"index": range(5), "name": files, "image": files, "mask": masks, "labels": [0] * 5}
    rows = list(worker(batch))
    assert [row["kind"] for row in rows] == [[""], [""], [""], ["InputError"], [""]]
    assert "3.png cannot be decoded" in rows[3]["message"][0]
    other = ray_job.Certifier(
        write_model(folder, "other.onnx", slack=1e-9), TERMS, job, [None], (1, None)
    )
    row = next(other({key: values[:1] for key, values in batch.items()}))
    assert "is another file on a worker" in row["message"][0]


@pytest.mark.slow
def test_two_workers_give_the_bytes_of_one_run(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ray = pytest.importorskip("ray")
    assert certify(folder, "plain") == 0
    assert certify(folder, "ray", "--ray", "--workers", "2") == 0
    assert written(folder / "plain") == written(folder / "ray")
    assert not ray.is_initialized()
    assert "INFO" not in capsys.readouterr().err
