"""A click group that knows its commands by name and imports each one when it is called."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any, NamedTuple

import click

from lipdeploy.core.errors import InputError

# What `pip install` has to name so that a module is there; the first match wins.
REQUIREMENTS = {
    "lipdeploy": ("numpy", "onnxruntime", "cv2", "yaml"),
    "lipdeploy[export]": ("onnx", "onnxscript", "onnx_ir", "threadpoolctl", "torch"),
    "lipdeploy[train]": ("torch", "tqdm", "matplotlib"),
    "lipdeploy[calibrate]": ("onnx", "threadpoolctl", "tqdm"),
    "lipdeploy[certify]": ("matplotlib",),
    "lipdeploy[ray]": ("ray", "pyarrow", "pandas"),
    "lipdeploy[sign]": ("cryptography",),
    "lipdeploy[openvino]": ("openvino",),
}


class Entry(NamedTuple):
    """Where a command lives and its one line of help, so that listing it imports nothing."""

    module: str
    help: str


class LazyGroup(click.Group):
    """A group over a table of entries; an entry whose module does not exist is not listed."""

    def __init__(self, *args: Any, entries: Mapping[str, Entry], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.entries = entries

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of the commands that exist, in the table's order."""
        return [name for name, entry in self.entries.items() if _exists(entry.module)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return one command, or None if there is no such command."""
        if cmd_name not in self.list_commands(ctx):
            return None
        module = importlib.import_module(self.entries[cmd_name].module)
        command: click.Command = module.command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands from the table."""
        rows = [(name, self.entries[name].help) for name in self.list_commands(ctx)]
        if rows:
            with formatter.section("Commands"):
                formatter.write_dl(rows)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command that `args` names; a near miss is answered with a suggestion.

        Raises:
            click.UsageError: there is no such command.
        """
        names = self.list_commands(ctx)
        if args[0] not in names and not ctx.resilient_parsing:
            near = get_close_matches(args[0], names, n=1)
            advice = f"did you mean '{near[0]}'?" if near else f"choose from {', '.join(names)}"
            raise click.UsageError(f"no such command '{args[0]}'; {advice}", ctx)
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command.

        Raises:
            InputError: the command needs a package that is not installed.
        """
        try:
            return super().invoke(ctx)
        except ModuleNotFoundError as error:
            requirement = _requirement(error.name or "", ctx.invoked_subcommand or "")
            if requirement is None:
                raise
            raise InputError(
                f"'lipdeploy {ctx.invoked_subcommand}' needs {error.name}, "
                f'which is not installed: pip install "{requirement}"'
            ) from error


def _exists(module: str) -> bool:
    """Whether a module could be imported; only its package is."""
    return importlib.util.find_spec(module) is not None


def _requirement(module: str, command: str) -> str | None:
    """What to install for `module`: the extra named like `command` if it brings the module."""
    package = module.partition(".")[0]
    found = [name for name, packages in REQUIREMENTS.items() if package in packages]
    return max(found, key=lambda name: name == f"lipdeploy[{command}]", default=None)
