"""Which versions are installed, and what OpenCV was built with."""

from __future__ import annotations

import platform
import sys
from importlib import metadata

from lipdeploy.runtime.doctor.check import Check, probed

_OPENCV = """
import json, cv2
info = {}
for line in cv2.getBuildInformation().splitlines():
    key, _, value = line.strip().partition(":")
    info.setdefault(key, value.strip())
r = cv2.videoio_registry
print(json.dumps({
    "version": cv2.__version__, "file": cv2.__file__, "gui": info.get("GUI") or "",
    "FFmpeg": r.hasBackend(cv2.CAP_FFMPEG), "GStreamer": r.hasBackend(cv2.CAP_GSTREAMER),
    "V4L2": r.hasBackend(cv2.CAP_V4L2),
}))
"""
_NAMES = (
    "opencv-python-headless",
    "opencv-python",
    "opencv-contrib-python",
    "opencv-contrib-python-headless",
)
_COMPILED = """
import json
from lipdeploy.core.compiled import COMPILED
print(json.dumps({"compiled": bool(COMPILED)}))
"""


def version_of(package: str) -> str:
    """The installed version; empty where it is not installed."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return ""


def package_checks() -> list[Check]:
    """Python, lipdeploy and what it needs."""
    return [_python(), _lipdeploy(), _numpy(), *_opencv()]


def _python() -> Check:
    text = f"{platform.python_version()} on {platform.system()} {platform.release()}"
    detail = f"{text}, {platform.machine()}, {sys.executable}"
    if sys.version_info < (3, 10):  # noqa: UP036  a copy of the sources may run on any
        return Check("python", "fail", detail, "install Python 3.10 or later")
    return Check("python", "ok", detail)


def _lipdeploy() -> Check:
    version = version_of("lipdeploy") or "from a source folder"
    found = probed(_COMPILED)
    if "error" in found:
        fix = "pip install --force-reinstall lipdeploy"
        return Check("lipdeploy", "fail", f"{version}; {found['error']}", fix)
    if found["compiled"]:
        return Check("lipdeploy", "ok", f"{version}, compiled core")
    detail = f"{version}, NumPy fallback: same results, exact certificates take longer"
    fix = "sudo apt install g++ && pip install --force-reinstall --no-binary lipdeploy lipdeploy"
    return Check("lipdeploy", "warn", detail, fix)


def _numpy() -> Check:
    version = version_of("numpy")
    if version:
        return Check("numpy", "ok", version)
    return Check("numpy", "fail", "not installed", "pip install numpy")


def _opencv() -> list[Check]:
    found = probed(_OPENCV)
    if "error" in found:
        fix = "pip install opencv-python-headless"
        if "libGL" in found["error"]:
            fix = "sudo apt install libgl1, or pip install opencv-python-headless instead"
        return [Check("opencv", "fail", found["error"], fix)]
    wheels = [name for name in _NAMES if version_of(name)]
    checks = [Check("opencv", "ok", f"{found['version']} ({', '.join(wheels) or found['file']})")]
    if len(wheels) > 1:
        fix = f"pip uninstall {' '.join(wheels[1:])}; then reinstall {wheels[0]}"
        checks = [Check("opencv", "warn", f"{len(wheels)} of them: {', '.join(wheels)}", fix)]
    return [*checks, _reads(found)]


def _reads(found: dict[str, object]) -> Check:
    """Which sources this OpenCV opens."""
    has = [name for name in ("FFmpeg", "V4L2", "GStreamer") if found.get(name)]
    lacks = [name for name in ("FFmpeg", "V4L2", "GStreamer") if not found.get(name)]
    detail = (
        f"{', '.join(has) or 'nothing'}; without {', '.join(lacks)}" if lacks else ", ".join(has)
    )
    if "FFmpeg" in lacks:
        return Check("video input", "fail", detail, "pip install opencv-python-headless")
    if "GStreamer" in lacks:
        detail += ": gst:// and csi:// sources cannot be opened, all others can"
        return Check("video input", "info", detail)
    return Check("video input", "ok", detail)
