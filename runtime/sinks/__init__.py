"""Where results go: one small class a kind of sink behind `open_sinks`."""

from lipdeploy.runtime.sinks.address import open_sink, open_sinks
from lipdeploy.runtime.sinks.context import SinkContext
from lipdeploy.runtime.sinks.sink import Sink

__all__ = ["Sink", "SinkContext", "open_sink", "open_sinks"]
