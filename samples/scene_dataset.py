"""A training set of rendered scenes: `python -m lipdeploy.samples.scene_dataset FOLDER`."""

from __future__ import annotations

from pathlib import Path

import click
import cv2
import numpy as np
import numpy.typing as npt
import yaml

from lipdeploy.samples.scene import CLASS_NAMES, SMALLEST, render

JPEG_QUALITY = 95
LONGEST_DRIVE_S = 60.0
VALIDATION_SEEDS = 10_000_000  # training seeds stay below


def write_dataset(
    folder: Path, train: int, val: int, height: int, width: int, seed: int = 0
) -> Path:
    """Write images, class-id masks and data.yaml; the same arguments give the same scenes.

    Every image is another world at a random time; no world of `val` is in `train`.

    Args:
        folder: created if needed; existing files of the same names are replaced.
        train: images of the training split.
        val: images of the validation split.
        height: rows in pixels, at least 32.
        width: columns in pixels, at least 32.
        seed: chooses the scenes, 0..9.

    Returns:
        Path of data.yaml.

    Raises:
        ValueError: a negative count, a size below 32 pixels or a seed out of range.
        OSError: a file cannot be written.
    """
    if min(train, val) < 0:
        raise ValueError(f"counts are {train} and {val}; expected 0 or more")
    if min(height, width) < SMALLEST:
        raise ValueError(f"size is {height}x{width}; expected at least {SMALLEST}x{SMALLEST}")
    if not 0 <= seed <= 9:
        raise ValueError(f"seed is {seed}; expected 0..9")
    _write_split(folder, "train", train, seed * 1_000_000, height, width)
    _write_split(folder, "val", val, VALIDATION_SEEDS + seed * 1_000_000, height, width)
    fields = {
        "path": ".",
        "train": "images/train",
        "val": "images/val",
        "masks_dir": "masks",
        "names": dict(enumerate(CLASS_NAMES)),
    }
    source = folder / "data.yaml"
    source.write_text(yaml.safe_dump(fields, sort_keys=False), encoding="utf-8")
    return source


def _write_split(
    folder: Path, split: str, count: int, first_seed: int, height: int, width: int
) -> None:
    for kind in ("images", "masks"):
        (folder / kind / split).mkdir(parents=True, exist_ok=True)
    for index in range(count):
        world = first_seed + index
        time_s = float(np.random.default_rng(world).uniform(0.0, LONGEST_DRIVE_S))
        frame = render(world, time_s, height, width)
        name = f"scene_{index:05d}"
        image = np.asarray(cv2.cvtColor(frame.image, cv2.COLOR_RGB2BGR), np.uint8)
        quality = [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY]
        _write(folder / "images" / split / f"{name}.jpg", image, quality)
        _write(folder / "masks" / split / f"{name}.png", frame.mask, [])


def _write(path: Path, pixels: npt.NDArray[np.uint8], options: list[int]) -> None:
    if not cv2.imwrite(str(path), pixels, options):
        raise OSError(f"{path} cannot be written; is the disk full?")


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--train", type=click.IntRange(1), default=3000, show_default=True)
@click.option("--val", type=click.IntRange(1), default=200, show_default=True)
@click.option("--size", type=click.IntRange(32), nargs=2, default=(128, 224), show_default=True)
@click.option("--seed", type=click.IntRange(0, 9), default=0, show_default=True)
def main(folder: Path, train: int, val: int, size: tuple[int, int], seed: int) -> None:
    """Render a road-scene data set with exact labels into FOLDER."""
    click.echo(f"Results saved to {write_dataset(folder, train, val, *size, seed)}")


if __name__ == "__main__":
    main()
