"""Fixtures that every room's tests may use."""

from __future__ import annotations

import importlib
from pathlib import Path
from types import ModuleType

import pytest

SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real data beside the repository; without it the test is skipped."""
    if not SHARED_DATA.is_dir():
        pytest.skip("real data not present: ../shared/data is not beside this repository")
    return SHARED_DATA


@pytest.fixture(scope="session")
def tiny() -> ModuleType:
    """The module that builds the tiny model, for rooms other than its own."""
    return importlib.import_module("tests.runtime.conftest")
