"""What is handed over, and to whom."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from lipdeploy.core.errors import InputError
from lipdeploy.core.manifest import Manifest
from lipdeploy.core.whole_file import whole_file
from lipdeploy.runtime.model_file import ModelFile, read_model

# A build that no record can name: what holds there holds in every build of the family.
_RECEIVER = "onnxruntime (the receiver's) CPU"


@dataclass(frozen=True)
class Subject:
    """The model that the files speak of.

    Attributes:
        path: the `.onnx` file.
        name: without suffix; also the name under which a server knows it.
        manifest: what it says of itself.
        level: that may be claimed: `none` without a valid verification record.
        served: level in ONNX Runtime on a CPU, in whatever build the receiver has. Another device,
            and any engine that the receiver builds, has `none` until it is verified itself.
    """

    path: Path
    name: str
    manifest: Manifest
    level: str
    served: str = "none"

    @property
    def facts(self) -> list[str]:
        """What whoever feeds the model has to know, one line each."""
        m = self.manifest
        return [
            f"input image: uint8 [1,{m.height},{m.width},3], RGB, rows first; scaling is inside",
            f"input eps: float32 [{m.budgets}], l2 budgets of the whole image in [0,1]",
            f"output mask: uint8 [1,{m.height},{m.width}], class ids 0..{len(m.class_names) - 1}",
            f"output radius: float32 [1,{m.height},{m.width}], l2, rounded down, slack subtracted",
            f"output flips: float32 [1,{m.budgets}], upper bound on pixels that eps can change",
            f"level {self.level}, L <= {m.lipschitz:.9g}, precision {m.numerics.precision}",
            f"in ONNX Runtime on a CPU, as the receiver has it: level {self.served}; on a GPU and "
            "in a plan: none, until `lipdeploy build --verify` on that device says otherwise",
            "feed frames of exactly this size: a resize in front multiplies the norm of a "
            "disturbance",
        ]


def subject_of(path: Path) -> Subject:
    """Read a model for hand-over.

    Raises:
        InputError: there is no such file.
        VerificationError: it is no lipdeploy model.
    """
    file: ModelFile = read_model(path)
    served = file.on(_RECEIVER).claimable.numerics.level
    return Subject(path, path.stem, file.manifest, file.claimable.numerics.level, served)


# A build that no record can name: what holds there holds in every build of the family.
_RECEIVER = "onnxruntime (the receiver's) CPU"


def check_free(folder: Path) -> None:
    """Nothing of a receiver's is written over.

    Raises:
        InputError: the folder exists and is not empty.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"{folder} exists and is not empty; remove it or name another folder")


Write = Callable[[Subject], Mapping[str, str]]
"""Texts by path inside the folder; the path `COPY_OF_MODEL` stands for the model itself."""

COPY_OF_MODEL = "\0model"


def hand_over(subject: Subject, write: Write, folder: Path) -> list[Path]:
    """Write the files of one target into a folder that is made.

    Raises:
        InputError: the folder exists and is not empty.
    """
    check_free(folder)
    written: list[Path] = []
    for name, text in write(subject).items():
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(target) as partial:
            if text == COPY_OF_MODEL:
                shutil.copyfile(subject.path, partial)
            else:
                partial.write_text(text, encoding="utf-8")
        written.append(target)
    return written


def comment(lines: list[str], mark: str = "#") -> str:
    """Lines as comments."""
    return "".join(f"{mark} {line}\n" for line in lines)


def quoted(text: str) -> str:
    """A string of JSON, which YAML and protobuf's text format read as well."""
    return json.dumps(text)
