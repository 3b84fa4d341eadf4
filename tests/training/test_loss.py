"""Every loss against plain loops in float64, its gradient, and pixels that must not count."""

import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import Tensor

from lipdeploy.core.errors import InputError
from lipdeploy.training.loss import (
    LOSSES,
    build_loss,
    temperature_cross_entropy,
)
from lipdeploy.training.loss.pixels import Pixels
from lipdeploy.training.loss.water_level import water_level

TAU, EPS = 20.0, 0.25
EVERY = (*LOSSES, "certificate-a", "certificate-b", "certificate-c")
SQRT2 = math.sqrt(2)
Array = npt.NDArray[np.float64]
Oracle = Callable[[Array, int, float, float], float]


def batch(seed: int = 0, classes: int = 4, spread: float = 0.2) -> tuple[Tensor, Tensor]:
    """Two images of 5 x 6 logits and labels, some of them 255, most of them right."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, spread, (2, classes, 5, 6))
    labels = np.where(rng.random((2, 5, 6)) < 0.7, logits.argmax(1), 0)
    labels[rng.random((2, 5, 6)) < 0.2] = 255
    return torch.from_numpy(logits), torch.from_numpy(labels)


def cross_entropy(z: Array, y: int, _size: float, _level: float) -> float:
    return float(np.log(np.exp(TAU * z).sum()) - TAU * z[y])


def hkr(z: Array, y: int, size: float, _level: float) -> float:
    margin = 4 / TAU
    scale = margin / max(size, margin)
    total = sum(math.exp(scale * z[k]) for k in range(len(z)) if k != y)
    value = 0.0
    for k in range(len(z)):
        sign, weight = (1, 1.0) if k == y else (-1, math.exp(scale * z[k]) / total)
        value += weight * (0.02 * -sign * z[k] + 0.98 * max(0.0, margin / 2 - sign * z[k]))
    return value / margin


def cosine(z: Array, y: int, _size: float, _level: float) -> float:
    one_hot = np.eye(len(z))[y]
    return float(1 - z @ one_hot / np.sqrt(z @ z + 1e-6))


def annealing(z: Array, y: int, _size: float, _level: float) -> float:
    temperature, offset = 1 / TAU, 2 / 0.75 / TAU
    exponents = (z - offset * np.eye(len(z))[y]) / temperature
    p = float(np.exp(exponents[y]) / np.exp(exponents).sum())
    return float(-((1 - p) ** 5) * np.log(p))


def temperature_of(level: float) -> float:
    return min(400.0, max(2.0, 1.0 / (SQRT2 * level))) if level else 400.0


def certificate_a(z: Array, y: int, _size: float, level: float) -> float:
    tau = temperature_of(level)
    return float(np.log(np.exp(tau * z).sum()) - tau * z[y])


def share(z: Array, y: int, level: float) -> float:
    margin = z[y] - max(z[k] for k in range(len(z)) if k != y)
    return float(margin * temperature_of(level))


def certificate_b(z: Array, y: int, _size: float, level: float) -> float:
    return math.log1p(math.exp(4 * (1 - share(z, y, level)))) / 4


def certificate_c(z: Array, y: int, _size: float, level: float) -> float:
    s = share(z, y, level)
    return max(0.0, 1 - s * s) if s > 0 else 1 - s


ORACLES: dict[str, Oracle] = {
    "cross-entropy": cross_entropy,
    "hkr": hkr,
    "cosine": cosine,
    "certificate": certificate_a,
    "logit-annealing": annealing,
    "certificate-a": certificate_a,
    "certificate-b": certificate_b,
    "certificate-c": certificate_c,
}


def level_by_hand(logits: Array, labels: npt.NDArray[np.int64], eps: float) -> float:
    """Radius of the first pixel that a budget spent pixel by pixel does not reach."""
    radii = []
    for y, x in zip(*np.nonzero(labels != 255), strict=True):
        z, k = logits[:, y, x], labels[y, x]
        radii.append(max(0.0, z[k] - np.delete(z, k).max()) / SQRT2)
    left = eps * eps
    for radius in sorted(radii):
        left -= radius * radius
        if left < 0:
            return float(radius)
    return max(radii, default=0.0)


def mean_by_hand(name: str, logits: Tensor, labels: Tensor, weights: list[float]) -> float:
    z, truth = logits.numpy(), labels.numpy()
    known = np.argwhere(truth != 255)
    sizes = [float(np.abs(z[n]).mean(0)[truth[n] != 255].mean()) for n in range(len(z))]
    above = below = 0.0
    for n, y, x in known:
        label = int(truth[n, y, x])
        level = level_by_hand(z[n], truth[n], EPS)
        above += weights[label] * ORACLES[name](z[n, :, y, x], label, sizes[n], level)
        below += weights[label]
    return above / below


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize(("classes", "spread"), [(4, 0.2), (2, 0.05), (4, 0.004)])
def test_values_are_those_of_plain_loops(name: str, classes: int, spread: float) -> None:
    logits, labels = batch(1, classes, spread)
    loss = build_loss(name, temperature=TAU, eps=EPS)
    assert float(loss(logits, labels)) == pytest.approx(
        mean_by_hand(name, logits, labels, [1.0] * classes), rel=1e-10
    )


@pytest.mark.parametrize("name", EVERY)
def test_class_weights(name: str) -> None:
    logits, labels = batch(2)
    weights = [0.5, 0.0, 3.0, 1.0]
    loss = build_loss(name, temperature=TAU, eps=EPS, class_weights=weights)
    assert float(loss(logits, labels)) == pytest.approx(
        mean_by_hand(name, logits, labels, weights), rel=1e-10
    )


@pytest.mark.parametrize("name", EVERY)
def test_gradients_are_those_of_finite_differences(name: str) -> None:
    """The water level and the scale of HKR are constants of the gradient, not functions of it."""
    logits, labels = batch(3)
    loss = build_loss(name, temperature=TAU, eps=EPS)
    if name in {"cross-entropy", "cosine", "logit-annealing"}:
        logits.requires_grad_()
        assert torch.autograd.gradcheck(lambda z: loss(z, labels), (logits,))
        return
    z = logits.clone().requires_grad_()
    loss(z, labels).backward()
    assert z.grad is not None
    truth, base = labels.numpy(), logits.numpy()
    known = np.argwhere(truth != 255)
    sizes = [float(np.abs(base[n]).mean(0)[truth[n] != 255].mean()) for n in range(len(base))]
    for n, y, x in known[::5]:
        level = level_by_hand(base[n], truth[n], EPS)
        for k in range(base.shape[1]):
            step = np.zeros(base.shape[1])
            step[k] = 1e-6
            up, down = (
                ORACLES[name](base[n, :, y, x] + way * step, int(truth[n, y, x]), sizes[n], level)
                for way in (1, -1)
            )
            expected = (up - down) / 2e-6 / len(known)
            assert float(z.grad[n, k, y, x]) == pytest.approx(expected, abs=1e-6), (n, k, y, x)


@pytest.mark.parametrize("name", EVERY)
def test_ignored_pixels_neither_count_nor_move(name: str) -> None:
    logits, labels = batch(4)
    loss = build_loss(name, temperature=TAU, eps=EPS)
    other = torch.where((labels == 255)[:, None], 7.0, logits).requires_grad_()
    value = loss(other, labels)
    assert float(value.detach()) == pytest.approx(float(loss(logits, labels)), rel=1e-10)
    value.backward()
    assert other.grad is not None
    assert not other.grad.permute(0, 2, 3, 1)[labels == 255].any()


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize("weights", [None, [0.0, 0.0, 0.0, 0.0]])
def test_a_batch_without_labels_gives_nothing(name: str, weights: list[float] | None) -> None:
    logits, labels = batch(5)
    logits.requires_grad_()
    unknown = torch.full_like(labels, 255) if weights is None else labels
    loss = build_loss(name, temperature=TAU, eps=EPS, class_weights=weights)
    value = loss(logits, unknown)
    value.backward()
    assert float(value.detach()) == 0.0
    assert logits.grad is not None
    assert torch.equal(logits.grad, torch.zeros_like(logits))


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize("logit", [0.0, 1e-30, 1e4])
def test_gradients_are_finite_at_the_extremes(name: str, logit: float) -> None:
    logits = torch.zeros(1, 3, 4, 4)
    logits[:, 0] = logit
    logits.requires_grad_()
    for label in (0, 1):
        labels = torch.full((1, 4, 4), label)
        value = build_loss(name, temperature=TAU, eps=EPS)(logits, labels)
        (slope,) = torch.autograd.grad(value, logits)
        assert torch.isfinite(value)
        assert torch.isfinite(slope).all()


@pytest.mark.parametrize("name", EVERY)
def test_a_batch_may_be_cut_into_images(name: str) -> None:
    """What gradient accumulation and several processes rely on."""
    logits, labels = batch(11)
    loss = build_loss(name, temperature=TAU, eps=EPS)
    counts = (labels != 255).sum((1, 2))
    parts = [loss(logits[i : i + 1], labels[i : i + 1]) for i in range(2)]
    whole = (parts[0] * counts[0] + parts[1] * counts[1]) / counts.sum()
    assert counts[0] != counts[1]
    assert float(loss(logits, labels)) == pytest.approx(float(whole), rel=1e-12)


@pytest.mark.parametrize("name", EVERY)
def test_half_precision_is_widened_inside_autocast(name: str) -> None:
    logits, labels = batch(6)
    half = logits.to(torch.bfloat16)
    loss = build_loss(name, temperature=TAU, eps=EPS)
    with torch.autocast("cpu", torch.bfloat16):
        value = loss(half, labels)
    assert value.dtype == torch.float32
    assert float(value) == pytest.approx(float(loss(half.double(), labels)), rel=1e-5)


@pytest.mark.parametrize("name", EVERY)
def test_descent_makes_pixels_right(name: str) -> None:
    logits, labels = batch(7, spread=0.02)
    logits = logits.float().requires_grad_()
    loss = build_loss(name, temperature=TAU, eps=EPS)
    optimizer = torch.optim.Adam([logits], 0.01)
    for _ in range(60):
        optimizer.zero_grad()
        loss(logits, labels).backward()
        optimizer.step()
    known = labels != 255
    assert (logits.argmax(1) == labels)[known].all()


def test_unknown_names_list_the_known_ones() -> None:
    with pytest.raises(InputError, match="'hinge'; expected one of: cross-entropy, hkr, cosine"):
        build_loss("hinge", temperature=TAU, eps=EPS)


def test_one_weight_a_class() -> None:
    logits, labels = batch()
    loss = build_loss("cosine", temperature=TAU, eps=EPS, class_weights=[1.0, 2.0])
    with pytest.raises(InputError, match="2 class weights; expected 4"):
        loss(logits, labels)


def test_one_class_has_no_margin() -> None:
    with pytest.raises(InputError, match="1 classes; expected 2 or more"):
        build_loss("hkr", temperature=TAU, eps=EPS)(torch.zeros(1, 1, 2, 2), torch.zeros(1, 2, 2))


def test_the_named_cross_entropy_is_torchs() -> None:
    logits, labels = batch(8)
    weights = torch.tensor([1.0, 2.0, 0.5, 3.0], dtype=torch.float64)
    expected = torch.nn.functional.cross_entropy(TAU * logits, labels, weights, ignore_index=255)
    loss = build_loss("cross-entropy", temperature=TAU, eps=EPS, class_weights=weights)
    assert float(loss(logits, labels)) == pytest.approx(float(expected), rel=1e-10)
    unweighted = torch.nn.functional.cross_entropy(TAU * logits, labels, ignore_index=255) / TAU
    assert float(temperature_cross_entropy(logits, labels, TAU)) == pytest.approx(float(unweighted))


def test_hkr_is_that_of_its_authors_library_up_to_the_scale_of_the_softmax() -> None:
    """Two classes: the softmax over one other class is 1 whatever its scale."""
    logits, labels = batch(9, classes=2)
    margin = 4 / TAU
    total, known = 0.0, np.argwhere(labels.numpy() != 255)
    for n, y, x in known:
        right = float(logits[n, labels[n, y, x], y, x])
        other = float(logits[n, 1 - labels[n, y, x], y, x])
        hinge = max(0.0, margin / 2 - right) + max(0.0, margin / 2 + other)
        total += 0.02 * (other - right) + 0.98 * hinge
    loss = build_loss("hkr", temperature=TAU, eps=EPS)
    assert float(loss(logits, labels)) == pytest.approx(total / margin / len(known))


def test_level_of_an_image_without_labels_is_zero() -> None:
    logits, labels = batch(10)
    labels[1] = 255
    levels = water_level(Pixels.of(logits, labels), EPS)
    assert float(levels[0]) > 0
    assert float(levels[1]) == 0
