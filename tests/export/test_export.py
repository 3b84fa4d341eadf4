"""The exported file: plain, verified, and never optimistic."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import pytest
import torch

from lipdeploy.cli import main
from lipdeploy.core.certificate import count_flips
from lipdeploy.core.errors import InputError, VerificationError
from lipdeploy.core.manifest import manifest_from_metadata
from lipdeploy.core.radius import margin_from_logits, radius_from_margin
from lipdeploy.export.exporter import Request, export
from lipdeploy.export.verifier.graph import Graph, load_model
from lipdeploy.export.verifier.parity import synthetic_frames
from lipdeploy.export.verifier.replay import Replay
from lipdeploy.export.verifier.verification import verify
from lipdeploy.runtime.session import open_session
from lipdeploy.training.attack import (
    cheapest_pixels_objective,
    cross_entropy_objective,
    l2_attack,
)
from lipdeploy.training.checkpoint import save_checkpoint
from tests.export.conftest import checkpoint, export_to
from tests.export.torch_graph import TorchGraph


def test_graph_is_plain(model_64: Path) -> None:
    model = load_model(model_64)
    ops = {node.op_type for node in model.graph.node if not node.name.startswith("head/")}
    assert ops == {
        "Cast",
        "Transpose",
        "Sub",
        "Conv",
        "Max",
        "Min",
        "Split",
        "Concat",
        "DepthToSpace",
    }
    assert len(model.graph.node) < 300
    assert model.ir_version <= 10
    assert [o.version for o in model.opset_import if not o.domain] == [18]
    text = model.SerializeToString()
    assert str(Path(__file__).resolve().parents[2]).encode() not in text
    assert b".py" not in text
    assert not any(len(f.node) for f in model.functions)


def test_metadata_follows_the_contract(model_64: Path) -> None:
    metadata = {p.key: p.value for p in load_model(model_64).metadata_props}
    assert {"names", "task", "imgsz", "channels", "license", "batch", "stride"} <= set(metadata)
    manifest = manifest_from_metadata(metadata)
    assert manifest.class_names == ("class 0", "class 1", "class 2")
    assert 1 - 1e-4 < manifest.lipschitz < 1.0005
    assert manifest.numerics.level == "none"  # 24 frames are no evidence
    assert len(manifest.layers) == 27


@pytest.mark.parametrize(("side", "frames"), [(128, 200), (512, 200)])
def test_radius_and_flips_against_float64(tmp_path: Path, side: int, frames: int) -> None:
    path = export_to(tmp_path / "m.onnx", side, side, budgets=3)
    replay = Replay(Graph(load_model(path)))
    eps = [0.02, 0.1, 0.5]
    with open_session(path) as session:
        for frame in synthetic_frames(frames, side, side, seed=11):
            found = session.infer(frame, eps)
            margin = margin_from_logits(replay(frame))
            exact = radius_from_margin(margin, session.manifest.lipschitz)
            assert (found.radius <= exact).all()
            assert (found.flips >= count_flips(exact, np.array(eps))).all()


def test_attack_inside_the_radius_changes_nothing(tmp_path: Path) -> None:
    """PGD on the stored weights, 50 steps, restarts: 50 frames, re-scored by the file itself.

    The adversary moves real-valued images; the file takes bytes, so the moved image is scored in
    float64 on the stored graph.
    """
    path = export_to(tmp_path / "m.onnx", 32, 32)
    graph = Graph(load_model(path))
    white_box, exact = TorchGraph(graph), TorchGraph(graph, torch.float64)
    frames = np.stack(list(synthetic_frames(50, 32, 32, seed=5)))
    images = torch.from_numpy(frames).permute(0, 3, 1, 2).float() / 255
    with open_session(path) as session:
        for eps in (0.1, 0.5):
            found = [session.infer(frame, [eps]) for frame in frames]
            mask = torch.from_numpy(np.stack([f.mask for f in found])).long()
            radius = np.stack([f.radius for f in found])
            for restart, objective in enumerate(
                (cross_entropy_objective(40.0), cheapest_pixels_objective(eps))
            ):
                generator = torch.Generator().manual_seed(restart)
                moved = l2_attack(white_box, images, mask, eps, objective, 50, generator)
                assert (moved - images).flatten(1).norm(dim=1).max() <= eps * (1 + 1e-5)
                assert moved.min() >= 0
                assert moved.max() <= 1
                with torch.no_grad():
                    changed = (exact(moved).argmax(1) != mask).numpy()
                assert not (changed & (radius > eps)).any()
                assert (changed.sum((1, 2)) <= [f.flips[0] for f in found]).all()
                assert changed.any()  # the attack is a real one


@pytest.mark.parametrize("head", ["threshold", "sort"])
def test_both_heads_and_rectangles(tmp_path: Path, head: str) -> None:
    path = export_to(tmp_path / "m.onnx", 32, 64, head=head, budgets=2, logits=True)
    found = verify(path)
    assert found.passed, found.failure
    model = onnx.load(path)
    assert [o.name for o in model.graph.output] == ["mask", "radius", "flips", "logits"]


def test_unconstrained_twin_is_told_as_it_is(tmp_path: Path) -> None:
    twin = checkpoint(3, "none")
    report = export(twin, tmp_path / "m.onnx", Request(64, 64, frames=4), lambda _: None)
    assert report.verification.lipschitz > 50


class Skewed(Replay):
    """A reference that disagrees by one percent: what a wrong engine looks like from float64."""

    def __call__(self, image: npt.NDArray[np.uint8]) -> npt.NDArray[np.float64]:
        return super().__call__(image) * 0.99


@pytest.mark.parametrize(
    ("module", "message"),
    [
        ("exporter", "folding changed a logit"),
        ("verifier.execution", "is above float64"),
    ],
)
def test_command_fails_with_three_when_parity_fails(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    module: str,
    message: str,
) -> None:
    save_checkpoint(checkpoint(3), tmp_path / "c.pt")
    monkeypatch.setattr(f"lipdeploy.export.{module}.Replay", Skewed)
    args = ["export", str(tmp_path / "c.pt"), str(tmp_path / "m.onnx"), "--frames", "4"]
    assert main(args) == 3
    assert message in capsys.readouterr().err
    assert not list(tmp_path.glob("m.onnx*"))


def test_an_engine_that_is_off_by_more_than_rounding_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lipdeploy.export.exporter._fold_error", lambda *_: 0.0)
    monkeypatch.setattr("lipdeploy.export.exporter.Replay", Skewed)
    with pytest.raises(VerificationError, match="more than float32 explains"):
        export(checkpoint(3), tmp_path / "m.onnx", Request(64, 64, frames=4), lambda _: None)


def test_sizes_that_do_not_fit(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="multiples of 4"):
        export(checkpoint(3), tmp_path / "m.onnx", Request(30, 64), lambda _: None)
