"""Batches: their order, shares and workers, against one process and a reference."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from lipdeploy.core.errors import InputError
from lipdeploy.training.data import (
    Augmentation,
    BatchStream,
    Examples,
    Order,
    batches,
    batches_per_epoch,
    to_device,
)
from tests.training.conftest import SIDE, MakePairs

WARP = Augmentation(rotate_degrees=30)
STILL = Augmentation(flip=0, rotate_degrees=0, scale=(1, 1))


def numbered(count: int) -> Examples:
    """Example i is grey level i everywhere, with label i % 3."""
    levels = np.arange(count, dtype=np.uint8).reshape(-1, 1, 1)
    masks = np.broadcast_to(levels % 3, (count, 4, 4)).copy()
    return Examples(np.broadcast_to(levels[..., None], (count, 4, 4, 3)).copy(), masks)


def taken(examples: Examples, batch: int, seed: int, epoch: int, **options: int) -> list[list[int]]:
    """The examples in each batch, read off the grey levels."""
    found = batches(examples, batch, seed, epoch, STILL, **options)
    return [[round(float(image[0, 0, 0]) * 255) for image in images] for images, _ in found]


def equal(ours: list[tuple[Tensor, Tensor]], theirs: list[tuple[Tensor, Tensor]]) -> bool:
    return len(ours) == len(theirs) and all(
        torch.equal(a, c) and torch.equal(b, d) for (a, b), (c, d) in zip(ours, theirs, strict=True)
    )


def test_batches_are_the_augmented_examples_as_floats() -> None:
    rng = np.random.default_rng(1)
    examples = Examples(
        rng.integers(0, 256, (5, 8, 6, 3)).astype(np.uint8),
        rng.integers(0, 3, (5, 8, 6)).astype(np.uint8),
    )
    order = np.random.default_rng((7, 2)).permutation(5)
    for step, (images, labels) in enumerate(batches(examples, 2, 7, 2, WARP)):
        for k, i in enumerate(order[2 * step : 2 * step + 2]):
            image, mask = WARP(
                examples.images[int(i)],
                examples.masks[int(i)],
                np.random.default_rng((7, 2, int(i))),
            )
            assert images[k].dtype == torch.float32
            assert images.is_contiguous()
            expected = image.transpose(2, 0, 1).astype(np.float32) / np.float32(255)
            assert np.array_equal(images[k].numpy(), expected)
            assert labels[k].dtype == torch.int64
            assert np.array_equal(labels[k].numpy(), mask)


def test_an_epoch_takes_every_example_at_most_once_and_is_another_order() -> None:
    examples = numbered(23)
    first, second = (taken(examples, 4, 0, epoch) for epoch in (0, 1))
    for found in (first, second):
        assert [len(batch) for batch in found] == [4] * 5
        flat = [i for batch in found for i in batch]
        assert len(set(flat)) == 20
    assert first != second
    assert first != taken(examples, 4, 1, 0)
    assert first == taken(examples, 4, 0, 0)


def test_a_resumed_epoch_goes_on_where_it_stopped() -> None:
    examples = numbered(23)
    whole = taken(examples, 4, 3, 5)
    for start in range(6):
        assert taken(examples, 4, 3, 5, start=start) == whole[start:]
    assert taken(examples, 4, 3, 5, start=2, micro=2)[0] == whole[2][:2]


@pytest.mark.parametrize(("world", "micro"), [(2, None), (3, 1), (2, 2), (1, 5), (6, None)])
def test_the_processes_share_each_batch_without_rest(world: int, micro: int | None) -> None:
    examples = numbered(29)
    whole = taken(examples, 12, 1, 0)
    shares = [list(Order(29, 12, 1, rank, world, micro).epoch(0)) for rank in range(world)]
    per_step = Order(29, 12, 1, 0, world, micro).micro_batches_per_step
    assert {len(share) for share in shares} == {per_step * len(whole)}
    for step, batch in enumerate(whole):
        mine = [share[step * per_step : (step + 1) * per_step] for share in shares]
        assert sorted(i for share in mine for part in share for i in part) == sorted(batch)
        # Synchronised batch statistics: the m-th parts together are those of one process.
        alone = list(Order(29, 12, 1, 0, 1, (micro or 12 // world) * world).epoch(0, step))
        for m in range(per_step):
            assert {i for share in mine for i in share[m]} == set(alone[m])


def test_a_data_set_smaller_than_a_batch_is_one_batch() -> None:
    assert batches_per_epoch(3, 8) == 1
    (only,) = taken(numbered(3), 8, 0, 0)
    assert sorted(only) == [0, 1, 2]
    shares = [taken(numbered(3), 8, 0, 0, rank=rank, world=2)[0] for rank in (0, 1)]
    assert (len(shares[0]), len(shares[1])) == (2, 1)
    assert sorted(shares[0] + shares[1]) == [0, 1, 2]
    with pytest.raises(InputError, match="a step has 3 images for 4 processes"):
        batches(numbered(3), 8, 0, 0, STILL, world=4)
    with pytest.raises(InputError, match="a step has 3 images for 2 processes"):
        batches(numbered(3), 8, 0, 0, STILL, world=2, micro=1)
    with pytest.raises(InputError, match="no example to train on"):
        batches(numbered(0), 8, 0, 0, STILL)
    with pytest.raises(ValueError, match="0 <= rank < world"):
        batches(numbered(3), 1, 0, 0, STILL, rank=1)


@pytest.mark.parametrize("cache", ["memory", "disk", "none"])
def test_workers_change_no_bit(make_pairs: MakePairs, tmp_path: Path, cache: str) -> None:
    pairs = make_pairs(9)
    assert cache in ("memory", "disk", "none")
    examples = Examples.load(
        pairs,
        3,
        16,
        16,
        cache=cache,  # type: ignore[arg-type]
        folder=tmp_path / "cache",
    )
    memory = Examples.load(pairs, 3, 16, 16, cache="memory")
    state = torch.get_rng_state()
    with BatchStream(examples, 4, 5, WARP, workers=2, micro=3) as stream:
        for epoch, start in ((0, 0), (1, 1), (0, 1)):
            reference = list(batches(memory, 4, 5, epoch, WARP, start, micro=3))
            found = [to_device(*b, torch.device("cpu")) for b in stream.epoch(epoch, start)]
            assert equal(found, reference)
        next(iter(stream.epoch(2)))  # left early: the next epoch is a whole one all the same
        assert next(iter(stream.epoch(3)))[0].dtype == torch.uint8
        found = [to_device(*b, torch.device("cpu")) for b in stream.epoch(4)]
        assert equal(found, list(batches(memory, 4, 5, 4, WARP, micro=3)))
    assert torch.equal(torch.get_rng_state(), state)


def test_the_workers_live_as_long_as_the_stream(make_pairs: MakePairs) -> None:
    def children() -> set[str]:
        return set(Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text().split())

    examples = Examples.load(make_pairs(4), 3, SIDE, SIDE)
    assert len(list(batches(examples, 2, 0, 0, WARP, workers=1))) == 2
    before = children()  # multiprocessing's own servers stay
    stream = BatchStream(examples, 2, 0, WARP, workers=1)
    assert len(list(stream.epoch(0))) == 2
    stream.close()
    stream.close()
    assert children() == before


def test_an_error_in_a_worker_is_ours_and_one_line(make_pairs: MakePairs) -> None:
    pairs = make_pairs(4)
    examples = Examples.load(pairs, 3, SIDE, SIDE, cache="none")
    pairs[2].mask.write_bytes(b"no mask")
    for workers in (0, 1):
        with pytest.raises(InputError, match=r"mask_2\.png: got a file that is no PNG") as caught:
            list(batches(examples, 4, 0, 0, WARP, workers=workers))
        assert "\n" not in str(caught.value)


def test_all_bytes_become_the_same_floats_as_a_division_in_double() -> None:
    levels = torch.arange(256, dtype=torch.uint8).reshape(1, 1, 16, 16).expand(1, 3, 16, 16)
    images, labels = to_device(levels, levels[:, 0], torch.device("cpu"))
    expected = (np.arange(256) / 255).astype(np.float32)
    assert np.array_equal(images[0, 0].flatten().numpy(), expected)
    assert labels.flatten().tolist() == list(range(256))
