"""Put trunk, head and metadata together into one ONNX file."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

import onnx
from onnx import TensorProto, helper

from lipdeploy.core.manifest import Manifest
from lipdeploy.export.head import head_nodes
from lipdeploy.export.verifier.graph import weights_sha256
from lipdeploy.export.verifier.head_check import head_spec


@dataclass(frozen=True)
class Description:
    """The keys that viewers and runtimes of the field look for (Ultralytics' names)."""

    description: str = "lipdeploy certified semantic segmentation"
    author: str = "lipdeploy"
    license: str = "Apache-2.0"
    stride: int = 4


def assembled(
    trunk: onnx.ModelProto, manifest: Manifest, description: Description, with_logits: bool = False
) -> onnx.ModelProto:
    """A model with inputs `image` and `eps`, outputs `mask`, `radius`, `flips` and metadata.

    The manifest's weight hash is recomputed, since the head's constants are part of it.
    """
    model = onnx.ModelProto()
    model.CopyFrom(trunk)
    graph = model.graph
    nodes, constants = head_nodes(head_spec(manifest))
    graph.node.extend(nodes)
    graph.initializer.extend(constants)
    graph.input.append(_info("eps", TensorProto.FLOAT, [manifest.budgets]))
    logits = graph.output[0]
    kept = onnx.ValueInfoProto()
    kept.CopyFrom(logits)
    del graph.output[:]
    frame = [1, manifest.height, manifest.width]
    graph.output.append(_info("mask", TensorProto.UINT8, frame))
    graph.output.append(_info("radius", TensorProto.FLOAT, frame))
    graph.output.append(_info("flips", TensorProto.FLOAT, [1, manifest.budgets]))
    if with_logits:
        graph.output.append(kept)
    model.producer_name = "lipdeploy"
    metadata = _common_metadata(manifest, description) | manifest.to_metadata()
    helper.set_model_props(model, metadata)
    return model


def hashed(model: onnx.ModelProto) -> str:
    """The weight hash that the manifest of this model must carry."""
    return weights_sha256(model.graph.initializer)


def _info(name: str, dtype: int, shape: list[int]) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, dtype, shape)


def _common_metadata(manifest: Manifest, description: Description) -> dict[str, str]:
    from lipdeploy import __version__

    return {
        "description": description.description,
        "author": description.author,
        "date": dt.datetime.now(dt.timezone.utc).isoformat(timespec="seconds"),
        "version": __version__,
        "license": description.license,
        "stride": str(description.stride),
        "task": "semantic",
        "batch": "1",
        "imgsz": str([manifest.height, manifest.width]),
        "channels": "3",
        "names": str(dict(enumerate(manifest.class_names))),
    }
