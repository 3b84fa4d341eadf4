"""From the bytes of an ONNX file to the bytes of a TensorRT plan, one code path for 10.3 to 11.

Always strongly typed: the graph says the precision of every tensor and no builder flag changes it
(11 has no such flags any more). TF32 is cleared, since it would round float32 products to 10 bits.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from lipdeploy.core.errors import ArtefactError, InputError, VerificationError
from lipdeploy.runtime.tensorrt_api import Report, TensorRt, message_log, progress_monitor

WORKSPACE_MB = 512  # leaves room on devices whose 4 GB serve processor and GPU
LARGEST_TOPK = 3840  # of TensorRT 10 and 11, and of TensorRT-RTX; only the build says so

_REASONS = (
    (
        ("UINT8 types for intermediate",),
        "its head casts `mask` to uint8 before the last operator, which TensorRT does not take; "
        "export it again with this version of lipdeploy",
    ),
    (
        ("K exceeds the maximum value",),
        f"its head sorts all pixels and TensorRT's TopK ends at {LARGEST_TOPK}; export it with "
        "`--head threshold`",
    ),
    (
        ("insufficient memory", "OutOfMemory", "out of memory"),
        "the device's memory or the workspace limit is too small; raise --workspace-mb or free "
        "memory",
    ),
    (
        ("Failed to import initializer",),
        "it stores numbers of a type that TensorRT does not have, such as INT16; run it in "
        "ONNX Runtime or OpenVINO",
    ),
    (
        ("cudnn_impl.cpp",),
        "this version has no INT8 convolution without a GPU; TensorRT-RTX 1.7 has",
    ),
    (
        ("generateForCurrent", "Cuda Runtime"),
        "the build needs a GPU here; run it on the device",
    ),
)


@dataclass(frozen=True)
class BuildOptions:
    """How to build.

    Attributes:
        workspace_mb: most memory of one layer's scratch space, in MiB.
        timing_cache: bytes of a cache of an earlier build; empty starts one, None uses none.
    """

    workspace_mb: int = WORKSPACE_MB
    timing_cache: bytes | None = None

    def to_json(self) -> dict[str, Any]:
        """What the record keeps."""
        kept = dataclasses.asdict(self)
        kept["timing_cache"] = self.timing_cache is not None
        return kept | {"strongly_typed": True, "tf32": False, "static_shape": True}


@dataclass(frozen=True)
class Built:
    """A plan, and the timing cache that the build left.

    Attributes:
        plan: the plan file.
        timing_cache: for the next build; None where none was asked for.
    """

    plan: bytes
    timing_cache: bytes | None


def build_plan(
    trt: TensorRt,
    data: bytes,
    name: str,
    options: BuildOptions | None = None,
    report: Report | None = None,
) -> Built:
    """Build a plan.

    Args:
        trt: the bindings.
        data: an ONNX file.
        name: of the file, for messages.
        options: how; None for the defaults.
        report: called with the phase, the steps done and the steps in all.

    Raises:
        ArtefactError: the file cannot be parsed or built by this TensorRT on this device.
        InputError: a timing cache where there is none, or one of another device or version.
        VerificationError: a shape that is not static.
    """
    options = options or BuildOptions()
    log, messages = message_log(trt)
    try:
        builder = trt.module.Builder(log)
    except TypeError as error:  # the bindings' way to say that they have got none
        raise ArtefactError(_failure(trt, name, "cannot start its builder", messages)) from error
    flags = 1 << int(trt.module.NetworkDefinitionCreationFlag.STRONGLY_TYPED)
    network = builder.create_network(flags)
    parser = trt.module.OnnxParser(network, log)  # the network must outlive it
    if not parser.parse(data):
        errors = [str(parser.get_error(i).desc()) for i in range(parser.num_errors)]
        raise ArtefactError(_failure(trt, name, "cannot parse it", errors or messages))
    _check_static(network, name)
    config, cache = _config(trt, builder, options)
    if report is not None:
        config.progress_monitor = progress_monitor(trt, report)
    messages.clear()
    plan = builder.build_serialized_network(network, config)
    if plan is None:
        raise ArtefactError(_failure(trt, name, "cannot build it", messages))
    kept = None if cache is None else bytes(memoryview(cache.serialize()))
    return Built(bytes(memoryview(plan)), kept)


def _config(trt: TensorRt, builder: Any, options: BuildOptions) -> tuple[Any, Any | None]:
    config = builder.create_builder_config()
    tf32 = getattr(trt.module.BuilderFlag, "TF32", None)
    if tf32 is not None:
        config.clear_flag(tf32)
    pool = trt.module.MemoryPoolType.WORKSPACE
    config.set_memory_pool_limit(pool, options.workspace_mb * 2**20)
    if options.timing_cache is None:
        return config, None
    if trt.ahead_of_time:
        raise InputError(f"{trt.title} times nothing when it builds; leave out --timing-cache")
    cache = config.create_timing_cache(options.timing_cache)
    if cache is None or not config.set_timing_cache(cache, False):
        raise InputError(
            "the timing cache is of another device or TensorRT version; name a new file"
        )
    return config, cache


def _check_static(network: Any, name: str) -> None:
    for index in range(network.num_inputs):
        tensor = network.get_input(index)
        if any(int(side) < 0 for side in tensor.shape):
            raise VerificationError(
                f"model {name}: input {tensor.name!r} has shape {tuple(tensor.shape)}, expected a "
                "static one; export it again"
            )


def _failure(trt: TensorRt, name: str, what: str, messages: list[str]) -> str:
    text = " ".join(messages)
    for marks, reason in _REASONS:
        if any(mark in text for mark in marks):
            return f"model {name} does not build with {trt.title}: {reason}"
    last = messages[0][:300] if messages else "without a word"
    return f"model {name} does not build with {trt.title}: it {what} ({last})"
