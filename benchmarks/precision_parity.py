"""Same frame, every precision, every engine: masks and radii against float64.

    python benchmarks/precision_parity.py float32.onnx int8.onnx ... --data data.yaml
        [--split train --split val] [--frames 500] [--attack-every 5] [--engine openvino]
        [--kept frames.npz] [--json F]

Each frame is replayed in float64 once a file: the stored weights, dequantized, with the clips of
quantized activations. On every engine whose level on the file is not `none`,

* the mask must be that of float64 wherever the float64 margin exceeds 2 D,
* no radius may be above the one that the float64 margin and the file's own L give.

Where the level is `none` nothing is claimed: the row is shown and not judged. Frames are images at
the network's size, at equal distances in each split; some of them attacked in l2 by way of the
first file, which is the float32 one. `--kept` writes the frames to a file, or reads them from there
if it exists, so that files can be compared one by one on the same frames. Exit 1 where a claim is
broken.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from lipdeploy.calibration.attack import L2Attack
from lipdeploy.calibration.derivatives import ReversePass
from lipdeploy.calibration.examples import examples_of
from lipdeploy.calibration.source import read_source
from lipdeploy.core.dataset import load_dataset
from lipdeploy.core.manifest import Manifest
from lipdeploy.core.radius import margin_from_logits, radius_from_margin
from lipdeploy.export.engine_parity import logits_of
from lipdeploy.export.verifier.execution import with_logits
from lipdeploy.export.verifier.graph import Graph, model_from_bytes
from lipdeploy.export.verifier.parity import Frame, interleaved
from lipdeploy.export.verifier.replay import Replay
from lipdeploy.runtime.model_file import read_model
from lipdeploy.runtime.session import Prediction, Session, engine_module, open_session

Array = npt.NDArray[np.float64]
Attack = Callable[[Frame], Frame]


@dataclass
class Row:
    """One file on one engine.

    Attributes:
        precision: of the file.
        level: on this engine; nothing is judged at `none`.
        engine: name, version, device.
        slack: D.
        frames: compared.
        attacked: how many of them were.
        pixels: compared.
        over_claims: pixels whose radius is above the float64 one.
        wrong_masks: pixels of another class than float64 where its margin exceeds 2 D.
        largest_error: of a logit difference.
    """

    precision: str
    level: str
    engine: str
    slack: float
    frames: int = 0
    attacked: int = 0
    pixels: int = 0
    over_claims: int = 0
    wrong_masks: int = 0
    largest_error: float = 0.0

    @property
    def broken(self) -> bool:
        """Whether a claim does not hold."""
        missed = self.over_claims or self.wrong_masks or not self.largest_error <= self.slack
        return self.level != "none" and bool(missed)

    def add(
        self, found: Prediction, logits: Array, exact: Array, lipschitz: float, attacked: bool
    ) -> None:
        """Compare one frame.

        Args:
            found: mask and radius of the engine.
            logits: of the engine, shape (K, H, W).
            exact: of float64, likewise.
            lipschitz: L of the file.
            attacked: whether the frame was.
        """
        margin = margin_from_logits(exact)
        clear = margin > 2 * self.slack
        self.frames, self.attacked = self.frames + 1, self.attacked + attacked
        self.pixels += found.mask.size
        self.wrong_masks += int((found.mask != exact.argmax(0))[clear].sum())
        ceiling = radius_from_margin(margin, lipschitz)
        self.over_claims += int((~(found.radius.astype(np.float64) <= ceiling)).sum())
        error = logits - exact
        self.largest_error = max(self.largest_error, float((error.max(0) - error.min(0)).max()))


class Contestant:
    """One file with its float64 replay and its engines."""

    def __init__(self, path: Path, engines: Sequence[str]) -> None:
        file = read_model(path)
        graph = Graph(model_from_bytes(file.data, str(path)))
        self.manifest, self.replay = file.manifest, Replay(graph)
        self.sessions = [open_session(path, name, 1) for name in engines]
        runs = [engine_module(name).open_graph(with_logits(graph), 1) for name in engines]
        self.logits = [logits_of(run, self.manifest.budgets) for run in runs]
        self.rows = [_row(session, self.manifest) for session in self.sessions]

    def add(self, frame: Frame, attacked: bool) -> None:
        """One frame on every engine, against one replay."""
        exact, budgets = self.replay(frame), [0.0] * self.manifest.budgets
        for session, logits, row in zip(self.sessions, self.logits, self.rows, strict=True):
            found = np.asarray(logits(frame), np.float64)
            row.add(session.infer(frame, budgets), found, exact, self.manifest.lipschitz, attacked)


def _row(session: Session, manifest: Manifest) -> Row:
    numerics = manifest.numerics
    return Row(numerics.precision, session.manifest.numerics.level, session.engine, numerics.slack)


def compared(
    paths: Sequence[Path], engines: Sequence[str], frames: Iterable[tuple[Frame, bool]]
) -> list[Row]:
    """Every file on every engine, on the same (frame, attacked) pairs."""
    contestants = [Contestant(path, engines) for path in paths]
    for frame, attacked in frames:
        for each in contestants:
            each.add(frame, attacked)
    return [row for each in contestants for row in each.rows]


def real_frames(
    model: Path, data: Path, splits: Sequence[str], count: int, attack_every: int
) -> Iterator[tuple[Frame, bool]]:
    """Images of the splits in equal parts, every so many of them attacked by way of the model."""
    source, dataset = read_source(model), load_dataset(data)
    found = [examples_of(dataset, split, source.manifest) for split in splits]
    total = sum(map(len, found))
    parts = [each.spread(round(count * len(each) / total)) for each in found]
    clean = (image for each in parts for image in each.images())
    return interleaved(clean, L2Attack(ReversePass(source.graph)), attack_every)


def kept_frames(
    path: Path | None, made: Callable[[], Iterator[tuple[Frame, bool]]]
) -> Iterable[tuple[Frame, bool]]:
    """The frames of a file if it exists; else those that are made, which it will hold."""
    if path is None:
        return made()
    if not path.exists():
        found = list(made())
        images, attacked = np.stack([frame for frame, _ in found]), [bool(a) for _, a in found]
        np.savez_compressed(path, images=images, attacked=np.asarray(attacked))
    with np.load(path) as stored:
        return list(zip(stored["images"], map(bool, stored["attacked"]), strict=True))


def table(rows: Sequence[Row]) -> str:
    """The rows as Markdown."""
    head = ["precision", "level", "engine", "D", "frames", "attacked", "pixels"]
    head += ["over-claims", "mask differences beyond 2D", "largest error / D"]
    lines = ["| " + " | ".join(head) + " |", "|" + " --- |" * len(head)]
    for row in rows:
        cells = [row.precision, row.level, row.engine, f"{row.slack:.2e}", str(row.frames)]
        cells += [str(row.attacked), str(row.pixels), str(row.over_claims), str(row.wrong_masks)]
        cells.append(f"{row.largest_error / row.slack:.3f}")
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main(args: Sequence[str] | None = None) -> int:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("models", type=Path, nargs="+", help="The float32 file first.")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--split", action="append")
    parser.add_argument("--frames", type=int, default=500)
    parser.add_argument("--attack-every", type=int, default=5)
    parser.add_argument("--engine", action="append")
    parser.add_argument("--kept", type=Path, metavar="FRAMES.npz")
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args(args)
    splits = asked.split or ["train", "val"]
    kept = kept_frames(
        asked.kept,
        lambda: real_frames(asked.models[0], asked.data, splits, asked.frames, asked.attack_every),
    )
    rows = compared(asked.models, asked.engine or ["onnxruntime", "openvino"], kept)
    if asked.json:
        text = json.dumps([dataclasses.asdict(row) for row in rows], indent=2)
        asked.json.write_text(text + "\n", encoding="utf-8")
    print(table(rows))
    return int(any(row.broken for row in rows))


if __name__ == "__main__":
    sys.exit(main())
