"""Where frames come from: one small class a kind of source behind `open_source`."""

from lipdeploy.runtime.sources.address import open_source, open_sources
from lipdeploy.runtime.sources.frame import Frame, Source
from lipdeploy.runtime.sources.redact import redacted
from lipdeploy.runtime.sources.state import SourceState, states_of

__all__ = [
    "Frame",
    "Source",
    "SourceState",
    "open_source",
    "open_sources",
    "redacted",
    "states_of",
]
