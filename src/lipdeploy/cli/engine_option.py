"""`--engine`, which several commands take. Not a choice of click's: help must import no room."""

from __future__ import annotations

import click

NAMES = "onnxruntime|onnxruntime-cuda|openvino|tensorrt"

ENGINE = click.option(
    "--engine",
    metavar=NAMES,
    help="What runs the model; no other takes its place.  "
    "[default: onnxruntime, or tensorrt for a plan]",
)
ENGINES = click.option(
    "--engine",
    "engines",
    metavar=NAMES,
    multiple=True,
    help="Compare this one only; repeatable.  [default: every one that works here]",
)
