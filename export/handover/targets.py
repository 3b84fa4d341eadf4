"""The names that `lipdeploy export --for` knows."""

from __future__ import annotations

from lipdeploy.export.handover.deepstream import deepstream
from lipdeploy.export.handover.holoscan import holoscan
from lipdeploy.export.handover.target import Write
from lipdeploy.export.handover.triton import triton

TARGETS: dict[str, Write] = {"deepstream": deepstream, "triton": triton, "holoscan": holoscan}
