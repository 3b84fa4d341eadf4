"""TensorRT and CUDA on this GPU: builds, plans against float64, speed, head overhead, D seen.

Every step that fails or does not fit into --seconds is written down as such, never left out. Run by
benchmarks/gpu.sh; models in fp16 and INT8 come from `lipdeploy calibrate`.

    python benchmarks/gpu.py [--json runs/gpu.json] [--seconds 450] [model.onnx ...]
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import platform
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

from lipdeploy.cli.build_run import BuildJob, build
from lipdeploy.core.errors import LipdeployError, VerificationError
from lipdeploy.export.bare_graph import bare_graph
from lipdeploy.runtime.model_file import read_model
from lipdeploy.runtime.plan_record import PlanRecord, record_path
from lipdeploy.runtime.session import open_session
from lipdeploy.runtime.tensorrt_api import installed_flavours, load_tensorrt
from lipdeploy.runtime.tensorrt_device import find_gpu
from lipdeploy.runtime.tensorrt_session import open_plan

RUNS, WARM_UP = 200, 20
FRAMES = 24  # of the comparison of each plan; `lipdeploy build` takes 1,000 where the level needs


def parsed() -> argparse.Namespace:
    """The options."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="*", type=Path)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--seconds", type=float, default=450.0)
    return parser.parse_args()


def latency_ms(call: Callable[[], object]) -> dict[str, float]:
    """Percentiles of the time of one call, copies to and from the device included."""
    times: list[float] = []
    for index in range(WARM_UP + RUNS):
        start = time.perf_counter()
        call()
        if index >= WARM_UP:
            times.append((time.perf_counter() - start) * 1e3)
    p50, p95, p99 = np.percentile(times, (50, 95, 99))
    return {"p50": float(p50), "p95": float(p95), "p99": float(p99), "max": max(times)}


def speed(path: Path, engine: str) -> dict[str, Any]:
    """One frame after the other through a session."""
    with open_plan(path) if engine == "tensorrt" else open_session(path, engine) as session:
        m = session.manifest
        image = np.random.default_rng(0).integers(0, 256, (m.height, m.width, 3), np.uint8)
        eps = [0.25] * m.budgets
        times = latency_ms(lambda: session.infer(image, eps))
        return {"engine": session.engine, "level": m.numerics.level, "latency_ms": times}


def plan_of(model: Path, flavour: str) -> dict[str, Any]:
    """Build, verify and time a plan."""
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / f"{model.stem}.engine"
        start = time.perf_counter()
        record, refusal = built(BuildJob(model, target, flavour, frames=FRAMES))
        told = json.loads(record_path(target).read_text())
        kept = ("tensorrt", "cuda", "device", "compute_capability", "precision", "plan_bytes")
        found = {key: told[key] for key in kept} | {"verification": told["verification"]}
        found["refused"] = refusal
        found["seconds"] = time.perf_counter() - start
        error, slack = record.verification.largest_error, record.verification.slack
        found["error_over_slack"] = None if refusal else error / max(slack, 1e-30)
        return found | speed(target, "tensorrt")


def built(job: BuildJob) -> tuple[PlanRecord, str]:
    """A plan, and why it may claim nothing; one that D does not cover is timed all the same."""
    silent = (lambda *_: None, lambda _: None)
    try:
        return build(job, *silent), ""
    except VerificationError as error:
        return build(dataclasses.replace(job, build_only=True), *silent), str(error)


def trunk_of(model: Path) -> dict[str, Any]:
    """The network alone, without its head, for the head's share of the time."""
    from lipdeploy.runtime.tensorrt_session import open_graph

    file = read_model(model)
    run = open_graph(bare_graph(file.data, file.name), 0)
    m = file.manifest
    image = np.random.default_rng(0).integers(0, 256, (1, m.height, m.width, 3), np.uint8)
    return {"latency_ms": latency_ms(lambda: run(["logits"], {"image": image}))}


class Log:
    """Results by name; a failure is a result."""

    def __init__(self, seconds: float, target: Path | None, machine: dict[str, str]) -> None:
        self.until = time.monotonic() + seconds
        self.target, self.machine = target, machine
        self.results: dict[str, Any] = {}

    def step(self, name: str, work: Callable[[], dict[str, Any]]) -> None:
        """Run one step, unless the time is over."""
        if time.monotonic() > self.until:
            self.results[name] = {"not_run": "out of time"}
        else:
            try:
                self.results[name] = work()
            except Exception as error:  # whatever bindings that never ran here may raise
                self.results[name] = {"failed": f"{type(error).__name__}: {error}"}
        print(name, json.dumps(self.results[name]), flush=True)
        if self.target is not None:  # after each step: a run that is cut off leaves what it has
            told = {"machine": self.machine, "results": self.results}
            self.target.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")


def main() -> int:
    """Run every step; 6 without a GPU."""
    options = parsed()
    try:
        gpu = find_gpu()
    except LipdeployError as error:
        print(f"benchmarks/gpu.py: {error}", file=sys.stderr)
        return error.exit_code
    bundled = Path(str(resources.files("lipdeploy.samples") / "scene_s.onnx"))
    machine = {"gpu": gpu.name, "capability": gpu.capability, "cuda": gpu.cuda}
    log = Log(options.seconds, options.json, machine | {"host": platform.machine()})
    for model in options.models or [bundled]:
        log.step(f"{model.stem} onnxruntime CPU", partial(speed, model, "onnxruntime"))
        for flavour in installed_flavours():
            name = f"{model.stem} {load_tensorrt(flavour).title}"
            log.step(name, partial(plan_of, model, flavour))
        log.step(f"{model.stem} trunk", partial(trunk_of, model))
        log.step(f"{model.stem} onnxruntime CUDA", partial(speed, model, "onnxruntime-cuda"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
