"""A DeepStream nvinfer configuration, and what DeepStream cannot do with the model by itself.

Source: DeepStream 7 and 8, Gst-nvinfer, "Gst-nvinfer File Configuration Specifications".
"""

from __future__ import annotations

from collections.abc import Mapping

from lipdeploy.export.handover.target import COPY_OF_MODEL, Subject, comment

README = """# DeepStream files of {name}

DeepStream's `nvinfer` converts every frame to a planar (NCHW) float tensor of its own before it
calls TensorRT. The model takes bytes as they come, uint8 [1,{height},{width},3], and a second
input `eps`. So `nvinfer` alone cannot feed it. Two honest ways:

1. `nvdspreprocess` in front of `nvinfer` with `input-tensor-from-meta=1` (set in
   `config_infer_{name}.txt`). `config_preprocess_{name}.txt` names the tensor and its shape; its
   custom library has to copy the RGB bytes of the frame unscaled. Write it, or make sure that
   the `libcustom2d_preprocess.so` of your DeepStream does that for uint8 in NHWC. `eps` is a
   constant second input: set it in the `NvDsInferInitializeInputLayers` hook of the library that
   `custom-lib-path` of nvinfer names (not set here).
2. `appsink` after `nvvideoconvert ! video/x-raw,format=RGB,width={width},height={height}`, and
   lipdeploy's own C++ or Python session on the buffer. No glue code of DeepStream is needed.

`network-type=100` and `output-tensor-meta=1` attach `mask`, `radius` and `flips` to the frame as
NvDsInferTensorMeta. `network-type=2` (segmentation) would take an argmax over logits that the
model does not have, and would drop the radius.

The plan has to come from `lipdeploy build {name}.onnx {name}.engine` on this device, with the
TensorRT of this DeepStream. Do not let nvinfer build it from `onnx-file`: it would set its own
precision and leave TF32 on, and no certificate covers that engine. For that reason `onnx-file` is
not set. nvinfer does not read `{name}.engine.json`; check the plan on the device with
`lipdeploy build --verify {name}.onnx {name}.engine`.

{facts}

None of this was run: it was written from NVIDIA's documentation, and its keys are checked against
the documented list.
"""


def deepstream(subject: Subject) -> dict[str, str]:
    """The files of the folder."""
    m, name = subject.manifest, subject.name
    facts = "\n".join(f"* {fact}" for fact in subject.facts)
    readme = README.format(name=name, height=m.height, width=m.width, facts=facts)
    return {
        f"config_infer_{name}.txt": _infer(subject),
        f"config_preprocess_{name}.txt": _preprocess(subject),
        "labels.txt": "".join(f"{label}\n" for label in m.class_names),
        f"{name}.onnx": COPY_OF_MODEL,
        "README.md": readme,
    }


def _infer(subject: Subject) -> str:
    name = subject.name
    properties = {
        "gpu-id": 0,
        "gie-unique-id": 1,
        "process-mode": 1,
        "batch-size": 1,
        "model-engine-file": f"{name}.engine",
        "labelfile-path": "labels.txt",
        "network-mode": 0,
        "network-type": 100,
        "input-tensor-from-meta": 1,
        "output-tensor-meta": 1,
        "output-blob-names": "mask;radius;flips",
        "num-detected-classes": len(subject.manifest.class_names),
        "maintain-aspect-ratio": 0,
    }
    return comment(subject.facts) + _section("property", properties)


def _preprocess(subject: Subject) -> str:
    m = subject.manifest
    properties = {
        "enable": 1,
        "target-unique-ids": 1,
        "process-on-frame": 1,
        "network-input-order": 1,
        "network-input-shape": f"1;{m.height};{m.width};3",
        "processing-width": m.width,
        "processing-height": m.height,
        "network-color-format": 0,
        "tensor-data-type": 1,
        "tensor-name": "image",
        "maintain-aspect-ratio": 0,
        "scaling-pool-memory-type": 0,
        "scaling-pool-compute-hw": 0,
        "custom-lib-path": "libyour_bytes.so",
        "custom-tensor-preparation-function": "YourBytes",
    }
    group = {
        "src-ids": 0,
        "custom-input-transformation-function": "CustomAsyncTransformation",
        "process-on-roi": 0,
    }
    note = "custom-lib-path and its function are yours to write, see README.md"
    return (
        comment([note, *subject.facts])
        + _section("property", properties)
        + "\n"
        + _section("group-0", group)
    )


def _section(title: str, values: Mapping[str, object]) -> str:
    return f"[{title}]\n" + "".join(f"{key}={value}\n" for key, value in values.items())
