"""Does an engine keep the clips of quantized activations? Asked of the engine itself.

Engines that compute INT16 in float32 may drop a QuantizeLinear with its DequantizeLinear (OpenVINO
does), and with them the clip that belongs to f. No frame of a well calibrated file reaches a clip,
so the whole file is run with steps so small that a fifth of every quantized tensor is clipped.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import numpy_helper

from lipdeploy.core.errors import VerificationError
from lipdeploy.export.verifier.execution import with_logits
from lipdeploy.export.verifier.graph import Graph
from lipdeploy.export.verifier.parity import Frame, synthetic_frames
from lipdeploy.export.verifier.replay import Replay
from lipdeploy.export.verifier.rounding.bound import Rounding
from lipdeploy.runtime.session import Run

_KEPT = 0.8  # of the values of a tensor
_SMALLEST = 2.0**-19  # a scale that still has a bound
_FRAMES, _SEED = 2, 21


def check_clips(graph: Graph, engine: str, open_graph: Callable[[bytes, int], Run]) -> int:
    """Run a file with narrow clips against its own bound; returns how many clips there were.

    Raises:
        VerificationError: the engine errs by more than it does where it clips.
    """
    replay = Replay(graph)
    if not replay.clips:
        return 0
    height, width = graph.shape("logits")[2:]
    frames = list(synthetic_frames(_FRAMES, height, width, seed=_SEED))
    narrow = Graph(_narrowed(graph, replay, frames[0]))
    rounding, run = Rounding(narrow), open_graph(with_logits(narrow), 1)
    for frame in frames:
        (found,) = run(["logits"], _feeds(narrow, frame))
        error = found[0].astype(np.float64) - rounding.replay(frame)
        off, bound = error.max(0) - error.min(0), rounding.of_frame(frame).differences
        if not (off <= bound).all():
            raise VerificationError(
                f"{engine} does not keep the clips of INT16 activations: logit differences are off "
                f"by {float(off.max()):.3g}, rounding explains {float(bound.max()):.3g}; level "
                "'bounded' is not for it"
            )
    return len(replay.clips)


def _narrowed(graph: Graph, replay: Replay, frame: Frame) -> onnx.ModelProto:
    """The file with other steps, each pair's own."""
    limits: dict[int, float] = {}

    def see(node: onnx.NodeProto, inputs: list[Any], _: list[Any]) -> None:
        if id(node) in replay.clips:
            sizes = np.abs(inputs[0])
            limits[id(node)] = float(np.quantile(sizes, _KEPT)) or float(sizes.max())

    replay.run(frame[None], see)
    model = onnx.ModelProto()
    model.CopyFrom(graph.model)
    places = {id(node): place for place, node in enumerate(graph.nodes)}
    for index, quantizer in enumerate(replay.clips.values()):
        old = replay.constants[quantizer.node.input[1]]
        step = max(limits[id(quantizer.node)] / np.iinfo(quantizer.steps.kind).max, _SMALLEST)
        scale, name = np.minimum(old, step).astype(np.float32), f"narrow_{index}_scale"
        model.graph.initializer.append(numpy_helper.from_array(scale, name))
        for node in (quantizer.node, *quantizer.readers):
            model.graph.node[places[id(node)]].input[1] = name
    return model


def _feeds(graph: Graph, frame: Frame) -> dict[str, npt.NDArray[Any]]:
    feeds: dict[str, npt.NDArray[Any]] = {}
    for info in graph.model.graph.input:
        is_image = info.name == "image"
        feeds[info.name] = frame[None] if is_image else np.zeros(graph.shape(info.name), np.float32)
    return feeds
