"""The bundled clip: one continuous drive through a rendered scene."""

from __future__ import annotations

import math
from pathlib import Path

import click
import cv2

from lipdeploy.samples.scene import render


def write_clip(
    path: Path, seconds: float, fps: int, height: int, width: int, seed: int, start_s: float = 0.0
) -> None:
    """Write one drive as an mp4, without camera noise, which does not compress.

    Args:
        path: file to write; its folder must exist.
        seconds: length; at least one frame is needed.
        fps: frames per second, at least 1.
        height: rows in pixels, at least 32.
        width: columns in pixels, at least 32.
        seed: chooses the world.
        start_s: time of the first frame since the start of the drive.

    Raises:
        ValueError: no frame to write, or a size below 32 pixels.
        OSError: OpenCV cannot write the file.
    """
    frames = round(seconds * fps) if math.isfinite(seconds) and fps >= 1 else 0
    if frames < 1:
        raise ValueError(f"clip of {seconds} s at {fps} fps has no frame; give a longer time")
    frame = render(seed, start_s, height, width, noise=False)  # checks the size first
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), fps, (width, height))
    if not writer.isOpened():
        raise OSError(f"{path} cannot be written as mp4 by this OpenCV; is its folder there?")
    try:
        writer.write(cv2.cvtColor(frame.image, cv2.COLOR_RGB2BGR))
        for index in range(1, frames):
            frame = render(seed, start_s + index / fps, height, width, noise=False)
            writer.write(cv2.cvtColor(frame.image, cv2.COLOR_RGB2BGR))
    finally:
        writer.release()


@click.command()
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--seconds", type=float, default=10.0, show_default=True)
@click.option("--fps", type=click.IntRange(1), default=20, show_default=True)
@click.option("--size", type=click.IntRange(32), nargs=2, default=(360, 640), show_default=True)
@click.option("--seed", type=int, default=3, show_default=True)
def main(path: Path, seconds: float, fps: int, size: tuple[int, int], seed: int) -> None:
    """Render one drive to PATH."""
    write_clip(path, seconds, fps, *size, seed)
    click.echo(f"Results saved to {path}")


if __name__ == "__main__":
    main()
