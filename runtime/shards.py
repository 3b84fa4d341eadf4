"""A data set certified in parts: each part's evaluation as a file, and their exact union."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lipdeploy.core.class_iou import IouFrontier
from lipdeploy.core.errors import InputError
from lipdeploy.core.manifest import manifest_from_metadata
from lipdeploy.runtime.evaluation import Evaluation, ImageRow

SCHEMA = 1


def parse_shard(text: str) -> tuple[int, int]:
    """`i/n` with 1 <= i <= n.

    Raises:
        InputError: anything else.
    """
    found = re.fullmatch(r"(\d{1,6})/(\d{1,6})", text)
    if not found or not 1 <= int(found[1]) <= int(found[2]):
        raise InputError(f"--shard is {text!r}; expected i/n such as 2/8, with i from 1 to n")
    return int(found[1]), int(found[2])


def shard_file(folder: Path, shard: tuple[int, int]) -> Path:
    """Where a shard is written."""
    return folder / f"shard-{shard[0]:06d}-of-{shard[1]:06d}.json"


def write_shard(path: Path, evaluation: Evaluation) -> None:
    """Write a part; numbers survive exactly."""
    frontiers = {
        key: [[f.hits, f.union, f.lost.tolist(), f.gained.tolist()] for f in found]
        for key, found in evaluation.frontiers.items()
    }
    record = {
        "schema": SCHEMA,
        "manifest": evaluation.manifest.to_metadata(),
        "eps": evaluation.eps,
        "rows": [vars(row) for row in evaluation.rows],
        "confusion": evaluation.confusion.tolist(),
        "frontiers": frontiers,
    }
    path.write_text(json.dumps(record), encoding="utf-8")


def merge(folder: Path) -> Evaluation:
    """The union of all shards in a folder: the same figures, to the last digit, as one run.

    Raises:
        InputError: no shards, a missing one, or shards of different models, budgets or counts.
    """
    files = sorted(folder.glob("shard-*-of-*.json"))
    if not files:
        raise InputError(f"{folder} holds no shard-*.json; run `certify --shard i/n` first")
    counts = {int(path.stem.split("-of-")[1]) for path in files}
    expected = [shard_file(folder, (i, max(counts))) for i in range(1, max(counts) + 1)]
    missing = [path.name for path in expected if path not in files]
    if len(counts) > 1 or missing:
        raise InputError(
            f"{folder} holds {len(files)} shards of {sorted(counts)}; "
            f"missing {', '.join(missing) or 'none'}; finish or remove the others"
        )
    return _union([_read(path) for path in files])


def _read(path: Path) -> dict[str, Any]:
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(f"{path} is not a whole shard ({error}); run it again") from error
    if not isinstance(record, dict) or record.get("schema") != SCHEMA:
        raise InputError(f"{path} is not a shard of schema {SCHEMA}; run it again")
    return record


def _union(records: Sequence[dict[str, Any]]) -> Evaluation:
    first = records[0]
    if any((r["manifest"], r["eps"]) != (first["manifest"], first["eps"]) for r in records):
        raise InputError("the shards are of different models or budgets; run them again")
    manifest = manifest_from_metadata(first["manifest"], "the shard")
    merged = Evaluation(manifest, tuple(first["eps"]))
    rows = [ImageRow(**row) for record in records for row in record["rows"]]
    merged.rows = sorted(rows, key=lambda row: row.index)
    merged.confusion = np.sum([r["confusion"] for r in records], axis=0, dtype=np.int64)
    for record in records:
        for key, found in record["frontiers"].items():
            merged.frontiers.setdefault(key, []).extend(_frontier(each) for each in found)
    return merged


def _frontier(fields: list[Any]) -> IouFrontier:
    hits, union, lost, gained = fields
    return IouFrontier(hits, union, np.array(lost, np.int64), np.array(gained, np.int64))
