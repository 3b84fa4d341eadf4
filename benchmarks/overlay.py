"""What the overlay costs: every view at 640x480 and 1920x1080, one thread, compiled and by OpenCV.

Draws frames of the bundled clip with predictions of the bundled model: colours, stripes, outlines,
legend, labels and banner. Prints processor time in ms a frame, least and median of many, the two
ways in turns; `paint` is the part without words.

    python benchmarks/overlay.py [--frames 60] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from lipdeploy.cli.stream import bundled
from lipdeploy.core.resize import resized
from lipdeploy.runtime import blending, label_place
from lipdeploy.runtime.overlay import Overlay
from lipdeploy.runtime.regions import find_regions
from lipdeploy.runtime.result import Result
from lipdeploy.runtime.session import Session, open_session
from lipdeploy.runtime.sources.frame import Frame
from lipdeploy.runtime.sources.video import VideoFile
from lipdeploy.runtime.views import VIEWS, View

EPS = 0.25
KEEP = 0.9
GOALS_MS = {(480, 640): 2.0, (1080, 1920): 8.0}
CLIP = 10  # frames
WAYS = ("compiled", "opencv")


def results(session: Session, size: tuple[int, int], withheld: bool) -> list[Result]:
    """Frames of the clip at a size, with what the model says of them."""
    manifest = session.manifest
    clip = VideoFile(bundled("road.mp4"))
    made = []
    for frame, _ in zip(clip, range(CLIP), strict=False):
        image = np.asarray(cv2.resize(frame.image, size[::-1], interpolation=cv2.INTER_CUBIC))
        large = Frame(image.astype(np.uint8), frame.index, frame.time_ms, 0.0, frame.name)
        found = Result(large, "ok", "", EPS, None, manifest.numerics.level)
        if withheld:
            found.state, found.reason = "withheld", "frozen"
        else:
            found.prediction = session.infer(
                resized(frame.image, manifest.height, manifest.width), [EPS]
            )
            found.regions = find_regions(found.prediction.mask, found.prediction.radius, EPS, KEEP)
        made.append(found)
    clip.close()
    return made


def milliseconds(work: Callable[[int], object], frames: int) -> dict[str, list[float]]:
    """Processor time of this thread, each way in turns."""
    spent: dict[str, list[float]] = {way: [] for way in WAYS}
    built = blending.COMPILED
    for index in range(frames):
        for way in WAYS:
            blending.COMPILED = label_place.COMPILED = built and way == "compiled"
            before_s = time.thread_time()
            work(index % CLIP)
            spent[way].append((time.thread_time() - before_s) * 1e3)
    blending.COMPILED = label_place.COMPILED = built
    return spent


def measure(
    session: Session, size: tuple[int, int], view: View, withheld: bool, frames: int
) -> dict[str, object]:
    """One line of the table."""
    shown = Overlay(session.manifest, KEEP, view)
    made = results(session, size, withheld)
    drawn = milliseconds(lambda k: shown.draw(made[k], 25.0), frames)
    painted = milliseconds(lambda k: shown.paint(made[k].frame.image, made[k]), frames)
    name = "withheld" if withheld else view
    cells = [f"{size[1]}x{size[0]}".ljust(10), name.ljust(9)]
    for spent in (drawn, painted):
        cells += [f"{min(spent[way]):6.2f} /{statistics.median(spent[way]):6.2f}" for way in WAYS]
    least = min(drawn["compiled"])
    verdict = "met" if least < GOALS_MS[size] else "MISSED"
    print("  ".join(cells), f"  < {GOALS_MS[size]:g} {verdict}")
    return {"size": size, "view": name, "draw_ms": drawn, "paint_ms": painted}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, default=60)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    cv2.setNumThreads(1)
    if not blending.COMPILED:
        print("lipdeploy._native was not built: both columns are OpenCV")
    print("ms, least / median    draw compiled    draw OpenCV   paint compiled   paint OpenCV")
    with open_session(bundled("scene_s.onnx"), threads=1) as session:
        rows = [
            measure(session, size, view, withheld, args.frames)
            for size in GOALS_MS
            for view, withheld in [*((view, False) for view in VIEWS), (VIEWS[0], True)]
        ]
    if args.json:
        args.json.write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
