"""The examples of docs/data.md run."""

from __future__ import annotations

import re
from pathlib import Path

import cv2
import numpy as np
import pytest

from lipdeploy.core.dataset import load_dataset

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "data.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


@pytest.mark.parametrize("text", blocks("yaml"))
def test_the_yaml_files_are_read(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LIPDEPLOY_DATA", str(tmp_path))
    (tmp_path / "data.yaml").write_text(text)
    dataset = load_dataset(tmp_path / "data.yaml")
    assert len(dataset.class_names) >= 2
    assert {"train", "val"} <= set(dataset.splits)


def test_the_python_example_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (example,) = blocks("python")
    text = blocks("yaml")[0].replace("/data/polyps", ".")
    (tmp_path / "polyps.yaml").write_text(text)
    for kind, channels in (("images", (3,)), ("masks", ())):
        (tmp_path / kind / "train").mkdir(parents=True)
        for i in range(3):
            picture = np.ones((16, 16, *channels), np.uint8)
            assert cv2.imwrite(str(tmp_path / kind / "train" / f"{i}.png"), picture)
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {"__name__": "__main__"}
    exec(example, names)
    assert np.array_equal(np.asarray(names["weights"]), [1, 1])
    assert getattr(names["x"], "shape", None) == (3, 3, 128, 128)
