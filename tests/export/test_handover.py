"""Hand-over files, read as the receiving program reads them."""

from __future__ import annotations

import configparser
import importlib.util
import re
from pathlib import Path
from typing import Any

import onnx
import onnxruntime
import pytest
import yaml
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format

from lipdeploy.cli import main
from lipdeploy.export.handover.targets import TARGETS
from lipdeploy.runtime.session import is_plan
from tests.export.tiny_file import tiny_file

# Keys of the group [property] in NVIDIA's documentation of Gst-nvinfer, those that we may use.
NVINFER = {
    "gpu-id", "gie-unique-id", "process-mode", "batch-size", "model-engine-file",
    "labelfile-path", "network-mode", "network-type", "input-tensor-from-meta",
    "output-tensor-meta", "output-blob-names", "num-detected-classes", "maintain-aspect-ratio",
}  # fmt: skip
# The same of Gst-nvdspreprocess.
NVDSPREPROCESS = {
    "enable", "target-unique-ids", "process-on-frame", "network-input-order",
    "network-input-shape", "processing-width", "processing-height", "network-color-format",
    "tensor-data-type", "tensor-name", "maintain-aspect-ratio", "scaling-pool-memory-type",
    "scaling-pool-compute-hw", "custom-lib-path", "custom-tensor-preparation-function",
}  # fmt: skip
GROUP = {"src-ids", "process-on-roi", "custom-input-transformation-function"}
# Parameters of InferenceOp in NVIDIA's documentation of Holoscan.
INFERENCE_OP = {
    "backend", "is_engine_path", "enable_fp16", "input_on_cuda", "output_on_cuda",
    "transmit_on_cuda", "model_path_map", "pre_processor_map", "inference_map", "in_tensor_names",
    "out_tensor_names",
}  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the command writes for all targets."""
    place = tmp_path_factory.mktemp("handover")
    onnx.save_model(tiny_file(), str(place / "tiny.onnx"))
    wanted = [word for name in TARGETS for word in ("--for", name)]
    assert main(["export", str(place / "tiny.onnx"), *wanted]) == 0
    return place


def truth(folder: Path) -> dict[str, tuple[str, list[int]]]:
    """Type and shape of every tensor, as ONNX Runtime reads them from the model."""
    session = onnxruntime.InferenceSession(
        str(folder / "tiny.onnx"), providers=["CPUExecutionProvider"]
    )
    kinds = {"tensor(uint8)": "TYPE_UINT8", "tensor(float)": "TYPE_FP32"}
    nodes = [*session.get_inputs(), *session.get_outputs()]
    return {node.name: (kinds[node.type], list(node.shape)) for node in nodes}


@pytest.mark.parametrize("name", TARGETS)
def test_every_target_explains_itself_and_brings_the_model(folder: Path, name: str) -> None:
    place = folder / f"tiny-{name}"
    readme = (place / "README.md").read_text()
    assert "level none" in readme, "tiny_file carries no record, so nothing may be claimed"
    assert "uint8 [1,8,8,3]" in readme
    (copy,) = place.rglob("*.onnx")
    assert copy.read_bytes() == (folder / "tiny.onnx").read_bytes()


@pytest.mark.parametrize(("entry", "runner"), [("tiny", "onnxruntime"), ("tiny_trt", None)])
def test_triton_configuration(folder: Path, entry: str, runner: str | None) -> None:
    place = folder / "tiny-triton" / entry
    found = text_format.Parse((place / "config.pbtxt").read_text(), _model_config())
    assert found.name == entry == place.name
    assert (found.backend, found.platform) == ((runner, "") if runner else ("", "tensorrt_plan"))
    assert found.max_batch_size == 0
    # left to itself, Triton runs ONNX Runtime on every GPU, in TF32
    assert [(g.kind, g.count) for g in found.instance_group] == ([(2, 1)] if runner else [])
    assert (place / "1").is_dir()
    if runner:
        assert (place / "1" / found.default_model_filename).is_file()
    tensors = truth(folder)
    for group, names in ((found.input, ["image", "eps"]), (found.output, None)):
        assert [t.name for t in group] == (names or ["mask", "radius", "flips"])
        for tensor in group:
            kind = tensor.DESCRIPTOR.fields_by_name["data_type"].enum_type
            label = kind.values_by_number[tensor.data_type].name
            assert (label, list(tensor.dims)) == tensors[tensor.name]


def _model_config() -> Any:
    """Triton's own message where its client is installed, else the fields that we use of it."""
    spec = importlib.util.find_spec("tritonclient")
    if spec is not None and spec.submodule_search_locations:
        path = Path(next(iter(spec.submodule_search_locations))) / "grpc" / "model_config_pb2.py"
        loader = importlib.util.spec_from_file_location("model_config_pb2", path)
        assert loader is not None
        assert loader.loader is not None
        module = importlib.util.module_from_spec(loader)
        loader.loader.exec_module(module)
        return module.ModelConfig()
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(_own_schema().SerializeToString())
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("inference.ModelConfig"))()


