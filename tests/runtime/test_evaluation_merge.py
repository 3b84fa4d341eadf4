"""One run, its shards in any grouping, and nothing that is not whole."""

from __future__ import annotations

import gzip
import math
import random
import shutil
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lipdeploy.core.class_iou import worst_dataset_iou
from lipdeploy.core.content_hash import RECORD_KEY, with_entries
from lipdeploy.core.errors import InputError
from lipdeploy.runtime.evaluation.dataset_iou import worst_dataset_ious
from lipdeploy.runtime.evaluation.exact_mean import ExactMean
from lipdeploy.runtime.evaluation.record import record_from_line
from lipdeploy.runtime.evaluation.shards import shard_file
from lipdeploy.runtime.evaluation.spool import open_spool
from tests.runtime.conftest import tiny_manifest, tiny_model, tiny_record
from tests.runtime.labelled import (
    SIDE,
    certify,
    merge,
    metrics_of,
    write_all,
    write_model,
    written,
)

IMAGES = 7


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_all(tmp_path, IMAGES)


@pytest.mark.parametrize(("count", "order"), [(2, (2, 1)), (3, (3, 1, 2)), (9, range(1, 10))])
def test_shards_merge_to_the_bytes_of_one_run(
    folder: Path, count: int, order: tuple[int, ...]
) -> None:
    assert certify(folder, "whole") == 0
    for i in order:
        assert certify(folder, "parts", "--shard", f"{i}/{count}") == 0
    assert merge(folder, "parts") == 0
    assert written(folder / "whole") == written(folder / "parts")


