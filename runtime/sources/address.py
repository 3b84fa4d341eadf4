"""From what the user wrote to an opened source."""

from __future__ import annotations

import glob
import importlib
import re
import stat
from pathlib import Path

from lipdeploy.core.dataset import IMAGE_SUFFIXES
from lipdeploy.core.errors import SourceError
from lipdeploy.runtime.sources.frame import Source
from lipdeploy.runtime.sources.images import ImageFiles
from lipdeploy.runtime.sources.live import open_camera, open_network
from lipdeploy.runtime.sources.video import VideoFile

_NETWORK = ("rtsp://", "rtsps://", "rtmp://", "http://", "https://", "udp://", "srt://")
_SECRET_KEY = r"(?i)([?&](?:[^=&]*(?:pass|pwd|token|key|secret|auth)[^=&]*)=)[^&]*"


def open_source(address: str) -> Source:
    """Open a camera, a video, images, a URL or a generated scene.

    Args:
        address: `0`, `/dev/video0`, a video, an image, a folder of images, `'glob/*.jpg'`,
            `rtsp://...`, `http://...` or `test://scene?...`.

    Raises:
        SourceError: it cannot be opened; the message says why, passwords redacted.
    """
    if address.startswith("test://"):
        source: Source = importlib.import_module("lipdeploy.runtime.sources.scene").SceneSource(
            address
        )
        return source
    if address.lower().startswith(_NETWORK):
        return open_network(address, redacted(address))
    if "://" in address:
        scheme = address.partition("://")[0]
        raise SourceError(
            f"source scheme {scheme}:// is not supported; "
            "use a path, a camera, rtsp://, http:// or test://scene"
        )
    if address.isascii() and address.isdigit():
        return open_camera(int(address))
    return _open_path(address)


def redacted(address: str) -> str:
    """The address with its password, and query values named like one, replaced by `***`."""
    address = re.sub(r"(://[^/?#@:]*):[^/?#]*@", r"\1:***@", address)
    return re.sub(_SECRET_KEY, r"\1***", address)


def _open_path(address: str) -> Source:
    path = Path(address or "''").expanduser()
    if address.startswith("/dev/"):
        return _open_device(path)
    if path.is_dir():
        return _open_folder(path)
    if not path.exists() and any(mark in address for mark in "*?["):
        files = sorted(Path(name) for name in glob.glob(str(path), recursive=True))  # noqa: PTH207
        images = [p for p in files if p.is_file() and p.suffix.lower() in IMAGE_SUFFIXES]
        if not images:
            raise SourceError(
                f"pattern {address!r} matches no image; quote it and check the folder"
            )
        return ImageFiles(images, f"pattern {address}")
    if not path.is_file():
        raise SourceError(
            f"source {address!r} does not exist; "
            "expected a video, image, folder, pattern, camera or URL"
        )
    try:
        with path.open("rb"):
            pass
    except OSError as error:
        raise SourceError(
            f"source {path} cannot be read ({error.strerror}); change its permissions"
        ) from error
    if path.suffix.lower() in IMAGE_SUFFIXES:
        return ImageFiles([path], f"image {path}")
    return VideoFile(path)


def _open_device(path: Path) -> Source:
    if not path.exists():
        raise SourceError(f"camera {path} is not there; list cameras with `ls -l /dev/v4l/by-id`")
    if not stat.S_ISCHR(path.stat().st_mode):
        raise SourceError(f"{path} is no camera; list cameras with `ls -l /dev/v4l/by-id`")
    return open_camera(str(path))


def _open_folder(path: Path) -> Source:
    try:
        images = sorted(
            p for p in path.iterdir() if p.suffix.lower() in IMAGE_SUFFIXES and p.is_file()
        )
    except OSError as error:
        raise SourceError(
            f"folder {path} cannot be read ({error.strerror}); change its permissions"
        ) from error
    if not images:
        raise SourceError(
            f"{path} is a folder without images ({', '.join(sorted(IMAGE_SUFFIXES))}); "
            "name a video file, or a folder that holds images"
        )
    return ImageFiles(images, f"folder {path}")
