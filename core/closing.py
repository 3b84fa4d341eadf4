"""Objects that own a device, a process or a thread, and give it back at the end of a `with`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing_extensions import Self


class Closing(ABC):
    """`with` closes the object, also where the block raises."""

    @abstractmethod
    def close(self) -> None:
        """Give back what the object holds; a second call does nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
