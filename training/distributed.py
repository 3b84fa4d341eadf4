"""Several processes that train one network, as `torchrun` starts them.

Every process holds the whole network and a slice of each batch. Gradients are summed after the
backward pass rather than by torch's DistributedDataParallel: the pass through the parametrisation
comes last and leaves three times fewer numbers than the kernels it came from. With one process
every function here does nothing and costs nothing.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch._utils import _flatten_dense_tensors, _unflatten_dense_tensors

from lipdeploy.core.errors import InputError

TIMEOUT = timedelta(hours=2)  # the others wait while the first process evaluates


def ranks() -> tuple[int, int]:
    """Rank of this process and how many there are: (0, 1) without `torchrun`."""
    if dist.is_available() and dist.is_initialized():
        return dist.get_rank(), dist.get_world_size()
    return 0, 1


def local_rank() -> int:
    """Rank of this process on its machine, which is also the index of its GPU."""
    return int(os.environ.get("LOCAL_RANK", "0"))


@contextmanager
def process_group(device: torch.device) -> Iterator[None]:
    """Join the processes that `torchrun` started; without it, nothing happens.

    Raises:
        InputError: this build of torch cannot connect processes.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1 or "RANK" not in os.environ:
        yield
        return
    if not dist.is_available():
        raise InputError("this torch has no torch.distributed; start lipdeploy without torchrun")
    if device.type == "cuda":
        torch.cuda.set_device(device)
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=TIMEOUT)
    try:
        yield
    finally:
        dist.destroy_process_group()


def summed(values: Sequence[float], device: torch.device) -> list[float]:
    """Every value summed over the processes, in float64; the same list on each of them."""
    if ranks()[1] == 1:
        return [float(value) for value in values]
    total = torch.tensor(values, dtype=torch.float64, device=device)
    dist.all_reduce(total)
    sums: list[float] = total.tolist()
    return sums


def sum_gradients(parameters: Iterable[nn.Parameter]) -> None:
    """Replace every gradient by its sum over the processes, in one message per data type."""
    if ranks()[1] == 1:
        return
    gradients = [p.grad for p in parameters if p.grad is not None]
    for dtype in {gradient.dtype: None for gradient in gradients}:
        group = [gradient for gradient in gradients if gradient.dtype == dtype]
        flat = _flatten_dense_tensors(group)
        dist.all_reduce(flat)
        for gradient, total in zip(group, _unflatten_dense_tensors(flat, group), strict=True):
            gradient.copy_(total)


def copy_from_first(network: nn.Module) -> None:
    """Give every process the parameters and buffers of rank 0."""
    if ranks()[1] > 1:
        for tensor in network.state_dict().values():
            dist.broadcast(tensor, 0)


def batch_mean(x: Tensor) -> Tensor:
    """Channel means of the batch of all processes: (N, C, H, W) to (C,), differentiable.

    The processes may hold different numbers of images.
    """
    if ranks()[1] == 1:
        return x.mean((0, 2, 3))
    count = x.new_full((1,), x.numel() // x.shape[1])
    total: Tensor = _Sum.apply(torch.cat([x.sum((0, 2, 3)), count]))  # type: ignore[no-untyped-call]
    return total[:-1] / total[-1]


class _Sum(torch.autograd.Function):
    """Sum over the processes; each one's loss depends on it, so gradients are summed too."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        total = x.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        total = gradients[0].clone(memory_format=torch.contiguous_format)
        dist.all_reduce(total)
        return total
