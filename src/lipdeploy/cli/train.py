"""`lipdeploy train`: a Lipschitz network on the user's data."""

from __future__ import annotations

import signal
import types
from pathlib import Path

import click
import torch
import yaml
from tqdm import tqdm

from lipdeploy.cli.image_size import ImageSize
from lipdeploy.core.dataset import load_dataset
from lipdeploy.core.errors import ArtefactError, InputError
from lipdeploy.training.checkpoint import load_checkpoint
from lipdeploy.training.layers import Constraint
from lipdeploy.training.loop import Step, Trainer
from lipdeploy.training.loss import temperature_for
from lipdeploy.training.network import ARCHS, CONSTRAINTS, SIZES, VARIANTS
from lipdeploy.training.network.config import Arch, Variant
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

Masks are PNG files of class ids; 255 is ignored. Results go to runs/train/NAME: ckpt.pt (best,
for `lipdeploy export`), last.pt (for --resume), args.yaml, results.csv and results.png. Ctrl-C
stops after the current step and keeps both.

\b
Example: lipdeploy train --data polyps.yaml --imgsz 128 --epochs 60 --name polyps
"""


@click.command(help=HELP)
@click.option("--data", type=click.Path(path_type=Path), required=True, help="Data set YAML file.")
@click.option("--arch", type=click.Choice(ARCHS), default="deeplabv3", show_default=True)
@click.option("--size", type=click.Choice(sorted(SIZES)), default="S", show_default=True)
@click.option(
    "--constraint",
    type=click.Choice(CONSTRAINTS),
    default="orthogonal",
    show_default=True,
    help="none: the unconstrained twin, for comparison; it carries no certificate.",
)
@click.option(
    "--variant",
    type=click.Choice(VARIANTS),
    default="split",
    show_default=True,
    help="paper: scaled sums and a full-resolution head; split: ours, which scales nothing down.",
)
@click.option(
    "--imgsz",
    type=ImageSize(),
    default="128",
    show_default=True,
    help="Training size: one side, or HxW such as 128x224.",
)
@click.option("--epochs", type=click.IntRange(1), default=100, show_default=True)
@click.option("--batch", type=click.IntRange(1), default=8, show_default=True)
@click.option(
    "--eps",
    type=click.FloatRange(0, min_open=True),
    default=0.25,
    show_default=True,
    help="Target l2 budget; sets the temperature.",
)
@click.option(
    "--tau",
    type=click.FloatRange(0, min_open=True),
    help="Temperature of the loss; higher is more accurate and less robust.  [default: 10 / eps]",
)
@click.option("--lr", type=click.FloatRange(0, min_open=True), default=1e-3, show_default=True)
@click.option("--vertical-flip", type=click.FloatRange(0, 1), default=0.0, show_default=True)
@click.option("--rotate", type=click.FloatRange(0, 180), default=10.0, show_default=True)
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True)
@click.option("--device", default="auto", show_default=True, help="auto, cpu or cuda.")
@click.option("--threads", type=click.IntRange(1), help="CPU threads.  [default: all]")
@click.option("--project", type=click.Path(path_type=Path), default=Path("runs/train"))
@click.option("--name", default="exp", show_default=True, help="Run folder under --project.")
@click.option("--resume", is_flag=True, help="Continue the run of this --name where it stopped.")
def command(
    data: Path,
    arch: Arch,
    size: str,
    constraint: Constraint,
    variant: Variant,
    imgsz: tuple[int, int],
    epochs: int,
    batch: int,
    eps: float,
    tau: float | None,
    lr: float,
    vertical_flip: float,
    rotate: float,
    seed: int,
    device: str,
    threads: int | None,
    project: Path,
    name: str,
    resume: bool,
) -> int:
    """Train a 1-Lipschitz segmentation network."""
    if threads:
        torch.set_num_threads(threads)
    settings = Settings(
        data=data,
        folder=project / name,
        imgsz=imgsz,
        epochs=epochs,
        batch=batch,
        temperature=tau or temperature_for(eps),
        arch=arch,
        size=size,
        constraint=constraint,
        variant=variant,
        learning_rate=lr,
        vertical_flip=vertical_flip,
        rotate_degrees=rotate,
        seed=seed,
        device=_device(device),
    )
    trainer = Trainer(settings, load_dataset(data))
    _prepare(trainer, settings, resume)
    finished = _run(trainer)
    _conclude(trainer, settings, finished)
    return 0


def _device(name: str) -> str:
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if name.startswith("cuda") and not torch.cuda.is_available():
        raise ArtefactError(f"--device {name}: torch sees no GPU here; use --device cpu")
    if name != "cpu" and not name.startswith("cuda"):
        raise InputError(f"--device is {name!r}; expected auto, cpu or cuda")
    return name


def _prepare(trainer: Trainer, settings: Settings, resume: bool) -> None:
    last = settings.folder / "last.pt"
    if resume:
        trainer.resume(load_checkpoint(last))
        trim_results(settings.folder, trainer.step // trainer.per_epoch)
        return
    if last.exists():
        raise InputError(f"{settings.folder} holds a run already; use --resume or another --name")
    settings.folder.mkdir(parents=True, exist_ok=True)
    (settings.folder / "args.yaml").write_text(yaml.safe_dump(settings.record()), encoding="utf-8")


def _run(trainer: Trainer) -> bool:
    """Train with a progress bar; True when the last step was reached."""
    stop = False

    def request_stop(_signal: int, _frame: types.FrameType | None) -> None:
        nonlocal stop
        stop = True
        signal.signal(signal.SIGINT, signal.default_int_handler)

    signal.signal(signal.SIGINT, request_stop)
    signal.signal(signal.SIGTERM, request_stop)
    with tqdm(total=trainer.steps, initial=trainer.step, unit="step", dynamic_ncols=True) as bar:

        def report(step: Step) -> bool:
            bar.set_description(f"epoch {step.epoch + 1}/{trainer.settings.epochs}", refresh=False)
            figures = {"loss": f"{step.loss:.3f}"}
            if step.metrics is not None:
                figures["mIoU"] = f"{step.metrics.miou:.3f}"
                figures["CRPA@0.1"] = f"{step.metrics.crpa[0.1]:.3f}"
            bar.set_postfix(figures, refresh=False)
            bar.update(1)
            return not stop

        trainer.run(report)
    return trainer.step >= trainer.steps


def _conclude(trainer: Trainer, settings: Settings, finished: bool) -> None:
    if (settings.folder / "results.csv").exists():
        title = f"{settings.size} {settings.constraint}, tau {settings.temperature:g}"
        plot_results(settings.folder, title)
    if not finished:
        click.echo(f"Stopped at step {trainer.step} of {trainer.steps}; continue with --resume.")
    elif trainer.metrics is not None:
        figures = ", ".join(f"{k} {v:.4f}" for k, v in trainer.metrics.record().items())
        click.echo(f"Validation after the last epoch: {figures}")
    click.echo(f"Results saved to {settings.folder}")
