"""Where frames come from: one small class a kind of source behind `open_source`."""

from lipdeploy.runtime.sources.address import open_source, redacted
from lipdeploy.runtime.sources.frame import Frame, Source

__all__ = ["Frame", "Source", "open_source", "redacted"]
