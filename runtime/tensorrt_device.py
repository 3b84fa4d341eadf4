"""Which NVIDIA GPU is here, asked in a process of its own.

TensorRT's lean runtime may end its process where CUDA does not work (error 35), so nothing of
TensorRT is touched before this has answered. Asks the driver, which needs no package.
"""

from __future__ import annotations

from dataclasses import dataclass

from lipdeploy.core.errors import ArtefactError
from lipdeploy.runtime.doctor.check import probed

_PROBE = """
import ctypes, json
def answer():
    try:
        cuda = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return {"error": "no NVIDIA driver is installed (libcuda.so.1 is missing)"}
    code = cuda.cuInit(0)
    count = ctypes.c_int(0)
    code = code or cuda.cuDeviceGetCount(ctypes.byref(count))
    if code or not count.value:
        return {"error": f"the NVIDIA driver finds no GPU (CUDA error {code})"}
    device, version = ctypes.c_int(0), ctypes.c_int(0)
    cuda.cuDeviceGet(ctypes.byref(device), 0)
    cuda.cuDriverGetVersion(ctypes.byref(version))
    name = ctypes.create_string_buffer(256)
    cuda.cuDeviceGetName(name, 256, device)
    capability = []
    for attribute in (75, 76):
        value = ctypes.c_int(0)
        cuda.cuDeviceGetAttribute(ctypes.byref(value), attribute, device)
        capability.append(str(value.value))
    return {"name": name.value.decode(), "capability": ".".join(capability),
        "cuda": f"{version.value // 1000}.{version.value % 1000 // 10}"}
print(json.dumps(answer()))
"""


@dataclass(frozen=True)
class Gpu:
    """The GPU that CUDA gives a program first.

    Attributes:
        name: for example `Orin`.
        capability: compute capability, for example `8.7`.
        cuda: newest CUDA version that the driver runs, for example `12.6`.
    """

    name: str
    capability: str
    cuda: str

    @property
    def title(self) -> str:
        """For messages and records."""
        return f"{self.name} ({self.capability})"


def find_gpu() -> Gpu:
    """The GPU of this machine.

    Raises:
        ArtefactError: there is none, or its driver does not work.
    """
    found = probed(_PROBE)
    if "error" in found:
        raise ArtefactError(f"no GPU can be used here: {found['error']}; see `lipdeploy doctor`")
    return Gpu(str(found["name"]), str(found["capability"]), str(found["cuda"]))
