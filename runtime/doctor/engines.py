"""Which engines run the bundled model here, tried in a process of its own."""

from __future__ import annotations

from lipdeploy.runtime.doctor.check import Check, probed
from lipdeploy.runtime.doctor.packages import version_of

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
            "shape": [m.height, m.width], "finite": bool(np.isfinite(found.flips).all())}))
except LipdeployError as error:
    print(json.dumps({"error": str(error)}))
"""
_KNOWN = """
import json
from lipdeploy.runtime import session
names = getattr(session, "_ENGINES", None) or session.available_engines()
print(json.dumps({"engines": list(names)}))
"""
_PROVIDERS = "import json, onnxruntime as o; print(json.dumps({'p': o.get_available_providers()}))"
_OTHERS = {
    "onnxruntime": (("onnxruntime", "onnxruntime-gpu"), "pip install onnxruntime"),
    "tensorrt": (("tensorrt", "tensorrt-rtx", "tensorrt_rtx_cu13"), "it comes with JetPack"),
    "openvino": (("openvino",), "pip install openvino"),
}


def engine_checks() -> tuple[list[Check], bool]:
    """A line for each engine, and whether one of them runs the bundled model."""
    known = [str(name) for name in probed(_KNOWN).get("engines", ["onnxruntime"])]
    checks = [_engine(name) for name in known]
    works = any(check.status == "ok" for check in checks)
    absent = [_absent(name) for name in _OTHERS if name not in known]
    return [*checks, _providers(), *absent], works


def _engine(name: str) -> Check:
    found = probed(_RUN, name, MODEL)
    if "error" in found:
        installed = any(version_of(package) for package in _packages(name))
        fix = _OTHERS.get(name, ((), f"pip install {name}"))[1]
        if not installed and name != "onnxruntime":
            return Check(name, "info", f"not installed, and not needed; to use it: {fix}")
        fix = "see the message" if installed else fix
        return Check(name, "fail", f"does not run {MODEL}: {found['error']}", fix)
    height, width = found["shape"]
    detail = (
        f"{found['engine']} runs {MODEL} at {height}x{width} in {found['ms']:.0f} ms, "
        f"level {found['level']}"
    )
    return Check(name, "ok", detail)


def _providers() -> Check:
    found = probed(_PROVIDERS)
    if "error" in found:
        return Check("providers", "warn", found["error"], "pip install onnxruntime")
    names = [name.removesuffix("ExecutionProvider") for name in found["p"]]
    return Check("providers", "info", f"of ONNX Runtime: {', '.join(names)}; lipdeploy uses CPU")


def _absent(name: str) -> Check:
    versions = [f"{p} {version_of(p)}" for p in _packages(name) if version_of(p)]
    if versions:
        return Check(name, "info", f"{versions[0]} is installed; this lipdeploy does not use it")
    return Check(name, "info", "not installed, and not needed")


def _packages(name: str) -> tuple[str, ...]:
    return _OTHERS[name][0] if name in _OTHERS else (name,)
