"""What the page needs to know of the stream that it shows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from lipdeploy.runtime.controls import Controls
from lipdeploy.runtime.status import StreamStatus


class PageContext(Protocol):
    """Attributes that the page reads; a sink's context has them."""

    @property
    def class_names(self) -> tuple[str, ...]:
        """Of the model, by class id."""

    @property
    def status(self) -> Callable[[], StreamStatus] | None:
        """Asks the stream how it is doing; None where nobody can say."""

    @property
    def controls(self) -> Controls | None:
        """What a visitor may change; None for nothing."""
