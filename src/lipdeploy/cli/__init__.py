"""The command line: which commands there are, and how a failure is told.

A command's module is imported when the command is called, so `lipdeploy --help` imports no room.
A module `lipdeploy.cli.<name>` holds one click command named `command`; it may return an integer,
which becomes the exit code. Whatever it raises ends here as one line on standard error:

    LipdeployError, OSError     `lipdeploy: error: ...`, the error's `exit_code` or 1
    click.UsageError            the same with a hint below, 2
    ModuleNotFoundError         names the extra to install, 2
    anything else               `lipdeploy: internal error: ...`, 1

`LIPDEPLOY_DEBUG=1` adds the traceback.
"""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Sequence

import click
from click.exceptions import NoArgsIsHelpError

from lipdeploy import __version__
from lipdeploy.cli.lazy_group import Entry, LazyGroup
from lipdeploy.core.errors import LipdeployError

COMMANDS = {
    "demo": Entry("lipdeploy.cli.demo", "Stream the bundled clip through the bundled model."),
    "train": Entry("lipdeploy.cli.train", "Train a 1-Lipschitz segmentation network."),
    "export": Entry("lipdeploy.cli.export", "Turn a checkpoint into one verified ONNX file."),
    "verify": Entry("lipdeploy.cli.verify", "Prove an ONNX file's Lipschitz bound from the file."),
    "certify": Entry("lipdeploy.cli.certify", "Certify a model file on labelled data."),
    "calibrate": Entry(
        "lipdeploy.cli.calibrate", "Bring a file to fp16, INT8, INT16 or another engine."
    ),
    "attack": Entry("lipdeploy.cli.attack", "Attack a network and compare with its certificate."),
    "build": Entry("lipdeploy.cli.build", "Build a TensorRT plan on this device."),
    "stream": Entry("lipdeploy.cli.stream", "Segment a video source and show what is stable."),
    "bench": Entry("lipdeploy.cli.bench", "Measure the stages of a model on this device."),
    "inspect": Entry("lipdeploy.cli.inspect", "Print what is inside an ONNX file."),
    "cameras": Entry("lipdeploy.cli.cameras", "List cameras, what they deliver and what is wrong."),
    "doctor": Entry("lipdeploy.cli.doctor", "Say what this machine can run, and how to fix it."),
}


@click.group(cls=LazyGroup, entries=COMMANDS)
@click.version_option(__version__, prog_name="lipdeploy")
def cli() -> None:
    """Certified 1-Lipschitz semantic segmentation, from training to live video."""


def main(args: Sequence[str] | None = None) -> int:
    """Run the command line and return the process exit code; never raises an `Exception`."""
    try:
        code = cli.main(args=args, prog_name="lipdeploy", standalone_mode=False)
        sys.stdout.flush()
    except BrokenPipeError:
        _discard_output()
        return 1
    except click.Abort:  # a Ctrl-C that the command did not handle itself
        return 130
    except Exception as error:
        return _report(error)
    return code if isinstance(code, int) else 0


def _report(error: Exception) -> int:
    """Tell `error` in one line on standard error and return its exit code."""
    if os.environ.get("LIPDEPLOY_DEBUG", "0") not in {"", "0"}:
        traceback.print_exception(error)
    if isinstance(error, NoArgsIsHelpError):
        error.show()
        return error.exit_code
    if isinstance(error, click.ClickException):
        _print_line("error", error.format_message())
        _print_hint(error)
        return error.exit_code
    if isinstance(error, (LipdeployError, OSError)):
        _print_line("error", str(error))
        return getattr(error, "exit_code", 1)
    advice = "please report; run with LIPDEPLOY_DEBUG=1 for the traceback"
    _print_line("internal error", f"{type(error).__name__}: {error}; {advice}")
    return 1


def _print_line(kind: str, message: str) -> None:
    click.echo(f"lipdeploy: {kind}: {' '.join(message.split())}", err=True)


def _print_hint(error: click.ClickException) -> None:
    if isinstance(error, click.UsageError) and error.ctx is not None:
        click.echo(f"Try '{error.ctx.command_path} --help'.", err=True)


def _discard_output() -> None:
    """Keep the interpreter's last flush from complaining about a reader that went away."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
