"""The stored graph as torch operations: a white-box view of the file for attacks and Jacobians."""

from typing import Any

import torch
from torch import Tensor

from lipdeploy.export.verifier.graph import Graph, attributes


class TorchGraph:
    """Images (N, 3, H, W) in [0, 1] to the logits of the file, in a chosen precision."""

    def __init__(self, graph: Graph, dtype: torch.dtype = torch.float32) -> None:
        self.nodes = [
            n for n in graph.ancestors("logits") if n.op_type not in ("Cast", "Transpose")
        ]
        self.dtype = dtype
        self.constants = {
            name: torch.from_numpy(value.copy()).to(dtype)
            for name, value in graph.constants.items()
            if value.dtype.kind == "f"
        }
        self.start = next(n for n in graph.nodes if n.op_type == "Transpose").output[0]

    def __call__(self, images: Tensor) -> Tensor:
        values = {**self.constants, self.start: images.to(self.dtype) * 255}
        for node in self.nodes:
            inputs = [values[name] for name in node.input if name in values]
            outputs = _run(node.op_type, attributes(node), inputs)
            values.update(zip(node.output, outputs, strict=True))
        return values["logits"]


def _run(op: str, found: dict[str, Any], x: list[Tensor]) -> list[Tensor]:
    if op == "Conv":
        pads = found.get("pads", [0, 0, 0, 0])
        bias = x[2] if len(x) > 2 else None  # the exporter drops a bias that is zero
        return [
            torch.nn.functional.conv2d(
                x[0], x[1], bias, found["strides"], pads[:2], found["dilations"]
            )
        ]
    if op == "Split":
        return list(x[0].chunk(found["num_outputs"], found["axis"]))
    if op == "Concat":
        return [torch.cat(x, found["axis"])]
    if op == "DepthToSpace":
        return [torch.nn.functional.pixel_shuffle(x[0], found["blocksize"])]
    if op == "Sub":
        return [x[0] - x[1]]
    return [torch.maximum(x[0], x[1]) if op == "Max" else torch.minimum(x[0], x[1])]
