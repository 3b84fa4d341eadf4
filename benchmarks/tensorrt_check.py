"""Which exported files build with both generations of TensorRT's API, without a GPU.

Makes one virtual environment for each TensorRT-RTX named by --versions (1.4 has the API of TensorRT
10, from 1.5 on that of 11), installs `tensorrt-rtx-cu13` there and nothing here, and builds every
model with every one. NVIDIA's packages are proprietary and none of them is part of lipdeploy.

    python benchmarks/tensorrt_check.py --envs ~/rtx [--json found.json] model.onnx ...
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import shutil
import subprocess
import sys
import venv
from pathlib import Path

from lipdeploy.core.errors import ArtefactError
from lipdeploy.runtime.model_file import read_model
from lipdeploy.runtime.tensorrt_check import Finding, check_builds

VERSIONS = ("1.4.0.76", "1.7.1.116")


def parsed() -> argparse.Namespace:
    """The options."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="+", type=Path)
    parser.add_argument("--envs", type=Path, required=True, help="folder of the environments")
    parser.add_argument("--versions", nargs="+", default=VERSIONS)
    parser.add_argument("--json", type=Path)
    return parser.parse_args()


def environment(folder: Path, version: str) -> Path:
    """The `python` of an environment with this TensorRT-RTX; made where it is missing."""
    place = folder / f"tensorrt-rtx-{version}"
    python = place / "bin" / "python"
    if not python.is_file():
        venv.create(place)
        pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet"]
        try:
            subprocess.run([*pip, f"tensorrt-rtx-cu13=={version}"], check=True)
        except BaseException:
            shutil.rmtree(place)  # half an environment would be taken for a whole one next time
            raise
    return python


def row(model: Path, found: tuple[Finding, ...]) -> str:
    """One line of the table."""
    manifest = read_model(model).manifest
    size = f"{manifest.height}x{manifest.width}"
    cells = [f"{f.plan_bytes / 1e6:.1f} MB" if f.builds else "no" for f in found]
    name, _, _ = model.stem.partition(f"-{manifest.numerics.precision}")
    about = f"{name} {size} | {manifest.numerics.precision} | {manifest.head}"
    return f"| {about} | {' | '.join(cells)} |"


def main() -> int:
    """Build everything and print the table; 6 where something does not build."""
    options = parsed()
    pythons = [environment(options.envs, version) for version in options.versions]
    titles = " | ".join(f"TensorRT-RTX {version}" for version in options.versions)
    print(f"| model | precision | head | {titles} |")
    print(f"|---|---|---|{'---|' * len(pythons)}")
    told: dict[str, list[dict[str, object]]] = {}
    for model in options.models:
        found = check_builds(model.read_bytes(), model.name, pythons)
        print(row(model, found), flush=True)
        told[model.name] = [dataclasses.asdict(f) for f in found]
        for finding in found:
            if not finding.builds:
                print(finding.error, file=sys.stderr)
    if options.json is not None:
        options.json.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
    return ArtefactError.exit_code * any(f["error"] for rows in told.values() for f in rows)


if __name__ == "__main__":
    sys.exit(main())
