"""The network alone as ONNX: `image` to `logits`."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings

import onnx
import torch

from lipdeploy.export.fold import FoldedNetwork
from lipdeploy.export.opset import IR_VERSION, OPSET


def trunk_model(network: FoldedNetwork, height: int, width: int) -> onnx.ModelProto:
    """Export with torch.onnx: standard ops of opset 18, static shape, weights inside.

    Inputs and outputs: `image` uint8 (1, H, W, 3), `logits` float32 (1, K, H, W).
    """
    image = torch.zeros(1, height, width, 3, dtype=torch.uint8)
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            network,
            (image,),
            input_names=["image"],
            output_names=["logits"],
            opset_version=OPSET,
            dynamo=True,
            verbose=False,
        )
    assert program is not None
    model = program.model_proto
    model.ir_version = min(model.ir_version, IR_VERSION)
    return _plain(model)


def _plain(model: onnx.ModelProto) -> onnx.ModelProto:
    """Drop what only describes where a node came from: it names source files of this machine."""
    del model.metadata_props[:]
    graph = model.graph
    graph.name = "lipdeploy"
    del graph.value_info[:], graph.metadata_props[:]
    for item in (*graph.node, *graph.initializer, *graph.input, *graph.output):
        del item.metadata_props[:]
        item.doc_string = ""
    return model
