"""Certified 1-Lipschitz semantic segmentation: trained in torch, deployed as ONNX."""

from importlib.metadata import version
from pathlib import Path

__all__ = ["__version__"]

if (Path(__file__).parent / "core").is_file():
    raise ImportError(
        "lipdeploy's rooms are links that this checkout lost: src/lipdeploy/core is a text file. "
        "Clone with git and core.symlinks=true (git clone -c core.symlinks=true ...), "
        "or install a wheel."
    )

__version__ = version("lipdeploy")
