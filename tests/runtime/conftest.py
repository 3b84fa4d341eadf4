"""A tiny model with the interface of an exported one, built with onnx.helper alone.

Class k scores channel k of the image; radius = (largest - second largest) / sqrt(2), L = 1, so it
really is 1-Lipschitz. Its flips count pixels one by one (radius <= eps), not as a knapsack, and so
bound the collective count from above.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from lipdeploy.core.content_hash import RECORD_KEY, content_from_bytes, with_entries
from lipdeploy.core.errors import LipdeployError
from lipdeploy.core.manifest import Level, Manifest, Numerics
from lipdeploy.core.record import Record
from lipdeploy.runtime.result import Result
from lipdeploy.runtime.sources.decoder import quiet_opencv
from lipdeploy.runtime.web import PageSink, open_page
from tests.runtime.page_feed import Context

quiet_opencv()  # FFmpeg reads its log level when it is first used, here by the fixtures

CLASSES = ("road", "vegetation", "sky")
EVIDENCE = {"frames": 1000, "engine": "onnxruntime 1 CPU"}


def tiny_manifest(
    height: int = 48,
    width: int = 64,
    level: Level = "statistical",
    budgets: int = 1,
    slack: float = 0.0,
) -> Manifest:
    return Manifest(
        class_names=CLASSES,
        height=height,
        width=width,
        head="threshold",
        budgets=budgets,
        lipschitz=1.0,
        layers=(),
        preprocessing_lipschitz=1.0,
        numerics=Numerics("float32", slack, level, dict(EVIDENCE)),
        weights_sha256="0" * 64,
    )


def tiny_model(
    manifest: Manifest,
    metadata: dict[str, str] | None = None,
    size: tuple[int, int] | None = None,
    scale: float = 1.0,
) -> onnx.ModelProto:
    """`size` differs from the manifest's to make a model that lies about itself."""
    height, width = size or (manifest.height, manifest.width)

    def const(name: str, value: Any) -> onnx.TensorProto:
        return numpy_helper.from_array(np.asarray(value), name)

    node = helper.make_node
    nodes = [
        node("Cast", ["image"], ["float"], to=TensorProto.FLOAT),
        node("Mul", ["float", "per_level"], ["unit"]),
        node("Transpose", ["unit"], ["logits"], perm=[0, 3, 1, 2]),
        node("ArgMax", ["logits"], ["ids"], axis=1, keepdims=0),
        node("Cast", ["ids"], ["mask"], to=TensorProto.UINT8),
        node("TopK", ["logits", "two"], ["top", "where"], axis=1),
        node("Split", ["top"], ["first", "second"], axis=1, num_outputs=2),
        node("Sub", ["first", "second"], ["margin"]),
        node("Mul", ["margin", "inv"], ["wide"]),
        node("Squeeze", ["wide", "axis"], ["radius"]),
        node("Reshape", ["wide", "column"], ["rows"]),
        node("LessOrEqual", ["rows", "eps"], ["hit"]),
        node("Cast", ["hit"], ["hits"], to=TensorProto.FLOAT),
        node("ReduceSum", ["hits", "zero"], ["flips"], keepdims=1),
    ]
    constants = [
        const("per_level", np.float32(1 / 255)),
        const("two", np.array([2], np.int64)),
        const("inv", np.float32(scale / math.sqrt(2.0))),
        const("axis", np.array([1], np.int64)),
        const("column", np.array([-1, 1], np.int64)),
        const("zero", np.array([0], np.int64)),
    ]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [
            helper.make_tensor_value_info("image", TensorProto.UINT8, [1, height, width, 3]),
            helper.make_tensor_value_info("eps", TensorProto.FLOAT, [manifest.budgets]),
        ],
        [
            helper.make_tensor_value_info("mask", TensorProto.UINT8, [1, height, width]),
            helper.make_tensor_value_info("radius", TensorProto.FLOAT, [1, height, width]),
            helper.make_tensor_value_info("flips", TensorProto.FLOAT, [1, manifest.budgets]),
        ],
        constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    helper.set_model_props(model, manifest.to_metadata() if metadata is None else metadata)
    return model


def tiny_record(data: bytes, manifest: Manifest) -> Record:
    """The record of a verification that passed, for tests of what runs afterwards."""
    numerics = manifest.numerics
    return Record(
        content_from_bytes(data).sha256,
        manifest.lipschitz,
        numerics.level,
        numerics.slack,
        ("bound",),
        1,
        ("test engine",),
        "0",
        "2026-01-01T00:00:00+00:00",
    )


def save_tiny(path: Path, manifest: Manifest, **fields: Any) -> Path:
    """A tiny model with a valid record."""
    data = tiny_model(manifest, **fields).SerializeToString()
    path.write_bytes(with_entries(data, {RECORD_KEY: tiny_record(data, manifest).to_text()}))
    return path


@pytest.fixture
def model_path(tmp_path: Path) -> Path:
    return save_tiny(tmp_path / "tiny.onnx", tiny_manifest())


@pytest.fixture
def make_model(tmp_path: Path) -> Callable[..., Path]:
    def make(name: str = "made.onnx", **fields: Any) -> Path:
        lies = {key: fields.pop(key) for key in ("size", "metadata", "scale") if key in fields}
        return save_tiny(tmp_path / name, tiny_manifest(**fields), **lies)

    return make


@dataclass
class Recorder:
    """A sink that keeps results; fails at the given frame, waits before each."""

    fails_at: int = -1
    wait_s: float = 0.0
    wants_overlay: bool = False
    results: list[Result] = field(default_factory=list)
    closed: int = 0

    def write(self, result: Result) -> None:
        time.sleep(self.wait_s)
        if len(self.results) == self.fails_at:
            raise LipdeployError("the disk is full; free it")
        self.results.append(result)

    def describe(self) -> str:
        return ""

    def close(self) -> None:
        self.closed += 1


@pytest.fixture
def recorder() -> type[Recorder]:
    return Recorder


@pytest.fixture
def make_video(tmp_path: Path) -> Callable[..., Path]:
    """A recording of numbered frames: frame i has brightness 40 + 4 (i mod 50)."""

    def make(name: str, frames: int = 30, size: tuple[int, int] = (64, 48)) -> Path:
        path = tmp_path / name
        code = cv2.VideoWriter.fourcc(*"MJPG" if path.suffix == ".avi" else "mp4v")
        writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, code, 10, size)
        assert writer.isOpened()
        for i in range(frames):
            writer.write(np.full((size[1], size[0], 3), 40 + 4 * (i % 50), np.uint8))
        writer.release()
        return path

    return make


@pytest.fixture
def context() -> Context:
    """What a live page is told of a stream that is made up."""
    return Context()


@pytest.fixture
def sink(context: Context) -> Iterator[PageSink]:
    """A live page on loopback."""
    opened = open_page("http://127.0.0.1:0", context)
    yield opened
    opened.close()
