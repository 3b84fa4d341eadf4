"""The file that calibration starts from: verified, in float32, taken apart into trunk and head."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import onnx

from lipdeploy.core.errors import InputError, VerificationError
from lipdeploy.core.manifest import Manifest
from lipdeploy.export.artefact import Description
from lipdeploy.export.verifier.graph import Graph, model_from_bytes
from lipdeploy.runtime.model_file import ModelFile, read_model


@dataclass(frozen=True)
class Source:
    """A verified float32 file.

    Attributes:
        file: as read, once.
        graph: of the whole file.
        trunk: the network alone, `image` to `logits`.
        description: the keys for viewers.
        with_logits: whether the file has `logits` among its outputs.
    """

    file: ModelFile
    graph: Graph
    trunk: onnx.ModelProto
    description: Description
    with_logits: bool

    @property
    def manifest(self) -> Manifest:
        """What the file says of itself."""
        return self.file.manifest


def read_source(path: Path) -> Source:
    """Read and judge a file.

    Raises:
        InputError: there is no such file, or it is quantized already.
        VerificationError: no lipdeploy model, or one that no valid record vouches for.
    """
    file = read_model(path)
    if not file.standing.valid:
        raise VerificationError(
            f"model {path} {file.standing.doubt}; run `lipdeploy verify {path}` first"
        )
    precision = file.manifest.numerics.precision
    if precision != "float32":
        raise InputError(
            f"model {path} is {precision} already; calibrate the float32 file that it came from"
        )
    graph = Graph(model_from_bytes(file.data, str(path)))
    with_logits = any(output.name == "logits" for output in graph.model.graph.output)
    return Source(file, graph, trunk_of(graph), _description(file), with_logits)


def trunk_of(graph: Graph) -> onnx.ModelProto:
    """The part of a file that computes `logits`, without head and metadata."""
    model = onnx.ModelProto()
    model.CopyFrom(graph.model)
    del model.metadata_props[:]
    found = model.graph
    nodes = graph.ancestors("logits")
    used = {name for node in nodes for name in node.input}
    constants = [t for t in graph.model.graph.initializer if t.name in used]
    inputs = [i for i in graph.model.graph.input if i.name == "image"]
    del found.node[:], found.initializer[:], found.input[:], found.output[:], found.value_info[:]
    found.node.extend(nodes)
    found.initializer.extend(constants)
    found.input.extend(inputs)
    shape = graph.shape("logits")
    found.output.append(onnx.helper.make_tensor_value_info("logits", onnx.TensorProto.FLOAT, shape))
    return model


def _description(file: ModelFile) -> Description:
    metadata, default = file.content.metadata, Description()
    return Description(
        metadata.get("description", default.description),
        metadata.get("author", default.author),
        metadata.get("license", default.license),
        int(metadata.get("stride", default.stride)),
    )
