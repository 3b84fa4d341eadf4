"""Fixtures that every room's tests may use."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"
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


@pytest.fixture(scope="session")
def load_benchmark() -> Callable[[str], ModuleType]:
    """Loads a script of benchmarks/, which is no package, by its name."""

    def load(name: str) -> ModuleType:
        spec = importlib.util.spec_from_file_location(
            f"{name}_benchmark", BENCHMARKS / f"{name}.py"
        )
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[spec.name] = module  # where its dataclasses look for their types
        spec.loader.exec_module(module)
        return module

    return load