def _own_schema() -> descriptor_pb2.FileDescriptorProto:
    """Names, numbers and types as in Triton's model_config.proto."""
    lines = """
    name: "lipdeploy_test.proto" package: "inference" syntax: "proto3"
    enum_type { name: "DataType" value { name: "TYPE_INVALID" number: 0 }
      value { name: "TYPE_UINT8" number: 2 } value { name: "TYPE_FP32" number: 11 } }
    message_type { name: "ModelTensor"
      field { name: "name" number: 1 label: LABEL_OPTIONAL type: TYPE_STRING }
      field { name: "data_type" number: 2 label: LABEL_OPTIONAL type: TYPE_ENUM
        type_name: ".inference.DataType" }
      field { name: "dims" number: 4 label: LABEL_REPEATED type: TYPE_INT64 } }
    message_type { name: "ModelParameter"
      field { name: "string_value" number: 1 label: LABEL_OPTIONAL type: TYPE_STRING } }
    message_type { name: "ModelInstanceGroup"
      field { name: "count" number: 2 label: LABEL_OPTIONAL type: TYPE_INT32 }
      field { name: "kind" number: 4 label: LABEL_OPTIONAL type: TYPE_ENUM
        type_name: ".inference.ModelInstanceGroup.Kind" }
      enum_type { name: "Kind" value { name: "KIND_AUTO" number: 0 }
        value { name: "KIND_GPU" number: 1 } value { name: "KIND_CPU" number: 2 } } }
    message_type { name: "ModelConfig"
      nested_type { name: "ParametersEntry" options { map_entry: true }
        field { name: "key" number: 1 label: LABEL_OPTIONAL type: TYPE_STRING }
        field { name: "value" number: 2 label: LABEL_OPTIONAL type: TYPE_MESSAGE
          type_name: ".inference.ModelParameter" } }
      field { name: "name" number: 1 label: LABEL_OPTIONAL type: TYPE_STRING }
      field { name: "platform" number: 2 label: LABEL_OPTIONAL type: TYPE_STRING }
      field { name: "max_batch_size" number: 4 label: LABEL_OPTIONAL type: TYPE_INT32 }
      field { name: "input" number: 5 label: LABEL_REPEATED type: TYPE_MESSAGE
        type_name: ".inference.ModelTensor" }
      field { name: "output" number: 6 label: LABEL_REPEATED type: TYPE_MESSAGE
        type_name: ".inference.ModelTensor" }
      field { name: "instance_group" number: 7 label: LABEL_REPEATED type: TYPE_MESSAGE
        type_name: ".inference.ModelInstanceGroup" }
      field { name: "default_model_filename" number: 8 label: LABEL_OPTIONAL type: TYPE_STRING }
      field { name: "parameters" number: 14 label: LABEL_REPEATED type: TYPE_MESSAGE
        type_name: ".inference.ModelConfig.ParametersEntry" }
      field { name: "backend" number: 17 label: LABEL_OPTIONAL type: TYPE_STRING } }
    """
    return text_format.Parse(lines, descriptor_pb2.FileDescriptorProto())


def test_commands_name_files_that_are_there(folder: Path) -> None:
    """A reader who stands in the folder can copy every `lipdeploy build` of its README."""
    for name in TARGETS:
        place = folder / f"tiny-{name}"
        found = re.findall(
            r"lipdeploy build (?:--verify )?([^ \n`-][^ \n`]*) ([^ `\n]+)",
            (place / "README.md").read_text(),
        )
        assert found
        for model, plan in found:
            assert (place / model).is_file()
            assert (place / plan).parent.is_dir()
            assert is_plan(Path(plan))


def test_deepstream_configuration(folder: Path) -> None:
    place = folder / "tiny-deepstream"
    infer = _ini(place / "config_infer_tiny.txt")
    assert set(infer["property"]) == NVINFER
    assert infer["property"]["network-type"] == "100", "nvinfer must not take an argmax of its own"
    assert "onnx-file" not in infer["property"], "nvinfer must not build an engine of its own"
    assert infer["property"]["output-blob-names"].split(";") == ["mask", "radius", "flips"]
    preprocess = _ini(place / "config_preprocess_tiny.txt")
    assert set(preprocess["property"]) == NVDSPREPROCESS
    assert set(preprocess["group-0"]) == GROUP
    shape = [int(side) for side in preprocess["property"]["network-input-shape"].split(";")]
    assert shape == truth(folder)["image"][1]
    assert (place / "labels.txt").read_text().splitlines() == ["left", "right"]
    assert "cannot feed it" in (place / "README.md").read_text()


def _ini(path: Path) -> configparser.ConfigParser:
    parser = configparser.ConfigParser(strict=True, interpolation=None)
    parser.read_string(path.read_text())
    return parser


def test_holoscan_parameters(folder: Path) -> None:
    found = yaml.safe_load((folder / "tiny-holoscan" / "tiny.yaml").read_text())
    inference = found["inference"]
    assert set(inference) == INFERENCE_OP
    names = [*inference["pre_processor_map"]["tiny"], *inference["inference_map"]["tiny"]]
    assert sorted(names) == sorted(truth(folder))
    assert inference["enable_fp16"] is False
    assert inference["model_path_map"] == {"tiny": "tiny.engine"}
    assert found["lipdeploy"]["classes"] == ["left", "right"]


def test_refusals(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = str(folder / "tiny.onnx")
    assert main(["export", model]) == 2
    assert "say what --for" in capsys.readouterr().err
    assert main(["export", model, "--for", "triton"]) == 2
    assert "not empty" in capsys.readouterr().err
    assert main(["export", model, "--for", "tritn"]) == 2
    for option in (["--head", "sort"], ["--frames", "9"], ["--logits"], ["--imgsz", "8", "8"]):
        assert main(["export", model, str(folder / "x"), "--for", "triton", *option]) == 2
        assert f"{option[0]} changes nothing in" in capsys.readouterr().err
    assert main(["export", model, model, "--for", "triton"]) == 2
    assert "is not a folder" in capsys.readouterr().err
    half = folder / "half"
    (half / "tiny-triton" / "x").mkdir(parents=True)
    assert main(["export", model, str(half), "--for", "holoscan", "--for", "triton"]) == 2
    assert not (half / "tiny-holoscan").exists(), "all or nothing"
    assert main(["export", "ckpt.pt"]) == 2
    assert "TARGET is missing" in capsys.readouterr().err
