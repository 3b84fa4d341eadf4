"""A Holoscan application's YAML: InferenceOp with TensorRT's or ONNX Runtime's backend.

Source: Holoscan SDK, "Inference" guide and InferenceOp parameters.
"""

from __future__ import annotations

import yaml

from lipdeploy.export.handover.target import COPY_OF_MODEL, Subject, comment

README = """# Holoscan files of {name}

`{name}.yaml` holds the parameters of `InferenceOp` for `Fragment::from_config("inference")`.

Holoscan's InferenceOp takes the tensors of its messages as they are: send `image` as a uint8
tensor of shape [1,{height},{width},3], RGB, and `eps` as a float32 tensor of shape [{budgets}].
`FormatConverterOp` delivers rgb888 as [{height},{width},3]; add the leading 1 where your version
does not accept a shape without it. Do not let FormatConverterOp scale to float or resize: scaling
is part of the model, and a resize in front multiplies the norm of a disturbance.

`backend: trt` makes Holoscan build its own engine from the .onnx file, which no certificate
covers (its precision options and TF32 are Holoscan's). Build the plan with
`lipdeploy build {name}.onnx {name}.engine` on the device, as the YAML expects with
`is_engine_path: true`. For ONNX Runtime set `backend: onnxrt`, `is_engine_path: false` and the
path of the .onnx file.

{facts}

None of this was run: it was written from the Holoscan documentation.
"""


def holoscan(subject: Subject) -> dict[str, str]:
    """The files of the folder."""
    m, name = subject.manifest, subject.name
    inference = {
        "backend": "trt",
        "is_engine_path": True,
        "enable_fp16": False,
        "input_on_cuda": True,
        "output_on_cuda": True,
        "transmit_on_cuda": True,
        "model_path_map": {name: f"{name}.engine"},
        "pre_processor_map": {name: ["image", "eps"]},
        "inference_map": {name: ["mask", "radius", "flips"]},
        "in_tensor_names": ["image", "eps"],
        "out_tensor_names": ["mask", "radius", "flips"],
    }
    converter = {"in_dtype": "rgb888", "out_dtype": "rgb888", "out_tensor_name": "image"}
    model = {
        "classes": list(m.class_names),
        "level": "none",  # of a plan, until it is verified on the device
        "lipschitz": m.lipschitz,
        "height": m.height,
        "width": m.width,
    }
    document = {"format_converter": converter, "inference": inference, "lipdeploy": model}
    text = yaml.safe_dump(document, sort_keys=False, allow_unicode=True)
    facts = "\n".join(f"* {fact}" for fact in subject.facts)
    readme = README.format(
        name=name, height=m.height, width=m.width, budgets=m.budgets, facts=facts
    )
    return {
        f"{name}.yaml": comment(subject.facts) + text,
        f"{name}.onnx": COPY_OF_MODEL,
        "README.md": readme,
    }
