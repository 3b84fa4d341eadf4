"""The network as a whole: its constant, its twin and its shapes."""

import numpy as np
import pytest
import torch

from lipdeploy.training.layers import BatchCentering2d
from lipdeploy.training.network import LipDeepLabV3, NetworkConfig


def network(classes: int = 2) -> LipDeepLabV3:
    torch.manual_seed(0)
    net = LipDeepLabV3(NetworkConfig(classes)).eval()
    for module in net.modules():
        if isinstance(module, BatchCentering2d):
            module.running_mean.normal_(0, 0.05)
    return net


def test_jacobian_norm_is_at_most_one() -> None:
    net = network().double()
    torch.manual_seed(4)
    image = torch.rand(1, 3, 16, 16, dtype=torch.float64)
    found = torch.autograd.functional.jacobian(net, image).reshape(2 * 256, 3 * 256)
    norm = float(np.linalg.norm(found.numpy(), 2))
    assert 0.1 < norm <= 1 + 1e-6


def test_no_pair_of_images_is_moved_apart() -> None:
    net = network(5)
    torch.manual_seed(5)
    a, b = torch.rand(2, 8, 3, 32, 32)
    with torch.no_grad():
        for near in (b, a + 0.01 * (b - a)):
            moved = (net(a) - net(near)).flatten(1).norm(dim=1)
            assert (moved <= (a - near).flatten(1).norm(dim=1) * (1 + 1e-5)).all()


@pytest.mark.parametrize("constraint", ["orthogonal", "none"])
def test_twins_share_shapes(constraint: str) -> None:
    net = LipDeepLabV3(NetworkConfig(3, constraint=constraint))  # type: ignore[arg-type]
    assert net(torch.rand(2, 3, 32, 48)).shape == (2, 3, 32, 48)
