"""What values the inputs of convolutions take: maxima, then histograms, over calibration frames."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper

from lipdeploy.export.verifier.graph import Graph
from lipdeploy.export.verifier.parity import Frame
from lipdeploy.runtime.session import Run, engine_module

BINS = 2048
SMALLEST_LIMIT = 1e-6  # of a tensor that is 0 on every frame: a scale must be above 0


@dataclass(frozen=True)
class Histogram:
    """Absolute values of one tensor.

    Attributes:
        limit: the largest one, above 0.
        counts: of `len(counts)` bins of equal width between 0 and `limit`.
    """

    limit: float
    counts: npt.NDArray[np.int64]


def histograms(
    trunk: onnx.ModelProto, tensors: Sequence[str], frames: Sequence[Frame]
) -> dict[str, Histogram]:
    """Histograms of tensors of a float32 trunk, from two runs over the frames."""
    run = engine_module("onnxruntime").open_graph(_with_outputs(trunk, tensors), 0)
    limits = dict.fromkeys(tensors, SMALLEST_LIMIT)
    for values in _values(run, tensors, frames):
        limits = {name: max(limits[name], float(np.abs(values[name]).max())) for name in tensors}
    counts = {name: np.zeros(BINS, np.int64) for name in tensors}
    for values in _values(run, tensors, frames):
        for name in tensors:
            counts[name] += histogram_counts(values[name], limits[name])
    return {name: Histogram(limits[name], counts[name]) for name in tensors}


def histogram_counts(values: npt.NDArray[np.floating], limit: float) -> npt.NDArray[np.int64]:
    """Counts of absolute values in `BINS` bins between 0 and the limit."""
    places = (np.abs(values.ravel()) * (BINS / limit)).astype(np.int64)
    return np.asarray(np.bincount(np.minimum(places, BINS - 1), minlength=BINS), np.int64)


def _values(
    run: Run, tensors: Sequence[str], frames: Sequence[Frame]
) -> Iterator[Mapping[str, npt.NDArray[np.floating]]]:
    for frame in frames:
        yield dict(zip(tensors, run(tensors, {"image": frame[None]}), strict=True))


def _with_outputs(trunk: onnx.ModelProto, tensors: Sequence[str]) -> bytes:
    graph, model = Graph(trunk), onnx.ModelProto()
    model.CopyFrom(trunk)
    for name in tensors:
        info = helper.make_tensor_value_info(name, TensorProto.FLOAT, graph.shape(name))
        model.graph.output.append(info)
    return bytes(model.SerializeToString())
