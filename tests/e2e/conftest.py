"""The tiny model and its recorder, for tests of whole runs."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture(scope="session")
def model_path(tiny: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny verified model."""
    path: Path = tiny.save_tiny(
        tmp_path_factory.mktemp("model") / "tiny.onnx", tiny.tiny_manifest()
    )
    return path
