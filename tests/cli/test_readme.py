"""What the README and the pages say can be followed: links, commands, options, extras, targets."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import click
import pytest

from lipdeploy.cli import COMMANDS

ROOT = Path(__file__).resolve().parents[2]
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")),
    *sorted((ROOT / "docs").glob("*.md")),
]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text(encoding="utf-8")):
        if "://" not in target:
            assert (page.parent / target).exists(), target


def options(name: str) -> set[str]:
    command: click.Command = importlib.import_module(COMMANDS[name].module).command
    return {flag for each in command.params for flag in (*each.opts, *each.secondary_opts)}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_and_their_options_exist(page: Path) -> None:
    text = page.read_text(encoding="utf-8").replace("\\\n", " ")
    for words in re.findall(r"(?:^ *|`)lipdeploy ([^`\n#]*)", text, re.MULTILINE):
        name, *rest = words.split()
        if name.startswith("-") or not name.islower():  # lipdeploy --help, lipdeploy COMMAND
            continue
        assert name in COMMANDS, words
        flags = {word.partition("=")[0] for word in rest if word.startswith("--")} - {"--help"}
        assert flags <= options(name), words


def test_the_readme_names_every_command_extra_and_page() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    for name in COMMANDS:
        assert f"| `{name}` |" in text
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    extras = project.partition("[project.optional-dependencies]")[2].partition("\n[")[0]
    for extra in set(re.findall(r"^([a-z]+) = \[", extras, re.MULTILINE)) - {"dev"}:
        assert f"`{extra}`" in text, extra
    for page in (ROOT / "docs").glob("*.md"):
        assert f"docs/{page.name}" in text, page.name


def test_every_make_target_that_is_named_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        assert set(re.findall(r"(?:^ *|`)make ([a-z-]+)", text, re.MULTILINE)) <= targets, page.name