def test_shards_that_ignore_other_classes_are_not_merged(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert certify(folder, "parts", "--shard", "1/2") == 0
    source = folder / "data.yaml"
    source.write_text(source.read_text() + "ignore: [0]\n")
    assert certify(folder, "parts", "--shard", "2/2") == 0
    assert merge(folder, "parts") == 2
    assert "data sets (by file, image names and labels)" in capsys.readouterr().err


def test_a_run_leaves_its_results_only(folder: Path) -> None:
    assert certify(folder, "run") == 0
    found = {path.name for path in (folder / "run").iterdir()}
    assert found == {"metrics.json", "per_image.csv", "curve.csv", "curve.png"}


@given(st.lists(st.floats(-1e300, 1e300), min_size=1, max_size=30), st.randoms())
def test_means_are_exact_and_independent_of_order(
    values: list[float], chance: random.Random
) -> None:
    def mean(terms: list[float]) -> float | None:
        found = ExactMean()
        for term in terms:
            found.add(term)
        return found.value()

    expected = float(sum(map(Fraction, values), Fraction()) / len(values))
    assert mean(values) == expected
    chance.shuffle(values)
    assert mean(values) == expected


def test_a_mean_of_nothing_or_of_infinity_is_none() -> None:
    mean = ExactMean()
    assert mean.value() is None
    mean.add(math.inf)
    assert mean.value() is None


def test_streamed_data_set_iou_is_that_of_all_frontiers_at_once(folder: Path) -> None:
    assert certify(folder, "one", "--shard", "1/1", "--eps", "0.1", "--eps", "0.6") == 0
    records = list(open_spool(shard_file(folder / "one", (1, 1))).records())
    found = worst_dataset_ious(lambda: records, 3, 2)
    for k in range(3):
        for e in range(2):
            frontiers = [record.certificates.frontiers[k][e] for record in records]
            assert found[k][e] == worst_dataset_iou(frontiers)


def test_records_survive_exactly(folder: Path) -> None:
    assert certify(folder, "one", "--shard", "1/1") == 0
    for record in open_spool(shard_file(folder / "one", (1, 1))).records():
        assert record_from_line(record.to_line()).to_line() == record.to_line()
        assert record.name == f"{record.index}.png"


def lines(path: Path) -> list[str]:
    return gzip.decompress(path.read_bytes()).decode().splitlines(keepends=True)


def rewrite(path: Path, text: list[str]) -> None:
    path.write_bytes(gzip.compress("".join(text).encode()))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda path: path.write_bytes(path.read_bytes()[:-100]), "not a whole shard"),
        (lambda path: path.write_bytes(b""), "not a whole shard"),
        (lambda path: path.write_text("{"), "not a whole shard"),
        (lambda path: rewrite(path, lines(path)[:-1]), "breaks off before image"),
        (lambda path: rewrite(path, lines(path)[:1]), "breaks off before image 1"),
        (lambda path: rewrite(path, [*lines(path), lines(path)[-1]]), "out of turn"),
        (lambda path: rewrite(path, [*lines(path)[:2], "{}\n"]), "not a whole shard"),
        (lambda path: rewrite(path, ["[]\n"]), "not a whole shard"),
        (
            lambda path: rewrite(path, [lines(path)[0].replace('"schema": 4', '"schema": 1')]),
            "another schema than 4",
        ),
    ],
)
def test_a_broken_spool_is_refused_and_nothing_written(
    folder: Path, damage: object, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for i in (1, 2):
        assert certify(folder, "p", "--shard", f"{i}/2") == 0
    path = shard_file(folder / "p", (2, 2))
    assert callable(damage)
    damage(path)
    assert merge(folder, "p") == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert message in error
    assert path.name in error
    assert {each.suffix for each in (folder / "p").iterdir()} == {".gz"}


def test_a_killed_run_leaves_nothing_that_merges(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert certify(folder, "p", "--shard", "1/2") == 0
    done = shard_file(folder / "p", (1, 2))
    shutil.copy(done, shard_file(folder / "p", (2, 2)).with_name("shard-000002.jsonl.gz.partial"))
    assert merge(folder, "p") == 2
    assert "missing shard-000002-of-000002.jsonl.gz" in capsys.readouterr().err


def test_a_failed_run_leaves_nothing(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "images/val/5.png").write_bytes(b"no image")
    for args in ((), ("--shard", "1/1")):
        assert certify(folder, "p", *args) == 2
        assert "5.png cannot be decoded" in capsys.readouterr().err
        assert list((folder / "p").iterdir()) == []


def test_a_shard_that_is_there_twice(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert certify(folder, "p", "--shard", "1/2") == 0
    shutil.copy(shard_file(folder / "p", (1, 2)), shard_file(folder / "p", (2, 2)))
    assert merge(folder, "p") == 2
    assert "are both shard 1/2; remove one" in capsys.readouterr().err


def other_model(folder: Path) -> None:
    write_model(folder, slack=1e-9)


def other_names(folder: Path) -> None:
    for kind in ("images", "masks"):
        (folder / kind / "val/6.png").rename(folder / kind / "val/7.png")


def one_image_less(folder: Path) -> None:
    (folder / "images/val/6.png").unlink()


def nothing(_folder: Path) -> None:
    """The flags differ."""


@pytest.mark.parametrize(
    ("change", "flags", "what"),
    [
        (other_model, (), "models"),
        (nothing, ("--eps", "0.3"), "budgets (--eps)"),
        (nothing, ("--gamma-fnr", "0.5"), "targets"),
        (nothing, ("--split", "train"), "splits"),
        (other_names, (), "data sets"),
        (one_image_less, (), "data sets"),
        (nothing, ("--roi", "roi.png"), "regions of interest (--roi)"),
    ],
)
def test_shards_of_different_runs(
    folder: Path,
    change: object,
    flags: tuple[str, ...],
    what: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(folder)
    cv2.imwrite("roi.png", np.eye(16, dtype=np.uint8))
    assert certify(folder, "p", "--shard", "1/2") == 0
    assert callable(change)
    change(folder)
    assert certify(folder, "p", "--shard", "2/2", *flags) == 0
    assert merge(folder, "p") == 2
    assert f"are of different {what}" in capsys.readouterr().err


def test_shards_of_different_counts(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert certify(folder, "p", "--shard", "1/2") == 0
    assert certify(folder, "p", "--shard", "2/3") == 0
    assert merge(folder, "p") == 2
    assert "different numbers of shards" in capsys.readouterr().err


def test_merge_takes_no_flags_of_a_run(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert merge(folder, "p", "--eps", "0.1", "--roi", "x.png") == 2
    assert "--merge takes all from the shards; leave out --eps, --roi" in capsys.readouterr().err


def test_merge_prints_the_chosen_tables(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert certify(folder, "p", "--shard", "1/1") == 0
    assert merge(folder, "p", "--metric", "iou") == 0
    out = capsys.readouterr().out
    assert "class IoU" in out
    assert "CRPA" not in out
    assert metrics_of(folder / "p")["images"] == IMAGES


def test_shards_of_files_with_one_manifest_and_another_content(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A changed graph need not change the hash of the weights that the manifest carries."""
    assert certify(folder, "two", "--shard", "1/2") == 0
    manifest = tiny_manifest(SIDE, SIDE)
    model = tiny_model(manifest)
    model.graph.node[0].doc_string = "not the same file"
    data = model.SerializeToString()
    entries = {RECORD_KEY: tiny_record(data, manifest).to_text()}
    (folder / "tiny.onnx").write_bytes(with_entries(data, entries))
    assert certify(folder, "two", "--shard", "2/2") == 0
    assert merge(folder, "two") == 2
    assert "different models" in capsys.readouterr().err.splitlines()[-1]


def test_a_spool_that_another_run_has_written_over_is_refused(folder: Path) -> None:
    assert certify(folder, "a", "--shard", "1/1", "--eps", "0.1") == 0
    mine = open_spool(shard_file(folder / "a", (1, 1)))
    assert certify(folder, "b", "--shard", "1/1", "--eps", "0.2") == 0
    shard_file(folder / "b", (1, 1)).replace(mine.path)
    with pytest.raises(InputError, match="another run has written over it"):
        list(mine.records())
