"""The live page: what the stream shows and says, in a browser, without the internet."""

from lipdeploy.runtime.web.page_sink import PageSink, open_page

__all__ = ["PageSink", "open_page"]
