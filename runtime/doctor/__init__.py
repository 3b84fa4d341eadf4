"""What this machine can run, and what to do about what it cannot; imports no package to look at."""

from lipdeploy.runtime.doctor.check import Check
from lipdeploy.runtime.doctor.report import Report, examine

__all__ = ["Check", "Report", "examine"]
