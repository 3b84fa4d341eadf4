"""The options of `lipdeploy train`: one table, in the order in which help shows them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from lipdeploy.cli.image_size import ImageSize
from lipdeploy.training.data import CACHES, SCHEMES
from lipdeploy.training.loss import LOSSES
from lipdeploy.training.network.config import ARCHS, CONSTRAINTS, SIZES, VARIANTS
from lipdeploy.training.optimizer import OPTIMIZERS
from lipdeploy.training.precision import PRECISIONS
from lipdeploy.training.settings import FITNESSES, Settings

POSITIVE = click.FloatRange(0, min_open=True)
NOT_NEGATIVE = click.FloatRange(0)
COUNT = click.IntRange(1)


def _default(field: str) -> Any:
    """The default of a setting, so that it is written down once."""
    return Settings.__dataclass_fields__[field].default


def _option(name: str, field: str, kind: Any, help_text: str) -> click.Option:
    """An option that sets one field of `Settings` and shows its default."""
    metavar = {click.IntRange: "N", click.FloatRange: "X"}.get(type(kind))
    return click.Option(
        [name, field],
        type=kind,
        default=_default(field),
        show_default=True,
        metavar=metavar,
        help=help_text,
    )


def _choice(name: str, field: str, choices: Any, help_text: str) -> click.Option:
    return _option(name, field, click.Choice(list(choices)), help_text)


SECTIONS: dict[str, list[click.Option]] = {
    "Data": [
        click.Option(
            ["--data"], type=click.Path(path_type=Path), required=True, help="Data set YAML file."
        ),
        click.Option(
            ["--imgsz"],
            type=ImageSize(),
            default="128",
            show_default=True,
            help="Training size: one side, or HxW such as 128x224.",
        ),
        _option(
            "--vertical-flip",
            "vertical_flip",
            click.FloatRange(0, 1),
            "Probability of a top-bottom mirror.",
        ),
        _option(
            "--rotate", "rotate_degrees", click.FloatRange(0, 180), "Largest rotation in degrees."
        ),
    ],
    "Network": [
        _choice("--arch", "arch", ARCHS, "Network family."),
        _choice("--size", "size", SIZES, "Size of the network."),
        _choice(
            "--variant",
            "variant",
            VARIANTS,
            "split: ours, nothing is scaled down; paper: scaled sums, full-resolution head.",
        ),
        _choice(
            "--constraint",
            "constraint",
            CONSTRAINTS,
            "none: the unconstrained twin (train it with --lr 1e-3); it carries no certificate.",
        ),
    ],
    "Loss": [
        _choice("--loss", "loss", LOSSES, "What is minimised."),
        _choice("--class-weights", "class_weights", SCHEMES, "Weigh classes by how rare they are."),
        _option("--eps", "eps", POSITIVE, "Target l2 budget; sets the temperature."),
        click.Option(
            ["--tau"],
            type=POSITIVE,
            metavar="X",
            help="Temperature; higher is more accurate and less robust.  [default: 5 / eps]",
        ),
    ],
    "Optimisation": [
        _option("--epochs", "epochs", COUNT, "Passes over the training images."),
        _option("--batch", "batch", COUNT, "Images a step, over all processes."),
        _option("--accumulate", "accumulate", COUNT, "Cut the batch into N parts; saves memory."),
        _choice("--optimizer", "optimizer", OPTIMIZERS, "How weights are moved."),
        _option("--lr", "learning_rate", POSITIVE, "Highest learning rate; falls as a cosine."),
        _option("--warmup", "warmup_epochs", NOT_NEGATIVE, "Epochs until --lr is reached."),
        _option("--weight-decay", "weight_decay", NOT_NEGATIVE, "Of AdamW."),
        _option("--clip", "clip", NOT_NEGATIVE, "Largest norm of the gradient; 0: no limit."),
        _option(
            "--ema",
            "ema",
            click.FloatRange(0, 1, max_open=True),
            "Keep the moving average of the weights with this decay, such as 0.99; 0: none.",
        ),
        _option("--seed", "seed", click.IntRange(0), "Of weights, order and augmentation."),
    ],
    "Choosing the best epoch": [
        _choice(
            "--fitness",
            "fitness",
            FITNESSES,
            "ckpt.pt is the epoch where this was highest: mean IoU, CRPA (at 0.1, 0.17 or 0.25, "
            "whichever is nearest to --eps), or the sum of mean IoU and CRPA@0.1.",
        ),
        _option(
            "--patience",
            "patience",
            click.IntRange(0),
            "Stop after N epochs without a better fitness; 0: never.",
        ),
    ],
    "Hardware": [
        click.Option(
            ["--device"], default="auto", show_default=True, help="auto, cpu, cuda or cuda:N."
        ),
        _choice(
            "--precision",
            "precision",
            PRECISIONS,
            "Of activations; kernels stay in float32. fp16 needs a GPU.",
        ),
        _option("--workers", "workers", click.IntRange(0), "Processes that prepare batches."),
        _choice(
            "--cache",
            "cache",
            CACHES,
            "Where decoded examples are kept; auto: in memory up to 2 GiB, else on disk.",
        ),
        click.Option(["--threads"], type=COUNT, metavar="N", help="CPU threads.  [default: all]"),
    ],
    "Run": [
        click.Option(
            ["--project"],
            type=click.Path(path_type=Path),
            default=Path("runs/train"),
            show_default=True,
            help="Folder of all runs.",
        ),
        click.Option(
            ["--name"], default="exp", show_default=True, help="Folder of this run in --project."
        ),
        click.Option(
            ["--resume"], is_flag=True, help="Continue the run of this --name where it stopped."
        ),
        click.Option(["--tensorboard"], is_flag=True, help="Write TensorBoard event files too."),
    ],
}
