"""Everything that is looked at, in the order in which a person reads it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from lipdeploy.runtime.doctor.check import Check
from lipdeploy.runtime.doctor.engines import engine_checks
from lipdeploy.runtime.doctor.hardware import hardware_checks
from lipdeploy.runtime.doctor.packages import package_checks
from lipdeploy.runtime.doctor.surroundings import surrounding_checks


@dataclass(frozen=True)
class Report:
    """What was found.

    Attributes:
        checks: in groups, each with its title.
        runs: whether an engine runs the bundled model.
    """

    checks: dict[str, list[Check]]
    runs: bool

    @property
    def problems(self) -> list[Check]:
        """What does not work, or only with a limit."""
        every = [check for group in self.checks.values() for check in group]
        return [check for check in every if check.status in ("warn", "fail")]


def examine(folder: Path) -> Report:
    """Look at everything; takes a few seconds, since each probe is a process of its own.

    Args:
        folder: where recordings would go.
    """
    engines, runs = engine_checks()
    return Report(
        {
            "Software": package_checks(),
            "Engines": engines,
            "Machine": hardware_checks(),
            "Cameras, display, limits": surrounding_checks(folder),
        },
        runs,
    )
