"""What is asked of every image, and the names of the answers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from lipdeploy.core.errors import InputError

GAMMAS_ACCURACY = (0.9, 0.7, 0.5)
GAMMAS_FNR = (0.7, 0.85, 0.95)
CURVE_POINTS = 41

SHARES = ("crpa", "crs", "pixelwise_crpa", "pixelwise_crs")
CLASS_BOUNDS = ("worst_fnr", "pixelwise_worst_fnr", "worst_iou", "pixelwise_worst_iou")
CURVE_CLASS_BOUNDS = ("worst_fnr", "pixelwise_worst_fnr")


@dataclass(frozen=True)
class Questions:
    """Budgets of Q1 and targets of Q2.

    Attributes:
        class_names: one per class id; all different.
        eps: budgets, l2 at the network's input, ascending.
        gammas_accuracy: accuracies that an attacker wants to reach or fall below.
        gammas_fnr: false negative rates that an attacker wants to reach.

    Raises:
        InputError: no budget, a share outside 0..1, or classes of one name.
    """

    class_names: tuple[str, ...]
    eps: tuple[float, ...]
    gammas_accuracy: tuple[float, ...] = GAMMAS_ACCURACY
    gammas_fnr: tuple[float, ...] = GAMMAS_FNR

    def __post_init__(self) -> None:
        if not self.eps:
            raise InputError("nothing to certify: give at least one --eps")
        for gamma in (*self.gammas_accuracy, *self.gammas_fnr):
            if not 0 <= gamma <= 1:
                raise InputError(f"gamma is {gamma}; expected a share, 0 to 1")
        if not all(self.class_names):
            raise InputError("a class has no name; name it in the data set, train and export again")
        if len(set(self.class_names)) < len(self.class_names):
            raise InputError(
                f"two classes have one name: {', '.join(self.class_names)}; "
                "rename one in the data set, train and export again"
            )

    @property
    def grid(self) -> tuple[float, ...]:
        """Budgets of the curves: equal steps from 0 to twice the largest budget."""
        top = 2 * max(self.eps) or 1.0
        return tuple(top * step / (CURVE_POINTS - 1) for step in range(CURVE_POINTS))

    def columns(self) -> list[str]:
        """Keys of all figures an image may have, known before the first image is."""
        return [*self._whole_image(), *(key for k in self.class_names for key in self._of_class(k))]

    def curves(self) -> list[str]:
        """Keys of the curves."""
        of_classes = (f"{key}/{k}" for key in CURVE_CLASS_BOUNDS for k in self.class_names)
        return [*SHARES, *of_classes]

    def _whole_image(self) -> Iterator[str]:
        yield "pixel_accuracy"
        yield from (f"{key}@{eps}" for key in SHARES for eps in self.eps)
        for prefix in ("", "pixelwise_"):
            yield f"{prefix}stability50"
            yield from (f"{prefix}accuracy_budget@{gamma}" for gamma in self.gammas_accuracy)

    def _of_class(self, label: str) -> Iterator[str]:
        yield from (f"fnr/{label}", f"iou/{label}")
        yield from (f"{key}@{eps}/{label}" for key in CLASS_BOUNDS for eps in self.eps)
        for prefix in ("", "pixelwise_"):
            yield from (f"{prefix}fnr_budget@{gamma}/{label}" for gamma in self.gammas_fnr)

    def to_json(self) -> dict[str, Any]:
        """Plain types."""
        return {key: list(value) for key, value in vars(self).items()}


def questions_from_json(fields: dict[str, Any]) -> Questions:
    """What `Questions.to_json` wrote."""
    return Questions(**{key: tuple(value) for key, value in fields.items()})
