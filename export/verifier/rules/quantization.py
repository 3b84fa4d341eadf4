"""QuantizeLinear and DequantizeLinear of activations: together one clip, of slope at most 1."""

from __future__ import annotations

import onnx

from lipdeploy.core.errors import VerificationError
from lipdeploy.export.verifier.graph import label
from lipdeploy.export.verifier.rules.elementwise import pass_through
from lipdeploy.export.verifier.rules.walk import Rule, Walk


def _half_of_a_clip(walk: Walk, node: onnx.NodeProto) -> None:
    """Weights go through the integers unchanged: they stand for the clipped values.

    All other uses of the integers were refused when the file was opened (`quantizers.py`).
    """
    if id(node) not in walk.file.clips:
        raise VerificationError(f"{label(node)} is not one half of a quantized activation")
    pass_through(walk, node)


# `quantizers.py` refuses blocks and other types where these two are not at their default.
_GRID = frozenset({"axis", "block_size", "output_dtype", "saturate"})

RULES: dict[str, Rule] = {
    "DequantizeLinear": Rule(_half_of_a_clip, _GRID, bytes=True),
    "QuantizeLinear": Rule(_half_of_a_clip, _GRID, bytes=True),
}
