"""Data sets on disk: what is read and what is refused."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from lipdeploy.core.dataset import load_dataset, read_image, read_mask
from lipdeploy.core.errors import InputError


def make(folder: Path, **changes: object) -> Path:
    fields = {
        "path": ".",
        "train": "images/train",
        "val": "images/val",
        "masks_dir": "masks",
        "names": "{0: a, 1: b}",
    } | changes
    for split in ("train", "val"):
        (folder / "images" / split).mkdir(parents=True, exist_ok=True)
        (folder / "masks" / split).mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(folder / f"images/{split}/x.png"), np.full((4, 6, 3), (9, 5, 1), np.uint8))
        cv2.imwrite(str(folder / f"masks/{split}/x.png"), np.ones((4, 6), np.uint8))
    source = folder / "data.yaml"
    source.write_text("\n".join(f"{k}: {v}" for k, v in fields.items() if v is not None))
    return source


def test_pairs_and_rgb_order(tmp_path: Path) -> None:
    dataset = load_dataset(make(tmp_path))
    (pair,) = dataset.pairs("val")
    assert dataset.class_names == ("a", "b")
    assert read_image(pair.image)[0, 0].tolist() == [1, 5, 9]
    assert read_mask(pair.mask, 2, (4, 6)).tolist() == np.ones((4, 6)).tolist()


def test_variables_in_the_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = make(tmp_path, path="${MY_DATA}")
    with pytest.raises(InputError, match="variable that is not set"):
        load_dataset(source)
    monkeypatch.setenv("MY_DATA", str(tmp_path))
    assert len(load_dataset(source).pairs("train")) == 1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"names": None}, "lacks names"),
        ({"names": "{0: a, 2: b}"}, "ids 0, 1, 2"),
        ({"names": "[a]"}, "two or more"),
        ({"names": "{a: b, 0: c}"}, "ids 0, 1, 2"),
        ({"train": "images/none"}, "not a folder"),
        ({"names": "{0: a"}, "not valid YAML"),
        ({"layout": "citscapes"}, "layout is 'citscapes'; expected folders or cityscapes"),
        ({"ignore": "[-1]"}, "ignore is .*expected a list of class ids in 0..65535"),
        ({"ignore": "[a]"}, "ignore is"),
    ],
)
def test_broken_yaml_is_one_line(tmp_path: Path, changes: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        load_dataset(make(tmp_path, **changes)).pairs("train")
    assert "\n" not in str(caught.value)


def test_unknown_split_and_missing_mask(tmp_path: Path) -> None:
    dataset = load_dataset(make(tmp_path))
    with pytest.raises(InputError, match="no split 'test'"):
        dataset.pairs("test")
    (tmp_path / "masks/val/x.png").unlink()
    with pytest.raises(InputError, match="has no mask"):
        dataset.pairs("val")


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        (np.zeros((5, 6), np.uint8), "is 6x5, its image 6x4"),
        (np.full((4, 6), 7, np.uint8), "class id 7; expected 0..1 or 255"),
        (np.zeros((4, 6, 3), np.uint8), "kind RGB; expected a single-channel PNG"),
        (np.zeros((4, 6, 4), np.uint8), "kind RGB with transparency"),
        (np.full((4, 6), 26001, np.uint16), "class id 26001; expected 0..1 or 255"),
    ],
)
def test_masks_that_do_not_fit(tmp_path: Path, mask: np.ndarray, message: str) -> None:
    path = tmp_path / "m.png"
    cv2.imwrite(str(path), mask)
    with pytest.raises(InputError, match=message):
        read_mask(path, 2, (4, 6))


def test_an_image_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "x.jpg").write_bytes(b"no image")
    with pytest.raises(InputError, match="cannot be decoded"):
        read_image(tmp_path / "x.jpg")
