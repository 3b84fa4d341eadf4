"""What a finished run of a sweep leaves: its figures, and the table of all of them."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path

from lipdeploy.core.errors import InputError
from lipdeploy.core.whole_file import whole_file
from lipdeploy.training.checkpoint import Checkpoint, load_checkpoint
from lipdeploy.training.results import read_results
from lipdeploy.training.sweep import Run, run_name

Row = dict[str, str]

RECORD = "sweep_run.json"
_CERTIFIED = ("crpa", "stability50")


def finished_row(run: Run) -> Row | None:
    """The row of a run that is finished, or None.

    Raises:
        InputError: the folder holds a finished run with other options.
    """
    path = run.folder / RECORD
    if not path.is_file():
        return None
    record = json.loads(path.read_text(encoding="utf-8"))
    if record["arguments"] != list(run.arguments):
        raise InputError(
            f"{run.folder} was trained with {' '.join(record['arguments'])}, not "
            f"{' '.join(run.arguments)}; use another --name or remove the folder"
        )
    return dict(record["row"])


def record_run(run: Run) -> Row | None:
    """Write the record of a run that has come to its end; None if it has not.

    The run has ended by itself or after a stop, so that `results.csv` agrees with `last.pt`.
    """
    if not (run.folder / "results.csv").is_file():
        return None
    if not _at_end(run.folder):
        return None
    row = {**run.point, "run": run_name(run.point), "state": "done"}
    row |= _figures(load_checkpoint(run.folder / "ckpt.pt"))
    with whole_file(run.folder / RECORD) as partial:
        record = {"arguments": list(run.arguments), "row": row}
        partial.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    return row


def unfinished_row(run: Run, state: str) -> Row:
    """The row of a run that stopped, failed or has not started: no figures."""
    return {**run.point, "run": run_name(run.point), "state": state}


def write_table(rows: Sequence[Row], path: Path) -> None:
    """Write rows as CSV: swept options, then run and state, then the figures."""
    columns = list(dict.fromkeys(key for row in rows for key in row))
    with whole_file(path) as partial, partial.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(rows)


def read_table(path: Path) -> list[Row]:
    """Rows of a sweep.csv.

    Raises:
        InputError: not a table of a sweep.
    """
    if not path.is_file():
        raise InputError(f"{path} is not a file; expected the sweep.csv of `lipdeploy train`")
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    if not rows or "run" not in rows[0]:
        raise InputError(f"{path} has no column 'run'; expected a sweep.csv of `lipdeploy train`")
    return rows


def _at_end(folder: Path) -> bool:
    """Whether a run that has left `last.pt` behind has all its epochs, or lost its patience."""
    last = load_checkpoint(folder / "last.pt")
    patience = int(last.training.get("patience") or 0)
    tired = 0 < patience <= int(last.progress.get("stale") or 0)
    epochs = read_results(folder).get("epoch", [0.0])
    return tired or epochs[-1] >= int(last.training["epochs"])


def _figures(best: Checkpoint) -> Row:
    """Figures of the checkpoint for export; no robust ones without a Lipschitz constraint."""
    certified = best.network.config.constraint != "none"
    metrics = {
        key: f"{value:.6f}"
        for key, value in best.metrics.items()
        if certified or not key.startswith(_CERTIFIED)
    }
    parameters = sum(p.numel() for p in best.network.parameters())
    seconds = best.training.get("processor_seconds")
    used = {} if seconds is None else {"processor_seconds": f"{seconds:.1f}"}
    return {**metrics, "parameters": str(parameters), **used}
