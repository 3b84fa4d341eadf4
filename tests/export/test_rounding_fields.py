"""Receptive fields against what really reaches a pixel: a NaN put at one place of a tensor."""

from typing import Any

import numpy as np
import pytest
from onnx import NodeProto, TensorProto, helper

from lipdeploy.export.verifier.graph import Graph
from lipdeploy.export.verifier.rounding.bound import Rounding
from lipdeploy.export.verifier.rounding.field_rules import receptive_fields
from lipdeploy.export.verifier.rounding.receptive_field import Field
from lipdeploy.export.verifier.rounding.tails import Tails
from tests.export.rounding_graphs import graph_of, local_graph, replayed

RNG = np.random.default_rng(0)


def conv(channels: int, size: int, **found: Any) -> tuple[list[NodeProto], dict[str, np.ndarray]]:
    kernel = RNG.normal(size=(2, channels, size, size))
    return [helper.make_node("Conv", ["image", "k"], ["logits"], **found)], {"k": kernel}


def fields_of(graph: Graph) -> dict[str, Field]:
    tails = Tails(graph)
    nodes = tails.nodes("logits")
    return receptive_fields(graph, tails.file.constants, nodes, "logits")


def support(graph: Graph, tensor: str) -> np.ndarray:
    """Whether a place of a tensor's picture reaches a pixel. Shape: (rows, columns, H, W)."""
    image = np.zeros(graph.shape("image")[1:], np.uint8)
    base = replayed(graph, image)
    value = base[tensor] if tensor != "image" else image[None].astype(np.float64)
    rows, columns = (2, 3) if tensor != "image" or graph.shape("image")[-1] != 3 else (1, 2)
    found = np.zeros((value.shape[rows], value.shape[columns], *base["logits"].shape[2:]), bool)
    for y, x in np.ndindex(found.shape[:2]):
        moved = np.moveaxis(value.copy(), (rows, columns), (0, 1))
        moved[y, x] = np.nan
        back = np.moveaxis(moved, (0, 1), (rows, columns))
        if tensor == "image":
            found[y, x] = np.isnan(replayed(graph, back[0])["logits"][0]).any(0)
        else:
            found[y, x] = np.isnan(replayed(graph, image, {tensor: back})["logits"][0]).any(0)
    return found


def boxes(field: Field, rows: int, columns: int) -> np.ndarray:
    """The field in the form of `support`."""
    above, across = field.rows.indicator(rows), field.columns.indicator(columns)
    return np.asarray(np.einsum("yr,xc->rcyx", above, across), bool)


def hull(found: np.ndarray) -> np.ndarray:
    """The smallest boxes around a support."""
    full = np.zeros_like(found)
    for y, x in np.ndindex(found.shape[2:]):
        rows, columns = np.nonzero(found[:, :, y, x])
        if rows.size:
            box = (slice(rows.min(), rows.max() + 1), slice(columns.min(), columns.max() + 1))
            full[(*box, y, x)] = True
    return full


def check(graph: Graph, tensor: str, *, exact: bool) -> None:
    reached = support(graph, tensor)
    found = boxes(fields_of(graph)[tensor], *reached.shape[:2])
    assert not (reached & ~found).any()
    if exact:
        assert (found == hull(reached)).all()


@pytest.mark.parametrize("residual", [False, True])
@pytest.mark.parametrize("tensor", ["image", "c0", "low", "c1", "joined", "c2"])
def test_every_tensor_of_a_network(tensor: str, residual: bool) -> None:
    """Stride, dilation, a branch around them and a pixel shuffle: the smallest boxes."""
    check(local_graph(0, residual=residual), tensor, exact=True)


@pytest.mark.parametrize(
    "found",
    [
        {"pads": [1, 1, 1, 1]},
        {"pads": [2, 0, 0, 1], "strides": [2, 3]},
        {"pads": [0, 2, 2, 0], "dilations": [2, 1]},
        {"auto_pad": "SAME_UPPER", "strides": [2, 2]},
    ],
)
def test_convolutions(found: dict[str, Any]) -> None:
    nodes, constants = conv(2, 3, **found)
    draft = graph_of(nodes, constants, [1, 2, 9, 8], [1, 2, 0, 0])
    check(draft, "image", exact=True)


