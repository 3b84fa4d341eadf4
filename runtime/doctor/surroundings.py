"""Display, cameras, groups, disk and limits of the process."""

from __future__ import annotations

import grp
import os
import resource
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from lipdeploy.runtime.devices import Camera, cameras_here
from lipdeploy.runtime.doctor.check import Check, probed

_WINDOW = """
import json, cv2
cv2.namedWindow("lipdeploy doctor", cv2.WINDOW_NORMAL)
cv2.waitKey(1)
cv2.destroyAllWindows()
print(json.dumps({"window": True}))
"""
_GIB = 2**30
_LITTLE_DISK = 2 * _GIB
_FEW_FILES = 1024
_FEW_WATCHES = 8192
_WINDOW_S = 20.0


def surrounding_checks(folder: Path) -> list[Check]:
    """One line each; `folder` is where recordings would go."""
    watches = Path("/proc/sys/fs/inotify/max_user_watches")
    return [
        display(os.environ),
        cameras(cameras_here()),
        video_group(os.environ.get("USER", "")),
        disk(folder),
        files(resource.getrlimit(resource.RLIMIT_NOFILE)[0]),
        inotify(watches),
    ]


def display(environment: Mapping[str, str]) -> Check:
    """Whether a window opens; tried elsewhere, since Qt ends the process when it cannot."""
    screen = environment.get("WAYLAND_DISPLAY") or environment.get("DISPLAY")
    if not screen:
        detail = "no display here (DISPLAY is not set): record to a file, or use the http:// page"
        return Check("display", "info", detail)
    found = probed(_WINDOW, timeout_s=_WINDOW_S)
    if "error" not in found:
        return Check("display", "ok", f"a window opens on {screen}")
    if "not implemented" in found["error"] or "Rebuild the library" in found["error"]:
        fix = "pip uninstall opencv-python-headless && pip install opencv-python"
        return Check("display", "warn", f"{screen} is there, but this OpenCV has no windows", fix)
    return Check(
        "display", "warn", f"no window opens on {screen}: {found['error']}", "xhost +local:"
    )


def cameras(found: Sequence[Camera]) -> Check:
    """How many can be used, and the first problem."""
    usable = [c for c in found if c.kind == "camera" and not c.problem]
    broken = [c for c in found if c.problem and c.kind in ("camera", "unknown")]
    detail = ", ".join(f"{c.path} {c.name}".strip() for c in usable)
    if broken:
        first = broken[0]
        detail = "; ".join(filter(None, (detail, f"{first.path}: {first.problem}")))
        return Check("cameras", "warn", detail, first.fix)
    if usable:
        return Check("cameras", "ok", f"{detail}; formats: `lipdeploy cameras`")
    return Check("cameras", "info", "none connected (there is no /dev/video*)")


def video_group(user: str, name: str = "video") -> Check:
    """Whether this user may open cameras."""
    title = f"group {name}"
    if os.geteuid() == 0:
        return Check(title, "info", "not needed: you are root")
    try:
        group = grp.getgrnam(name)
    except KeyError:
        return Check(title, "info", "there is none on this system")
    if group.gr_gid in (*os.getgroups(), os.getegid()):
        return Check(title, "ok", "you are in it")
    if user in group.gr_mem:
        return Check(title, "warn", "you were added after you logged in", "log out and in again")
    fix = f"sudo usermod -aG {name} {user or '$USER'}, then log in again"
    return Check(title, "warn", "you are not in it: cameras may be refused", fix)


def disk(folder: Path) -> Check:
    """Room for recordings."""
    there = next(p for p in (folder, *folder.resolve().parents) if p.exists())
    free = shutil.disk_usage(there).free
    detail = f"{free / _GIB:.1f} GiB free for recordings in {folder}"
    if not os.access(there, os.W_OK):
        return Check(
            "disk", "warn", f"{there} cannot be written", "use --project with another folder"
        )
    if free < _LITTLE_DISK:
        return Check("disk", "warn", detail, "free some, or record elsewhere with --project")
    return Check("disk", "ok", detail)


def files(limit: int) -> Check:
    """Open files allowed."""
    text = "no limit" if limit == resource.RLIM_INFINITY else f"{limit} allowed"
    if limit != resource.RLIM_INFINITY and limit < _FEW_FILES:
        return Check("open files", "warn", text, f"ulimit -n {_FEW_FILES}")
    return Check("open files", "ok", text)


def inotify(path: Path) -> Check:
    """Watches allowed: programs beside this one that wait for new recordings need them."""
    try:
        watches = int(path.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return Check("inotify", "info", "not known on this system")
    if watches < _FEW_WATCHES:
        fix = "sudo sysctl fs.inotify.max_user_watches=65536"
        return Check("inotify", "warn", f"{watches} watches a user", fix)
    return Check("inotify", "ok", f"{watches} watches a user")
