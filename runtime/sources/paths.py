"""Sources on a disk: a video, images, folders, patterns and lists of files."""

from __future__ import annotations

import glob
from collections.abc import Sequence
from pathlib import Path

from lipdeploy.core.errors import SourceError
from lipdeploy.core.image_file import IMAGE_SUFFIXES
from lipdeploy.runtime.sources.frame import Source
from lipdeploy.runtime.sources.images import ImageFiles
from lipdeploy.runtime.sources.playlist import Playlist
from lipdeploy.runtime.sources.redact import redacted
from lipdeploy.runtime.sources.video import VideoFile

VIDEO_SUFFIXES = frozenset(
    {".mp4", ".m4v", ".mkv", ".mov", ".avi", ".webm", ".ts", ".mpg", ".mpeg", ".h264", ".hevc"}
)
_MOST_LISTED = 1_000_000


def open_path(address: str) -> Source:
    """A file, folder, pattern or `list:` of files.

    Raises:
        SourceError: it is not there, cannot be read, or holds neither images nor video.
    """
    if address.startswith("list:"):
        return open_list(Path(address.removeprefix("list:")).expanduser())
    path = Path(address or "''").expanduser()
    if path.is_dir():
        return _open_folder(path)
    if not path.exists() and any(mark in address for mark in "*?["):
        return _open_pattern(address, path)
    if not path.is_file():
        raise SourceError(
            f"source {redacted(address)!r} does not exist; "
            "expected a video, image, folder, pattern, list, camera or URL"
        )
    _check_readable(path)
    if path.suffix.lower() == ".txt":
        return open_list(path)
    if path.suffix.lower() in IMAGE_SUFFIXES:
        return ImageFiles([path], f"image {path}")
    return VideoFile(path)


def files_named(address: str) -> list[Path]:
    """The files and folders that an address names: itself, and what its pattern or list holds."""
    path = Path(address.removeprefix("list:") or "''").expanduser()
    if not path.exists():
        return [Path(name) for name in glob.glob(str(path), recursive=True)]  # noqa: PTH207
    if path.is_file() and (address.startswith("list:") or path.suffix.lower() == ".txt"):
        return [path, *_listed(path)]
    return [path]


def open_list(path: Path) -> Source:
    """The images, or the videos, that a text file names, one a line, relative to its own folder.

    Raises:
        SourceError: it cannot be read, names nothing, or a file that is not there.
    """
    files = _listed(path)
    if not files or len(files) > _MOST_LISTED:
        raise SourceError(f"list {path} names {len(files)} files; expected 1 to {_MOST_LISTED}")
    missing = [file for file in files if not file.is_file()]
    if missing:
        raise SourceError(
            f"list {path} names {missing[0]}, which is not there ({len(missing)} of "
            f"{len(files)} are missing); paths are relative to the list's folder"
        )
    return _files(files, f"list {path}")


def _listed(path: Path) -> list[Path]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text"
        raise SourceError(f"list {path} cannot be read ({reason}); name a text file") from error
    names = [line.strip() for line in lines]
    return [path.parent / name for name in names if name and not name.startswith("#")]


def _open_pattern(address: str, path: Path) -> Source:
    names = glob.glob(str(path), recursive=True)  # noqa: PTH207  Path.glob takes no absolute one
    found = sorted(p for p in map(Path, names) if p.is_file())
    images = [p for p in found if p.suffix.lower() in IMAGE_SUFFIXES]
    videos = [p for p in found if p.suffix.lower() in VIDEO_SUFFIXES]
    if not images and not videos:
        raise SourceError(
            f"pattern {address!r} matches no image or video; quote it and check the folder"
        )
    if images and videos:
        raise SourceError(
            f"pattern {address!r} matches {len(images)} images and {len(videos)} videos; "
            "make it match one kind, for example with '*.jpg'"
        )
    return _files(images or videos, f"pattern {address}")


def _files(files: Sequence[Path], what: str) -> Source:
    images = sum(p.suffix.lower() in IMAGE_SUFFIXES for p in files)
    if images == len(files):
        return ImageFiles(files, what)
    if images:
        raise SourceError(
            f"{what} names {images} images and {len(files) - images} other files; name one kind"
        )
    return Playlist(files, what)


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


def _check_readable(path: Path) -> None:
    try:
        with path.open("rb"):
            pass
    except OSError as error:
        raise SourceError(
            f"source {path} cannot be read ({error.strerror}); change its permissions"
        ) from error
