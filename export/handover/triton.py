"""A Triton model repository: one entry for ONNX Runtime, one for a TensorRT plan.

Source: Triton Inference Server, model configuration (model_config.proto).
"""

from __future__ import annotations

from lipdeploy.export.handover.target import COPY_OF_MODEL, Subject, comment, quoted

# Without a group, Triton takes every GPU it finds, and ONNX Runtime computes there in TF32.
_ON_A_CPU = 'backend: "onnxruntime"\ninstance_group [ { kind: KIND_CPU count: 1 } ]'
_PLAN = 'platform: "tensorrt_plan"'
_TYPES = {"image": "TYPE_UINT8", "eps": "TYPE_FP32", "mask": "TYPE_UINT8"}

README = """# Triton model repository of {name}

    tritonserver --model-repository=$PWD --model-control-mode=explicit --load-model={name}

`{name}` runs in ONNX Runtime and is complete. `{name}_trt` needs a plan that `lipdeploy build`
writes on the server's own GPU, with the TensorRT of the Triton image:

    lipdeploy build {name}/1/model.onnx {name}_trt/1/model.plan
    tritonserver --model-repository=$PWD

Before that the second command would end: by default Triton does not start unless every model of
the repository loads. Triton loads the plan without its record `model.plan.json`, so it does not
notice a plan of another model or device. Keep the two together, and check them with

    lipdeploy build --verify {name}/1/model.onnx {name}_trt/1/model.plan

{facts}
"""


def triton(subject: Subject) -> dict[str, str]:
    """The files of a repository."""
    name = subject.name
    plan = f"{name}_trt"
    facts = "\n".join(f"* {fact}" for fact in subject.facts)
    return {
        f"{name}/config.pbtxt": _config(subject, name, _ON_A_CPU, "model.onnx", subject.served),
        f"{name}/1/model.onnx": COPY_OF_MODEL,
        f"{plan}/config.pbtxt": _config(subject, plan, _PLAN, "model.plan", "none"),
        f"{plan}/1/put-model.plan-here": "see README.md\n",
        "README.md": README.format(name=name, facts=facts),
    }


def _config(subject: Subject, name: str, runner: str, file: str, level: str) -> str:
    m = subject.manifest
    frame = [1, m.height, m.width]
    inputs = _tensors({"image": [*frame, 3], "eps": [m.budgets]})
    outputs = _tensors({"mask": frame, "radius": frame, "flips": [1, m.budgets]})
    parameters = _parameters(
        {
            "lipdeploy.level": level,
            "lipdeploy.lipschitz": repr(m.lipschitz),
            "lipdeploy.classes": ",".join(m.class_names),
        }
    )
    return (
        comment(subject.facts)
        + f"name: {quoted(name)}\n{runner}\n"
        + f"default_model_filename: {quoted(file)}\n"
        + "max_batch_size: 0  # the batch of 1 is part of the shapes\n"
        + f"input [\n{inputs}\n]\noutput [\n{outputs}\n]\n{parameters}"
    )


def _tensors(shapes: dict[str, list[int]]) -> str:
    return ",\n".join(
        f"  {{ name: {quoted(name)} data_type: {_TYPES.get(name, 'TYPE_FP32')} "
        f"dims: [ {', '.join(map(str, shape))} ] }}"
        for name, shape in shapes.items()
    )


def _parameters(values: dict[str, str]) -> str:
    return "".join(
        f"parameters {{ key: {quoted(key)} value: {{ string_value: {quoted(value)} }} }}\n"
        for key, value in values.items()
    )