@pytest.mark.parametrize(
    "found",
    [
        {"strides": [2, 2]},
        {"strides": [2, 2], "pads": [1, 1, 1, 1], "output_padding": [1, 1]},
        {"strides": [3, 1], "dilations": [2, 2], "pads": [0, 1, 2, 0]},
    ],
)
def test_transposed_convolutions(found: dict[str, Any]) -> None:
    kernel = RNG.normal(size=(2, 2, 3, 3))
    node = helper.make_node("ConvTranspose", ["image", "k"], ["logits"], **found)
    check(graph_of([node], {"k": kernel}, [1, 2, 4, 5], [1, 2, 0, 0]), "image", exact=True)


@pytest.mark.parametrize("mode", ["constant", "edge", "reflect", "wrap"])
def test_padding_copies(mode: str) -> None:
    """A wrapped edge reads the other side, so that its box is the whole row: larger, never less."""
    nodes = [
        helper.make_node("Pad", ["image", "pads"], ["wide"], mode=mode),
        helper.make_node("Conv", ["wide", "k"], ["logits"]),
    ]
    constants = {"pads": np.array([0, 0, 1, 2, 0, 0, 2, 1]), "k": RNG.normal(size=(2, 2, 3, 3))}
    check(graph_of(nodes, constants, [1, 2, 6, 7], [1, 2, 0, 0]), "image", exact=mode == "edge")


def test_slices_shuffles_and_pools() -> None:
    integers = {"start": np.array([5, 1]), "end": np.array([-9, 6]), "axes": np.array([2, 3])}
    nodes = [
        helper.make_node("MaxPool", ["image"], ["p"], kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("SpaceToDepth", ["p"], ["s"], blocksize=2),
        helper.make_node("DepthToSpace", ["s"], ["d"], blocksize=2),
        helper.make_node("Slice", ["d", "start", "end", "axes", "steps"], ["logits"]),
    ]
    constants = integers | {"steps": np.array([-1, 2])}
    check(graph_of(nodes, constants, [1, 2, 12, 16], [1, 2, 0, 0]), "image", exact=False)


def test_a_global_operator_reads_the_whole_picture() -> None:
    nodes = [
        helper.make_node("GlobalAveragePool", ["image"], ["mean"]),
        helper.make_node("Add", ["image", "mean"], ["logits"]),
    ]
    graph = graph_of(nodes, {}, [1, 2, 6, 5], [1, 2, 6, 5])
    fields = fields_of(graph)
    assert fields["image"].axes is None
    assert Rounding(graph).of_model().field == (6, 5)
    norm = fields["image"].norms(np.ones((1, 2, 6, 5)))
    assert norm.shape == (6, 5)
    assert np.allclose(norm, np.sqrt(60))


def test_norms_are_those_of_the_boxes() -> None:
    graph = local_graph(1)
    field = fields_of(graph)["c0"]
    values = RNG.normal(size=graph.shape("c0"))
    found = field.norms(values)
    inside = boxes(field, *values.shape[2:])
    expected = np.sqrt(np.einsum("crs,rsyx->yx", values[0] ** 2, inside.astype(float)))
    assert np.allclose(found, expected, rtol=1e-12)


def test_a_transposed_picture_keeps_its_boxes() -> None:
    nodes = [
        helper.make_node("Cast", ["image"], ["f"], to=TensorProto.FLOAT),
        helper.make_node("Transpose", ["f"], ["t"], perm=[0, 3, 2, 1]),
        helper.make_node("Conv", ["t", "k"], ["logits"], pads=[1, 0, 1, 0]),
    ]
    graph = graph_of(
        nodes,
        {"k": RNG.normal(size=(2, 3, 3, 1))},
        [1, 5, 7, 3],
        [1, 2, 7, 5],
        TensorProto.UINT8,
    )
    field = fields_of(graph)["image"]
    assert field.axes == (2, 1)
    assert field.rows.indicator(7).sum() == 19  # three rows each, two at the ends
    assert np.allclose(
        field.norms(np.ones((1, 5, 7, 3))) ** 2, 3 * field.rows.indicator(7).sum(1)[:, None]
    )
