"""What the wheel and the source distribution hold, built here without compiling."""

from __future__ import annotations

import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

pytest.importorskip("scikit_build_core", reason="the build backend comes with lipdeploy[dev]")

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "src" / "lipdeploy"
DATA = {".onnx", ".mp4", ".yaml", ".typed", ".pyi"}
BUILD = """
import sys
from scikit_build_core.build import build_sdist, build_wheel
build_wheel(sys.argv[1], {"wheel.cmake": "false", "build-dir": sys.argv[1] + "/build"})
build_sdist(sys.argv[1])
"""


@pytest.fixture(scope="module")
def archives(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-c", BUILD, str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder


def expected() -> set[str]:
    """Every module and every data file of the package, through its links."""
    names = set()
    for place in [PACKAGE, *(p.resolve() for p in PACKAGE.iterdir() if p.is_symlink())]:
        inside = Path("lipdeploy") / ("" if place == PACKAGE else place.name)
        for file in place.rglob("*"):
            if file.suffix in {".py"} | DATA:
                names.add((inside / file.relative_to(place)).as_posix())
    return names


def test_the_wheel_holds_the_package_and_nothing_else(archives: Path) -> None:
    (wheel,) = archives.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    assert expected() <= names
    assert {name.partition("/")[0].partition("-")[0] for name in names} == {"lipdeploy"}
    assert any(name.endswith("licenses/LICENSE") for name in names)


def test_the_source_distribution_holds_every_room_once(archives: Path) -> None:
    (sdist,) = archives.glob("*.tar.gz")
    with tarfile.open(sdist) as tar:
        members = tar.getmembers()
    names = {member.name.partition("/")[2] for member in members}
    assert not [member.name for member in members if member.issym()]
    assert {f"src/{name}" for name in expected()} <= names
    assert {"CMakeLists.txt", "cpp/CMakeLists.txt", "cpp/include/lipdeploy/flips.hpp"} <= names
    assert not names & {"core/certificate.py", "runtime/regions.py", "samples/road.mp4"}
