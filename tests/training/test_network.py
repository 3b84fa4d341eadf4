"""The networks as wholes: their constant, twins, shapes, and the bound of their files."""

from pathlib import Path

import numpy as np
import pytest
import torch

from lipdeploy.export.fold import folded
from lipdeploy.export.trunk import trunk_model
from lipdeploy.export.verifier.graph import Graph
from lipdeploy.export.verifier.lipschitz import graph_bound
from lipdeploy.training.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from lipdeploy.training.layers import BatchCentering2d
from lipdeploy.training.network import (
    ARCHS,
    CONSTRAINTS,
    SIZES,
    VARIANTS,
    NetworkConfig,
    SegmentationNetwork,
    build_network,
)
from lipdeploy.training.network.config import Arch, Variant

CONSTRAINED = [constraint for constraint in CONSTRAINTS if constraint != "none"]


def trained_like(config: NetworkConfig) -> SegmentationNetwork:
    """Weights well away from their start, centering away from zero."""
    torch.manual_seed(0)
    net = build_network(config).eval()
    with torch.no_grad():
        for parameter in net.parameters():
            if parameter.ndim > 1:
                parameter.add_(0.3 * parameter.std() * torch.randn_like(parameter))
        for module in net.modules():
            if isinstance(module, BatchCentering2d):
                module.running_mean.normal_(0, 0.02)
    return net


@pytest.mark.parametrize("constraint", CONSTRAINED)
@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("arch", ARCHS)
def test_jacobian_norm_is_at_most_one(arch: Arch, variant: Variant, constraint: str) -> None:
    net = trained_like(NetworkConfig(2, arch, "S", constraint, variant)).double()  # type: ignore[arg-type]
    torch.manual_seed(4)
    image = torch.rand(1, 3, 16, 16, dtype=torch.float64)
    found = torch.autograd.functional.jacobian(net, image).reshape(2 * 256, 3 * 256)
    norm = float(np.linalg.norm(found.numpy(), 2))
    assert 0 < norm <= 1 + 1e-6


def test_our_form_loses_less_of_the_signal_than_scaled_sums() -> None:
    """The claim behind the form: at random orthogonal weights the Jacobian stays larger."""
    norms = {}
    for variant in VARIANTS:
        torch.manual_seed(0)
        net = build_network(NetworkConfig(2, "deeplabv3", "S", "orthogonal", variant))  # type: ignore[arg-type]
        image = torch.rand(1, 3, 16, 16, dtype=torch.float64)
        found = torch.autograd.functional.jacobian(net.double().eval(), image)
        norms[variant] = float(np.linalg.norm(found.reshape(512, 768).numpy(), 2))
    assert norms["split"] > 10 * norms["paper"]


@pytest.mark.parametrize(("arch", "variant"), [(a, v) for a in ARCHS for v in VARIANTS])
def test_no_pair_of_images_is_moved_apart(arch: Arch, variant: Variant) -> None:
    net = trained_like(NetworkConfig(5, arch, variant=variant))
    torch.manual_seed(5)
    a, b = torch.rand(2, 8, 3, 32, 32)
    with torch.no_grad():
        for near in (b, a + 0.01 * (b - a)):
            moved = (net(a) - net(near)).flatten(1).norm(dim=1)
            assert (moved <= (a - near).flatten(1).norm(dim=1) * (1 + 1e-5)).all()


@pytest.mark.parametrize("constraint", CONSTRAINTS)
@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("arch", ARCHS)
def test_twins_share_shapes(arch: Arch, variant: Variant, constraint: str) -> None:
    net = build_network(NetworkConfig(3, arch, "S", constraint, variant))  # type: ignore[arg-type]
    assert net(torch.rand(2, 3, 32, 48)).shape == (2, 3, 32, 48)


@pytest.mark.parametrize(("arch", "variant"), [(a, v) for a in ARCHS for v in VARIANTS])
def test_bound_of_the_exported_weights(arch: Arch, variant: Variant) -> None:
    """From the folded ONNX graph alone, and the folded graph computes what the network does."""
    net = trained_like(NetworkConfig(3, arch, variant=variant))
    plain = folded(net)
    bound = graph_bound(Graph(trunk_model(plain, 32, 32))).lipschitz
    assert 0.9 < bound <= 1.001
    frame = torch.randint(0, 256, (1, 32, 48, 3), dtype=torch.uint8)
    expected = net.double()(frame.permute(0, 3, 1, 2).double() / 255)
    assert torch.allclose(plain(frame).double(), expected, atol=1e-5)


@pytest.mark.parametrize("size", ["M1", "M2", "L"])
def test_sizes_are_the_papers(size: str) -> None:
    """App. F: channels and residual blocks of the stages; the meta device allocates nothing."""
    table = {
        "M1": (5, (64, 128, 256)),
        "M2": (5, (64, 128, 256, 512)),
        "L": (7, (64, 128, 256, 512)),
    }
    blocks, channels = table[size]
    assert (SIZES[size].blocks, SIZES[size].channels) == (blocks, channels)
    with torch.device("meta"):
        net = build_network(NetworkConfig(19, size=size, constraint="none"))
    assert len(list(net.get_submodule("stages").children())) == len(channels)
    out = net(torch.rand(1, 3, 64, 64, device="meta"))
    assert out.shape == (1, 19, 64, 64)


def test_unconstrained_fold_includes_batch_normalisation() -> None:
    torch.manual_seed(0)
    net = build_network(NetworkConfig(2, "unet", constraint="none", variant="paper"))
    net.train()
    net(torch.rand(4, 3, 32, 32))
    net.eval()
    frame = torch.randint(0, 256, (1, 32, 32, 3), dtype=torch.uint8)
    expected = net.double()(frame.permute(0, 3, 1, 2).double() / 255)
    assert torch.allclose(folded(net)(frame).double(), expected, atol=1e-4)


@pytest.mark.parametrize(("arch", "variant"), [("unet", "split"), ("fcn", "paper")])
def test_a_checkpoint_restores_every_form(arch: Arch, variant: Variant, tmp_path: Path) -> None:
    net = trained_like(NetworkConfig(2, arch, constraint="lipschitz", variant=variant))
    path = tmp_path / "ckpt.pt"
    save_checkpoint(Checkpoint(net, ("a", "b"), (32, 32), {}, {}, {}), path)
    image = torch.rand(1, 3, 32, 32)
    assert torch.equal(load_checkpoint(path).network(image), net(image))


def test_unknown_forms_are_refused() -> None:
    with pytest.raises(ValueError, match="arch is 'segformer'; expected one of deeplabv3, fcn, un"):
        NetworkConfig(2, "segformer")  # type: ignore[arg-type]
