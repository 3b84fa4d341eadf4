"""`lipdeploy doctor`: what this machine can run, and the command that fixes what it cannot."""

from __future__ import annotations

import dataclasses
import textwrap
from pathlib import Path

import click

from lipdeploy.cli.json_text import json_text
from lipdeploy.cli.plain_text import printable
from lipdeploy.core.errors import ArtefactError
from lipdeploy.runtime.doctor import Check, Report, examine

HELP = """Say what this machine can run: versions, engines, processor, cameras, display, limits.

The bundled model is run on every engine. Exit code 0 when one runs it, else 6.

\b
Example: lipdeploy doctor
"""

_MARKS = {"ok": "ok", "info": "-", "warn": "!", "fail": "FAIL"}
_WIDTH = 79
_INDENT = 20


@click.command("doctor", help=HELP)
@click.option(
    "--project",
    type=click.Path(path_type=Path),
    default=Path("runs"),
    show_default=True,
    help="Folder where recordings would go.",
)
@click.option("--json", "as_json", is_flag=True, help="Print everything as JSON.")
def command(project: Path, as_json: bool) -> int:
    """Say what this machine can run."""
    report = examine(project)
    click.echo(json_text(fields(report)) if as_json else text(report))
    return 0 if report.runs else ArtefactError.exit_code


def fields(report: Report) -> dict[str, object]:
    """The report for other programs."""
    groups = {
        title: [dataclasses.asdict(check) for check in checks]
        for title, checks in report.checks.items()
    }
    return {"runs_bundled_model": report.runs, "checks": groups}


def text(report: Report) -> str:
    """The report for people, at most 79 columns wide."""
    lines: list[str] = []
    for title, checks in report.checks.items():
        lines += [title, *(row for check in checks for row in _rows(check)), ""]
    return "\n".join([*lines, _verdict(report)])


def _rows(check: Check) -> list[str]:
    head = f"  {check.name:<12} {_MARKS[check.status]:<5}"
    rows = _wrapped(check.detail, head)
    return rows + (_wrapped(check.fix, " " * _INDENT + "fix: ") if check.fix else [])


def _wrapped(words: str, head: str) -> list[str]:
    return textwrap.wrap(
        printable(words),
        _WIDTH,
        initial_indent=head,
        subsequent_indent=" " * max(_INDENT, len(head)),
        break_on_hyphens=False,
    )


def _verdict(report: Report) -> str:
    count = len(report.problems)
    problems = f"{count} thing{'s' * (count != 1)} to look at (marked ! or FAIL)"
    runs = "runs" if report.runs else "does NOT run"
    return f"The bundled model {runs} here; {problems if count else 'nothing to fix'}."
