"""All that the handlers of requests share."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import resources

from lipdeploy.runtime.controls import Controls
from lipdeploy.runtime.web.auth import Guard
from lipdeploy.runtime.web.pictures import PictureFeed
from lipdeploy.runtime.web.status_feed import StatusFeed

_KINDS = {
    "html": "text/html; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}


@dataclass(frozen=True)
class StaticFile:
    """A file of the page: its media type and content."""

    kind: str
    content: bytes


@dataclass(frozen=True)
class Site:
    """The page's parts.

    Attributes:
        guard: who may see it.
        pictures: the newest picture.
        status: the newest status.
        controls: what a visitor may change; None for nothing.
        files: by name.
    """

    guard: Guard
    pictures: PictureFeed
    status: StatusFeed
    controls: Controls | None
    files: dict[str, StaticFile]


def static_files() -> dict[str, StaticFile]:
    """The files of the page, by name: only these are ever served, whatever path is asked for."""
    folder = resources.files(__package__).joinpath("static")
    files = {}
    for entry in folder.iterdir():
        kind = _KINDS.get(entry.name.rpartition(".")[2])
        if kind is not None:
            files[entry.name] = StaticFile(kind, entry.read_bytes())
    return files
