"""A data set certified in parts: which part, where it is written, which parts make a whole."""

from __future__ import annotations

import re
import resource
from collections.abc import Sequence
from pathlib import Path

from lipdeploy.core.errors import InputError
from lipdeploy.runtime.evaluation.spool import Spool, open_spool

_OTHER_FILES = 50  # that a process has open besides


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
    return folder / f"shard-{shard[0]:06d}-of-{shard[1]:06d}.jsonl.gz"


def open_shards(folder: Path) -> list[Spool]:
    """All shards in a folder, which together hold every image once.

    Raises:
        InputError: none, one that is missing, broken or there twice, or shards of different runs.
    """
    files = sorted(folder.glob("shard-*.jsonl.gz"))
    if not files:
        raise InputError(f"{folder} holds no shard-*.jsonl.gz; run `certify --shard i/n` first")
    _check_file_limit(len(files))
    spools = [open_spool(path) for path in files]
    for spool in spools[1:]:
        what = spools[0].header.difference(spool.header)
        if what:
            raise InputError(
                f"{spools[0].path} and {spool.path.name} are of different {what}; "
                "remove what does not belong to the run, or run it again"
            )
    _check_complete(folder, spools)
    return spools


def _check_file_limit(shards: int) -> None:
    """All shards are read side by side: say so before the first one is."""
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if shards + _OTHER_FILES > limit:
        raise InputError(
            f"{shards} shards are read at once, and this shell allows {limit} open files; "
            f"run `ulimit -n {shards + 2 * _OTHER_FILES}` first, or use fewer shards"
        )


def _check_complete(folder: Path, spools: Sequence[Spool]) -> None:
    found: dict[tuple[int, int], Path] = {}
    for spool in spools:
        shard = spool.header.shard
        if shard in found:
            raise InputError(
                f"{found[shard]} and {spool.path.name} are both shard {shard[0]}/{shard[1]}; "
                "remove one"
            )
        found[shard] = spool.path
    count = spools[0].header.shard[1]
    wanted = [(i, count) for i in range(1, count + 1)]
    missing = [shard_file(folder, shard).name for shard in wanted if shard not in found]
    if missing:
        raise InputError(
            f"{folder} holds {len(spools)} of {count} shards, missing {', '.join(missing[:5])}"
            f"{f' and {len(missing) - 5} more' if len(missing) > 5 else ''}; run them"
        )
