"""A read-only view of an ONNX graph: constants, shapes and who computes what."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from google.protobuf.message import Message
from onnx import helper, numpy_helper, shape_inference

from lipdeploy.core.errors import VerificationError
from lipdeploy.runtime.model_file import read_bytes

LARGEST_TENSOR = 2**30  # elements: what is larger would not fit beside its weights


class Graph:
    """Nodes in topological order with constants as arrays and static shapes.

    Raises:
        VerificationError: the graph is malformed, or a shape is not static.
    """

    def __init__(self, model: onnx.ModelProto) -> None:
        self.model = model
        try:
            onnx.checker.check_model(model, full_check=True)
            inferred = _inferred(model)
        except Exception as error:  # the checker raises several unrelated types
            reason = str(error).strip().splitlines()[0]
            raise VerificationError(f"the ONNX graph is malformed: {reason}") from error
        self.nodes = list(model.graph.node)
        _require_unique([t.name for t in model.graph.initializer], "initializer")
        self.constants = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
        infos = (*inferred.graph.value_info, *inferred.graph.input, *inferred.graph.output)
        self._shapes = {info.name: _static_shape(info) for info in infos}
        shadowed = sorted(self.constants.keys() & {n for node in self.nodes for n in node.output})
        if shadowed:
            raise VerificationError(f"{shadowed[0]!r} is both stored and computed")
        self._types = {info.name: info.type.tensor_type.elem_type for info in infos}
        self.producer = {name: node for node in self.nodes for name in node.output if name}

    @property
    def opset(self) -> int:
        """Version of the standard operators, 0 if the file names none."""
        imports = self.model.opset_import
        return next((int(o.version) for o in imports if o.domain in ("", "ai.onnx")), 0)

    def shape(self, tensor: str) -> tuple[int, ...]:
        """Static shape of a tensor."""
        if tensor in self.constants:
            return tuple(self.constants[tensor].shape)
        shape = self._shapes.get(tensor)
        if shape is None:
            raise VerificationError(
                f"tensor {tensor!r} has no static shape; export with fixed sizes"
            )
        if math.prod(shape) > LARGEST_TENSOR:
            raise VerificationError(f"tensor {tensor!r} has shape {shape}; that is too large")
        return shape

    def dtype(self, tensor: str) -> int:
        """Element type of a tensor that is not stored, as in `onnx.TensorProto`."""
        return int(self._types.get(tensor, onnx.TensorProto.UNDEFINED))

    def ancestors(self, tensor: str) -> list[onnx.NodeProto]:
        """Nodes that `tensor` depends on, in graph order."""
        needed, found = [tensor], set()
        while needed:
            node = self.producer.get(needed.pop())
            if node is not None and id(node) not in found:
                found.add(id(node))
                needed.extend(node.input)
        return [node for node in self.nodes if id(node) in found]

    def constant(self, node: onnx.NodeProto, index: int) -> npt.NDArray[Any]:
        """Input `index` of a node, which must be a constant."""
        name = node.input[index] if index < len(node.input) else ""
        if name not in self.constants:
            raise VerificationError(f"{label(node)}: input {index} must be a constant of the file")
        return self.constants[name]


def _inferred(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model with shapes that follow from its inputs, whatever the file says of others."""
    bare = onnx.ModelProto()
    bare.CopyFrom(model)
    del bare.graph.value_info[:]
    for output in bare.graph.output:
        output.type.tensor_type.ClearField("shape")
    return shape_inference.infer_shapes(bare, strict_mode=True, data_prop=True)


def _require_unique(names: list[str], kind: str) -> None:
    repeated = (
        {name for name in names if names.count(name) > 1} if len(set(names)) < len(names) else ()
    )
    if repeated:
        raise VerificationError(f"the file has more than one {kind} {min(repeated)!r}")


def _static_shape(info: onnx.ValueInfoProto) -> tuple[int, ...] | None:
    dims = info.type.tensor_type.shape.dim
    return tuple(d.dim_value for d in dims) if all(d.dim_value > 0 for d in dims) else None


def load_model(path: Path) -> onnx.ModelProto:
    """Read an ONNX file with all its weights inside.

    Raises:
        InputError: there is no such file.
        VerificationError: the file is not ONNX, or keeps weights elsewhere.
    """
    return model_from_bytes(read_bytes(path), str(path))


def model_from_bytes(data: bytes, name: str) -> onnx.ModelProto:
    """Parse an ONNX file with all its weights inside.

    Raises:
        VerificationError: the file is not ONNX, or keeps weights elsewhere.
    """
    try:
        model = onnx.load_model_from_string(data)
    except Exception as error:  # protobuf's own error types differ between versions
        raise VerificationError(f"{name} is not an ONNX file ({type(error).__name__})") from error
    if any(t.data_location == onnx.TensorProto.EXTERNAL for t in _tensors(model)):
        raise VerificationError(f"{name} keeps weights in other files; expected all inside")
    return model


def _tensors(message: Message) -> Iterator[onnx.TensorProto]:
    """Every tensor anywhere in a file: stored, in attributes, sparse or in graphs within graphs."""
    open_messages = [message]
    while open_messages:
        current = open_messages.pop()
        if isinstance(current, onnx.TensorProto):
            yield current
            continue
        for field, value in current.ListFields():
            if field.message_type:
                open_messages.extend(value if hasattr(value, "add") else [value])


def label(node: onnx.NodeProto) -> str:
    """How messages name a node: operator and name or first output."""
    return f"{node.op_type} {node.name or node.output[0]!r}"


def attributes(node: onnx.NodeProto) -> dict[str, Any]:
    """Attributes as Python values."""
    return {a.name: helper.get_attribute_value(a) for a in node.attribute}


def weights_sha256(constants: Iterable[onnx.TensorProto]) -> str:
    """Hash of name, type, shape and bytes of every constant, sorted by name."""
    digest = hashlib.sha256()
    for tensor in sorted(constants, key=lambda t: t.name):
        array = np.ascontiguousarray(numpy_helper.to_array(tensor))
        digest.update(f"{tensor.name}|{array.dtype.str}|{array.shape}|".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()
