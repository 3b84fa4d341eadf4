"""A trunk in half precision: float16 weights and arithmetic, `logits` back in float32.

The bytes 0..255 and their distance to 127.5 are exact in float16, and 1 / 255 is in the first
kernel already: the image itself is not rounded. k / 255 in float16 would be a perturbation of its
own, 0.19 in l2 at 1024 x 1024.

Rounding lifts the norm of a kernel a little. Kernels are divided by the bound of what they round to
and rounded again, so that the lifts of the layers do not multiply.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from lipdeploy.core.errors import InputError
from lipdeploy.export.verifier.graph import Graph
from lipdeploy.export.verifier.lipschitz import graph_bound

HALF_LOGITS = "logits_half"


def half_trunk(trunk: onnx.ModelProto) -> onnx.ModelProto:
    """The trunk in float16, of the two forms the one with the smaller bound.

    Raises:
        InputError: a weight that float16 cannot hold.
    """
    plain = rounded_trunk(trunk)
    before = graph_bound(Graph(plain))
    shrunk = rounded_trunk(_divided(trunk, {layer.name: layer.bound for layer in before.layers}))
    after = graph_bound(Graph(shrunk))
    return shrunk if after.lipschitz < before.lipschitz else plain


def _divided(trunk: onnx.ModelProto, bounds: Mapping[str, float]) -> onnx.ModelProto:
    """Kernels divided by their bound where that is above 1."""
    model = onnx.ModelProto()
    model.CopyFrom(trunk)
    for tensor in model.graph.initializer:
        bound = max(1.0, bounds.get(tensor.name.removesuffix(".weight"), 1.0))
        if bound > 1.0:
            values = numpy_helper.to_array(tensor) / np.float32(bound)
            tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
    return model


def rounded_trunk(trunk: onnx.ModelProto) -> onnx.ModelProto:
    """The trunk with every stored float rounded to float16 once, and computed in it.

    Raises:
        InputError: a weight that float16 cannot hold.
    """
    model = onnx.ModelProto()
    model.CopyFrom(trunk)
    rounded = [_rounded(tensor) for tensor in model.graph.initializer]
    del model.graph.initializer[:]
    model.graph.initializer.extend(rounded)
    for node in model.graph.node:
        _narrow_cast(node)
        node.output[:] = [HALF_LOGITS if name == "logits" else name for name in node.output]
        node.input[:] = [HALF_LOGITS if name == "logits" else name for name in node.input]
    model.graph.node.append(
        helper.make_node(
            "Cast", [HALF_LOGITS], ["logits"], name="logits_float32", to=TensorProto.FLOAT
        )
    )
    return model


def _rounded(tensor: onnx.TensorProto) -> onnx.TensorProto:
    if tensor.data_type != TensorProto.FLOAT:
        return tensor
    values = numpy_helper.to_array(tensor)
    largest = float(np.abs(values).max(initial=0.0))
    if not largest <= float(np.finfo(np.float16).max):
        raise InputError(f"{tensor.name!r} holds {largest:.3g}, beyond float16; use int8-weights")
    return numpy_helper.from_array(values.astype(np.float16), tensor.name)


def _narrow_cast(node: onnx.NodeProto) -> None:
    for attribute in node.attribute:
        if node.op_type == "Cast" and attribute.name == "to" and attribute.i == TensorProto.FLOAT:
            attribute.i = TensorProto.FLOAT16
