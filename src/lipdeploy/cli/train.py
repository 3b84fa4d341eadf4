"""`lipdeploy train`: a Lipschitz network on the user's data."""

from __future__ import annotations

import importlib
import signal
import types
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
import torch
import yaml
from tqdm import tqdm

from lipdeploy.cli.sectioned_command import SectionedCommand
from lipdeploy.cli.train_options import SECTIONS
from lipdeploy.cli.train_sweep import SweepCommand
from lipdeploy.core.dataset import load_dataset
from lipdeploy.core.errors import ArtefactError, InputError
from lipdeploy.training.checkpoint import load_checkpoint
from lipdeploy.training.distributed import local_rank, process_group
from lipdeploy.training.loop import Trainer
from lipdeploy.training.loss import temperature_for
from lipdeploy.training.progress import Step
from lipdeploy.training.results import plot_results, trim_results
from lipdeploy.training.settings import Settings

HELP = """Train a 1-Lipschitz segmentation network.

The data set is a YAML file with the keys path, train, val, masks_dir and names:

\b
    path: /data/polyps        # relative to the YAML file; ${VARIABLES} are expanded
    train: images/train
    val: images/val
    masks_dir: masks          # masks/train/x.png belongs to images/train/x.jpg
    names: {0: background, 1: polyp}

Masks are single-channel PNG files of class ids; 255 is ignored. `layout: cityscapes`,
`oxford-iiit-pet` or `kvasir-seg` reads the authors' folders (docs/data.md). Results go to
runs/train/NAME: ckpt.pt (best, for `lipdeploy export`), last.pt (for --resume), args.yaml,
results.csv and results.png. Ctrl-C stops after the current step and keeps both.

\b
Example: lipdeploy train --data polyps.yaml --imgsz 128 --epochs 60 --name polyps
Several GPUs or processes: torchrun --nproc-per-node 2 -m lipdeploy train --data ...
"""


class _TrainCommand(SweepCommand, SectionedCommand):
    """Options under headings, and `--sweep`."""


@click.command(cls=_TrainCommand, sections=SECTIONS, help=HELP)
def command(
    data: Path,
    project: Path,
    name: str,
    resume: bool,
    threads: int | None,
    tau: float | None,
    eps: float,
    device: str,
    **options: Any,
) -> int:
    """Train a 1-Lipschitz segmentation network."""
    if options["tensorboard"]:
        _require_tensorboard()
    if threads:
        torch.set_num_threads(threads)
    settings = Settings(
        data=data,
        folder=project / name,
        temperature=tau or temperature_for(eps),
        eps=eps,
        device=_device(device),
        **options,
    )
    with process_group(torch.device(settings.device)):
        trainer = Trainer(settings, load_dataset(data))
        _prepare(trainer, resume)
        _run(trainer)
        if trainer.rank == 0:
            _conclude(trainer)
    return 0


def _require_tensorboard() -> None:
    """Tell of a missing package before anything is read or written."""
    try:
        importlib.import_module("lipdeploy.training.event_file")
    except ModuleNotFoundError as error:
        raise InputError(
            f"--tensorboard needs {error.name}, which is not installed: "
            'pip install "lipdeploy[tensorboard]"'
        ) from error


def _device(name: str) -> str:
    if name in {"auto", "cuda"} and torch.cuda.is_available():
        return f"cuda:{local_rank()}"
    if name == "auto":
        return "cpu"
    if name.startswith("cuda") and not torch.cuda.is_available():
        raise ArtefactError(f"--device {name}: torch sees no GPU here; use --device cpu")
    if name != "cpu" and not name.startswith("cuda"):
        raise InputError(f"--device is {name!r}; expected auto, cpu or cuda")
    return name


def _prepare(trainer: Trainer, resume: bool) -> None:
    """Make the run's folder or continue the run that is in it."""
    settings = trainer.settings
    last = settings.folder / "last.pt"
    if resume:
        trainer.resume(load_checkpoint(last))
    elif last.exists():
        raise InputError(f"{settings.folder} holds a run already; use --resume or another --name")
    if trainer.rank:
        return
    for note in trainer.notes:
        click.echo(f"note: {note}", err=True)
    if resume:
        trim_results(settings.folder, trainer.step // trainer.per_epoch)
        return
    settings.folder.mkdir(parents=True, exist_ok=True)
    (settings.folder / "args.yaml").write_text(yaml.safe_dump(settings.record()), encoding="utf-8")


def _run(trainer: Trainer) -> None:
    """Train with a progress bar until the end or a signal."""
    with (
        _stop_on_signals(again_kills=trainer.world == 1) as stopped,
        tqdm(
            total=trainer.steps,
            initial=trainer.step,
            unit="step",
            dynamic_ncols=True,
            disable=trainer.rank > 0,
        ) as bar,
        _event_writer(trainer) as write,
    ):

        def report(step: Step) -> bool:
            _show(bar, step, trainer.settings.epochs)
            write(step)
            return not stopped()

        trainer.run(report)


@contextmanager
def _stop_on_signals(again_kills: bool) -> Iterator[Callable[[], bool]]:
    """Whether Ctrl-C or SIGTERM came; `again_kills` lets a second Ctrl-C end the program at once.

    torchrun passes on to each process a Ctrl-C that the terminal has sent it already, so there the
    second one means nothing. What the signals did before is put back at the end.
    """
    stop = False

    def request_stop(_signal: int, _frame: types.FrameType | None) -> None:
        nonlocal stop
        stop = True
        if again_kills:
            signal.signal(signal.SIGINT, signal.default_int_handler)

    numbers = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(number, request_stop) for number in numbers]
    try:
        yield lambda: stop
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)


def _show(bar: Any, step: Step, epochs: int) -> None:
    """Move the progress bar to a step."""
    bar.set_description(f"epoch {step.epoch + 1}/{epochs}", refresh=False)
    figures = {"loss": f"{step.loss:.4g}"}
    if step.metrics is not None:
        figures["mIoU"] = f"{step.metrics.miou:.3f}"
        figures["CRPA@0.1"] = f"{step.metrics.crpa[0.1]:.3f}"
    bar.set_postfix(figures, refresh=False)
    bar.update(1)


@contextmanager
def _event_writer(trainer: Trainer) -> Iterator[Callable[[Step], None]]:
    """What writes a step to the TensorBoard event file, or nothing at all."""
    if not trainer.settings.tensorboard or trainer.rank:
        yield lambda step: None
        return
    from lipdeploy.training.event_file import EventFile

    events = EventFile(trainer.settings.folder, trainer.step)
    try:
        yield events.add
    finally:
        events.close()


def _conclude(trainer: Trainer) -> None:
    """Draw the results and say how the run ended."""
    settings = trainer.settings
    if (settings.folder / "results.csv").exists():
        title = (
            f"{settings.arch} {settings.size}, {settings.variant}, {settings.constraint}, "
            f"{settings.loss} at temperature {settings.temperature:g}"
        )
        plot_results(settings.folder, title)
    if not trainer.finished:
        click.echo(f"Stopped at step {trainer.step} of {trainer.steps}; continue with --resume.")
    elif trainer.metrics is not None:
        if trainer.ended_early:
            click.echo(f"No better {settings.fitness} for {settings.patience} epochs: ended early.")
        figures = ", ".join(f"{k} {v:.4f}" for k, v in trainer.metrics.record().items())
        click.echo(f"Validation after the last epoch: {figures}")
    click.echo(f"Results saved to {settings.folder}")
