"""Which cameras there are, and what keeps one from being used."""

from __future__ import annotations

import errno
import grp
import os
import re
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

from lipdeploy.runtime.devices.camera import Camera, capability_of, is_busy, modes_of
from lipdeploy.runtime.devices.ioctl import Control, control_of

Open = Callable[[Path], AbstractContextManager[Control]]

DEV = Path("/dev")
_FOLDERS = ("v4l/by-id", "v4l/by-path")


def cameras_here(dev: Path = DEV, opening: Open = control_of) -> list[Camera]:
    """Every `video*` node, by number; what cannot be opened is listed with the reason."""
    nodes = [p for p in dev.glob("video*") if p.name[5:].isdigit()]
    return [camera_at(p, dev, opening) for p in sorted(nodes, key=lambda p: int(p.name[5:]))]


def camera_at(path: Path, dev: Path = DEV, opening: Open = control_of) -> Camera:
    """One node, asked."""
    stable = stable_names(path, dev)
    try:
        with opening(path) as control:
            return _asked(control, str(path), stable)
    except OSError as error:
        problem, fix = _refused(error, path)
        return Camera(str(path), stable, problem=problem, fix=fix)


def stable_names(path: Path, dev: Path = DEV) -> tuple[str, ...]:
    """Links of udev that lead to this node, `by-id` first."""
    target = path.resolve()
    links = [link for folder in _FOLDERS for link in sorted((dev / folder).glob("*"))]
    return tuple(str(link) for link in links if link.resolve() == target)


def why_not(path: Path, dev: Path = DEV, opening: Open = control_of) -> str:
    """Why a camera cannot be used, and what to do; empty where nothing is wrong with it."""
    if not path.exists():
        return f"{path} is not there; {_present(dev)}"
    if not path.is_char_device():
        return f"{path} is no camera; {_present(dev)}"
    camera = camera_at(path, dev, opening)
    return f"{camera.problem}; {camera.fix}" if camera.problem else ""


def _asked(control: Control, path: str, stable: tuple[str, ...]) -> Camera:
    found = capability_of(control)
    modes = tuple(modes_of(control, found.buffer_type)) if found.kind == "camera" else ()
    problem = fix = ""
    if found.kind == "metadata":
        problem = "it is the metadata node of a camera and delivers no pictures"
        fix = f"use {_sibling(path)} of the same camera"
    elif found.kind == "other":
        problem, fix = "it delivers no pictures (an output or a codec)", "use another node"
    elif is_busy(control, found.buffer_type):
        problem = "another program uses it"
        fix = f"find it with `fuser -v {path}` and end it"
    name, driver, bus, kind = found.name, found.driver, found.bus, found.kind
    return Camera(path, stable, name, driver, bus, kind, modes, problem, fix)


def _sibling(path: str) -> str:
    """The node before it: drivers make the one with pictures first."""
    number = re.search(r"(\d+)$", path)
    if number is None or int(number[1]) == 0:
        return "the node"
    return f"{path[: number.start()]}{int(number[1]) - 1}"


def _refused(error: OSError, path: Path) -> tuple[str, str]:
    if error.errno in (errno.EACCES, errno.EPERM):
        return "you may not open it", _permission(path)
    if error.errno == errno.EBUSY:
        return "another program uses it", f"find it with `fuser -v {path}` and end it"
    if error.errno in (errno.ENODEV, errno.ENXIO):
        return "its camera was unplugged", "plug it in again"
    if error.errno in (errno.ENOTTY, errno.EINVAL):
        return "it is no camera", "list cameras with `lipdeploy cameras`"
    return f"it cannot be opened ({error.strerror})", "plug it in again, and see `dmesg`"


def _permission(path: Path) -> str:
    """How to get the permission that the node asks for."""
    try:
        group = grp.getgrgid(path.stat().st_gid)
    except (KeyError, OSError):
        return f"see `ls -l {path}` for who may"
    if group.gr_gid in os.getgroups():
        return f"see `ls -l {path}` for who may (you are in group {group.gr_name})"
    return f"`sudo usermod -aG {group.gr_name} $USER`, then log in again"


def _present(dev: Path) -> str:
    if not list(dev.glob("video*")):
        return "no camera is connected (there is no /dev/video*); plug one in"
    return "list cameras with `lipdeploy cameras`"
