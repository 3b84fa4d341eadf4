"""Peak memory of `lipdeploy certify` against the number of images: it should not grow.

A tiny model (class k scores channel k of the image) on a data set of links to a few random images,
once as one run and once by merging four shards. Prints the peak resident memory of each process.

    python benchmarks/certify_memory.py [--images 100 400 1600] [--side 64]
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from lipdeploy.core.manifest import Manifest, Numerics

CLASSES = ("red", "green", "blue")
DIFFERENT = 8
SHARDS = 4


def write_model(path: Path, side: int) -> None:
    """The interface of an exported file; L = 1."""
    node = helper.make_node
    nodes = [
        node("Cast", ["image"], ["float"], to=TensorProto.FLOAT),
        node("Mul", ["float", "scale"], ["unit"]),
        node("ArgMax", ["unit"], ["ids"], axis=3, keepdims=0),
        node("Cast", ["ids"], ["mask"], to=TensorProto.UINT8),
        node("TopK", ["unit", "two"], ["top", "where"], axis=3),
        node("Split", ["top"], ["first", "second"], axis=3, num_outputs=2),
        node("Sub", ["first", "second"], ["margin"]),
        node("Mul", ["margin", "inv"], ["wide"]),
        node("Squeeze", ["wide", "last"], ["radius"]),
        node("Mul", ["eps", "zero"], ["nothing"]),
        node("Unsqueeze", ["nothing", "first_axis"], ["flips"]),
    ]
    constants = {
        "scale": np.float32(1 / 255),
        "two": np.array([2], np.int64),
        "inv": np.float32(0.7071),
        "last": np.array([3], np.int64),
        "zero": np.float32(0),
        "first_axis": np.array([0], np.int64),
    }
    info = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes,
        "tiny",
        [
            info("image", TensorProto.UINT8, [1, side, side, 3]),
            info("eps", TensorProto.FLOAT, [1]),
        ],
        [
            info("mask", TensorProto.UINT8, [1, side, side]),
            info("radius", TensorProto.FLOAT, [1, side, side]),
            info("flips", TensorProto.FLOAT, [1, 1]),
        ],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    numerics = Numerics("float32", 0.0, "statistical", {})
    manifest = Manifest(CLASSES, side, side, "threshold", 1, 1.0, (), 1.0, numerics, "0" * 64)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    helper.set_model_props(model, manifest.to_metadata())
    onnx.save_model(model, str(path))


def write_data(folder: Path, count: int, side: int) -> Path:
    """A data set of `count` links to a few random images and masks."""
    rng = np.random.default_rng(0)
    for kind, shape, top in (("images", (side, side, 3), 256), ("masks", (side, side), 3)):
        split = folder / kind / "val"
        split.mkdir(parents=True)
        for i in range(DIFFERENT):
            array = rng.integers(0, top, shape).astype(np.uint8)
            cv2.imwrite(str(folder / f"{kind}_{i}.png"), array)
        for i in range(count):
            (split / f"{i:07d}.png").symlink_to(folder / f"{kind}_{i % DIFFERENT}.png")
    source = folder / "data.yaml"
    names = ", ".join(CLASSES)
    source.write_text(
        f"path: .\ntrain: images/val\nval: images/val\nmasks_dir: masks\nnames: [{names}]\n"
    )
    return source


def peak_mib(*args: str) -> float:
    """Run `lipdeploy certify ARGS`; peak resident memory of the process in MiB."""
    command = [sys.executable, "-m", "lipdeploy", "certify", *args]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{' '.join(command)} failed with status {status}")
    return usage.ru_maxrss / 1024


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, nargs="+", default=[100, 400, 1600])
    parser.add_argument("--side", type=int, default=64)
    options = parser.parse_args()
    print(f"{'images':>8}  {'one run':>10}  {'merge of 4':>10}  {'spools':>10}  {'seconds':>8}")
    for count in options.images:
        start = time.monotonic()
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name).resolve()
            write_model(folder / "tiny.onnx", options.side)
            data = write_data(folder, count, options.side)
            where = ["--project", name]
            run = [
                str(folder / "tiny.onnx"),
                "--data",
                str(data),
                "--threads",
                "1",
                "--unverified",
                *where,
            ]
            whole = peak_mib(*run)
            for i in range(1, SHARDS + 1):
                peak_mib(*run, "--name", "parts", "--shard", f"{i}/{SHARDS}")
            spools = sum(path.stat().st_size for path in (folder / "parts").iterdir())
            merged = peak_mib("--merge", "--name", "parts", *where)
        sizes = f"{whole:6.1f} MiB  {merged:6.1f} MiB  {spools / 2**20:6.1f} MiB"
        print(f"{count:>8}  {sizes}  {time.monotonic() - start:8.1f}", flush=True)


if __name__ == "__main__":
    main()
