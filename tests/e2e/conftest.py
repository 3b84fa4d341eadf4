"""The tiny model and its recorder, for tests of whole runs."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

TINY = Path(__file__).resolve().parents[1] / "runtime" / "conftest.py"


@pytest.fixture(scope="session")
def tiny() -> Iterator[ModuleType]:
    """The module that builds the tiny model."""
    spec = importlib.util.spec_from_file_location("tiny_for_e2e", TINY)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


@pytest.fixture(scope="session")
def model_path(tiny: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny verified model."""
    path: Path = tiny.save_tiny(
        tmp_path_factory.mktemp("model") / "tiny.onnx", tiny.tiny_manifest()
    )
    return path
