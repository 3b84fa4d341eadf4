"""Which engines run the bundled model here, tried in a process of its own."""

from __future__ import annotations

from lipdeploy.runtime.doctor.check import Check, probed

MODEL = "scene_s.onnx"

_RUN = """
import json, sys, time
from importlib import resources
from pathlib import Path
import numpy as np
from lipdeploy.core.errors import LipdeployError
from lipdeploy.runtime.session import open_session
try:
    path = Path(str(resources.files("lipdeploy.samples") / sys.argv[2]))
    with open_session(path, sys.argv[1]) as session:
        m = session.manifest
        image = np.full((m.height, m.width, 3), 127, np.uint8)
        session.infer(image, [0.25] * m.budgets)
        start = time.perf_counter()
        found = session.infer(image, [0.25] * m.budgets)
        ms = (time.perf_counter() - start) * 1e3
        print(json.dumps({"engine": session.engine, "ms": ms, "level": m.numerics.level,
            "doubt": session.standing.doubt, "shape": [m.height, m.width],
            "finite": bool(np.isfinite(found.flips).all())}))
except LipdeployError as error:
    print(json.dumps({"error": str(error)}))
"""
_KNOWN = """
import json
from lipdeploy.runtime.session import engine_names
print(json.dumps({"engines": engine_names()}))
"""
_PROBLEM = """
import json, sys
from lipdeploy.runtime.session import available_engines, engine_problem
problem = engine_problem(sys.argv[1])
print(json.dumps({"problem": problem, "runs_models": sys.argv[1] in available_engines()}))
"""
_PROVIDERS = "import json, onnxruntime as o; print(json.dumps({'p': o.get_available_providers()}))"
REQUIRED = "onnxruntime"  # comes with lipdeploy: without it something is broken, not missing


def engine_checks() -> tuple[list[Check], bool]:
    """A line for each engine, and whether one of them runs the bundled model."""
    known = [str(name) for name in probed(_KNOWN).get("engines", [REQUIRED])]
    checks = [_engine(name) for name in known]
    works = any(check.status == "ok" for check in checks)
    return [*checks, _providers()], works


def _engine(name: str) -> Check:
    """Whether an engine can be used here, and if so, whether it runs the bundled model."""
    found = probed(_PROBLEM, name)
    problem = str(found.get("error") or found["problem"])
    if problem:
        what, _, fix = problem.partition("; ")
        if name == REQUIRED or "error" in found:
            return Check(name, "fail", what, fix or "see the message")
        return Check(name, "info", f"not usable here, and not needed: {what}; to use it: {fix}")
    if not found["runs_models"]:
        return Check(name, "info", "loads; runs the plans of `lipdeploy build` only")
    return _run(name)


def _run(name: str) -> Check:
    found = probed(_RUN, name, MODEL)
    if "error" in found:
        return Check(name, "fail", f"does not run {MODEL}: {found['error']}", "see the message")
    height, width = found["shape"]
    detail = (
        f"{found['engine']} runs {MODEL} at {height}x{width} in {found['ms']:.0f} ms, "
        f"level {found['level']}"
    )
    return Check(name, "ok", f"{detail}: {found['doubt']}" if found["doubt"] else detail)


def _providers() -> Check:
    found = probed(_PROVIDERS)
    if "error" in found:
        return Check("providers", "warn", found["error"], "pip install onnxruntime")
    names = [name.removesuffix("ExecutionProvider") for name in found["p"]]
    return Check("providers", "info", f"of ONNX Runtime: {', '.join(names)}")
