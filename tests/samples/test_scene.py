"""The rendered road scene, the data set made of it and the clip."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest
import yaml
from click.testing import CliRunner

from lipdeploy.samples import scene
from lipdeploy.samples.clip import write_clip
from lipdeploy.samples.scene_dataset import main, write_dataset

SIZE = (64, 112)
CAR, PERSON = scene.CLASS_NAMES.index("car"), scene.CLASS_NAMES.index("person")


def shares(mask: npt.NDArray[np.uint8]) -> npt.NDArray[np.float64]:
    return np.bincount(mask.ravel(), minlength=len(scene.CLASS_NAMES)) / mask.size


@pytest.mark.parametrize("size", [(32, 32), (64, 112), (97, 131), (200, 40)])
def test_shapes_types_and_labels(size: tuple[int, int]) -> None:
    frame = scene.render(5, 1.5, *size)
    assert frame.image.shape == (*size, 3)
    assert frame.mask.shape == size
    assert frame.image.dtype == frame.mask.dtype == np.uint8
    assert frame.mask.max() < len(scene.CLASS_NAMES)


def test_the_same_arguments_give_the_same_frame_in_any_order() -> None:
    first = scene.render(7, 3.0, *SIZE)
    scene.render(8, 0.0, *SIZE)
    scene.render(7, 9.0, *SIZE)
    again = scene.render(7, 3.0, *SIZE)
    assert np.array_equal(first.image, again.image)
    assert np.array_equal(first.mask, again.mask)


def test_seeds_are_different_worlds() -> None:
    masks = [scene.render(seed, 0.0, *SIZE).mask for seed in range(6)]
    for index, mask in enumerate(masks):
        for other in masks[index + 1 :]:
            assert (mask != other).mean() > 0.05


def test_every_class_occurs_and_none_dominates() -> None:
    found = np.array([shares(scene.render(seed, 1.7 * seed, *SIZE).mask) for seed in range(20)])
    assert ((found > 0.001).mean(axis=0) >= 0.75).all()
    mean = found.mean(axis=0)
    assert mean.max() < 0.5
    assert 0.03 < mean[CAR] < 0.16
    assert 0.01 < mean[PERSON] < 0.06


def test_image_and_mask_show_the_same_edges() -> None:
    frame = scene.render(2, 2.0, 128, 224, noise=False)
    grey = cv2.cvtColor(frame.image, cv2.COLOR_RGB2GRAY).astype(np.float64)
    step = np.abs(np.diff(grey, axis=1))
    edge = np.diff(frame.mask.astype(int), axis=1) != 0
    assert step[edge].mean() > 3.0 * step[~edge].mean()


@pytest.mark.parametrize("seed", [0, 3, 11])
def test_another_size_shows_the_same_scene(seed: int) -> None:
    small = scene.render(seed, 2.0, 96, 168).mask
    large = scene.render(seed, 2.0, 192, 336).mask
    assert (large[::2, ::2] == small).mean() >= 0.9


def test_time_moves_the_scene_a_little_at_a_time() -> None:
    start = scene.render(4, 2.0, 96, 168).mask
    soon = (scene.render(4, 2.05, 96, 168).mask != start).mean()
    later = (scene.render(4, 5.0, 96, 168).mask != start).mean()
    assert 0.0 < soon < 0.08
    assert later > 2.0 * soon


def test_cars_and_people_move() -> None:
    for label in (CAR, PERSON):
        moved = 0
        for seed in range(6):
            before, after = (scene.render(seed, t, 96, 168).mask == label for t in (1.0, 2.0))
            moved += bool((before != after).any())
        assert moved >= 5


def test_noise_can_be_left_out_and_does_not_touch_the_labels() -> None:
    noisy, clean = (scene.render(1, 0.0, *SIZE, noise=noise) for noise in (True, False))
    assert np.array_equal(noisy.mask, clean.mask)
    assert 0.3 < np.abs(noisy.image.astype(int) - clean.image).mean() < 8.0


@pytest.mark.parametrize("size", [(31, 64), (64, 31), (0, 0)])
def test_small_sizes_are_refused(size: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match=f"at least 32x32 pixels, got {size[0]}x{size[1]}"):
        scene.render(0, 0.0, *size)


@pytest.mark.parametrize("time_s", [float("nan"), float("inf")])
def test_times_without_end_are_refused(time_s: float) -> None:
    with pytest.raises(ValueError, match="finite"):
        scene.render(0, time_s, *SIZE)


def test_dataset_pairs_match_and_the_description_parses(tmp_path: Path) -> None:
    source = write_dataset(tmp_path / "set", train=4, val=2, height=48, width=80, seed=1)
    fields = yaml.safe_load(source.read_text(encoding="utf-8"))
    assert fields["names"] == dict(enumerate(scene.CLASS_NAMES))
    assert fields["masks_dir"] == "masks"
    root = source.parent / fields["path"]
    pictures = []
    for split, count in (("train", 4), ("val", 2)):
        images = sorted((root / fields[split]).iterdir())
        masks = sorted((root / "masks" / split).iterdir())
        assert [path.stem for path in images] == [path.stem for path in masks]
        assert len(images) == count
        for path in masks:
            mask = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
            assert mask is not None
            assert mask.shape == (48, 80)
            assert mask.max() < len(scene.CLASS_NAMES)
            pictures.append(mask.tobytes())
    assert len(set(pictures)) == 6


def test_dataset_is_reproducible(tmp_path: Path) -> None:
    folders = [tmp_path / name for name in ("one", "two")]
    for folder in folders:
        write_dataset(folder, train=2, val=1, height=32, width=48, seed=0)
    names = sorted(p.relative_to(folders[0]) for p in folders[0].rglob("*") if p.is_file())
    assert len(names) == 7
    for name in names:
        assert (folders[0] / name).read_bytes() == (folders[1] / name).read_bytes()


def test_dataset_command(tmp_path: Path) -> None:
    options = ["--train", "1", "--val", "1", "--size", "32", "48", "--seed", "2"]
    result = CliRunner().invoke(main, [str(tmp_path / "set"), *options])
    assert result.exit_code == 0, result.output
    assert "data.yaml" in result.output
    assert (tmp_path / "set" / "data.yaml").is_file()


def test_clip_has_the_asked_length_and_size(tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    write_clip(path, seconds=0.5, fps=10, height=48, width=80, seed=3)
    video = cv2.VideoCapture(str(path))
    try:
        frames = []
        while True:
            more, frame = video.read()
            if not more:
                break
            frames.append(frame)
    finally:
        video.release()
    assert len(frames) == 5
    assert frames[0].shape == (48, 80, 3)
    expected = cv2.cvtColor(scene.render(3, 0.0, 48, 80, noise=False).image, cv2.COLOR_RGB2BGR)
    assert np.abs(frames[0].astype(int) - expected).mean() < 12.0
