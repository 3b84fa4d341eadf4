"""Data sets in the layouts of their authors, on small generated folders."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

import cv2
import numpy as np
import pytest

from lipdeploy.core.dataset import Dataset, load_dataset, read_pair
from lipdeploy.core.errors import InputError

SAMPLES = Path(__file__).resolve().parents[2] / "samples" / "datasets"

# The published table of Cityscapes: id, training id, name; -1 is stored as 255.
CITYSCAPES = """
    0 255 unlabeled        1 255 ego vehicle      2 255 rectification border   3 255 out of roi
    4 255 static           5 255 dynamic          6 255 ground                 7 0 road
    8 1 sidewalk           9 255 parking          10 255 rail track            11 2 building
    12 3 wall              13 4 fence             14 255 guard rail            15 255 bridge
    16 255 tunnel          17 5 pole              18 255 polegroup             19 6 traffic light
    20 7 traffic sign      21 8 vegetation        22 9 terrain                 23 10 sky
    24 11 person           25 12 rider            26 13 car                    27 14 truck
    28 15 bus              29 255 caravan         30 255 trailer               31 16 train
    32 17 motorcycle       33 18 bicycle          255 255 license plate
"""


def cityscapes_table() -> list[tuple[int, int, str]]:
    cells = [c.strip() for line in CITYSCAPES.splitlines() for c in line.split("  ") if c.strip()]
    split = [cell.split(" ", 2) for cell in cells]
    return [(int(a), int(b), name) for a, b, name in split]


def save(path: Path, picture: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), picture)


def picture(height: int = 5, width: int = 7) -> np.ndarray:
    return np.full((height, width, 3), (10, 20, 30), np.uint8)


def yaml_file(folder: Path, **fields: object) -> Dataset:
    path = folder / "data.yaml"
    path.write_text("\n".join(f"{key}: {value}" for key, value in fields.items()))
    return load_dataset(path)


def read_all(folder: Path, fields: Mapping[str, object]) -> None:
    """Every example of both splits."""
    dataset = yaml_file(folder, **fields)
    for pair in dataset.pairs("train") + dataset.pairs("val"):
        read_pair(pair, len(dataset.class_names), 8, 8)


def write_cityscapes(root: Path) -> None:
    values = np.array([row[0] for row in cityscapes_table()], np.uint8).reshape(5, 7)
    for split, city in (("train", "aachen"), ("train", "ulm"), ("val", "lindau")):
        for frame in ("000000_000019", "000001_000019"):
            stem = f"{city}_{frame}"
            save(root / "leftImg8bit" / split / city / f"{stem}_leftImg8bit.png", picture())
            fine = root / "gtFine" / split / city
            save(fine / f"{stem}_gtFine_labelIds.png", values)
            save(fine / f"{stem}_gtFine_instanceIds.png", values.astype(np.uint16) * 1000)
            save(fine / f"{stem}_gtFine_color.png", picture())
            (fine / f"{stem}_gtFine_polygons.json").write_text("{}")


def test_cityscapes_has_the_published_classes(tmp_path: Path) -> None:
    write_cityscapes(tmp_path)
    dataset = yaml_file(tmp_path, layout="cityscapes")
    table = cityscapes_table()
    assert len(table) == 35
    named = {training: name for _, training, name in table if training != 255}
    assert dataset.class_names == tuple(named[k] for k in range(19))
    pairs = dataset.pairs("train")
    frames = [f"{c}_{i:06d}_000019" for c in ("aachen", "ulm") for i in (0, 1)]
    assert [p.image.name for p in pairs] == [f"{frame}_leftImg8bit.png" for frame in frames]
    expected = np.array([row[1] for row in table]).reshape(5, 7)
    image, mask = read_pair(pairs[3], 19, 5, 7)
    assert image[0, 0].tolist() == [30, 20, 10]
    assert np.array_equal(mask, expected)
    assert len(dataset.pairs("val")) == 2
    ignoring = yaml_file(tmp_path, layout="cityscapes", ignore="[0, 18]").pairs("val")[0]
    _, mask = read_pair(ignoring, 19, 5, 7)
    assert np.array_equal(mask, np.where(np.isin(expected, (0, 18)), 255, expected))


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("no folder", r"leftImg8bit/val is missing, the images of val; expected leftImg8bit/SPLIT"),
        ("no image", r"holds no CITY/\*_leftImg8bit\.png"),
        ("no mask", r"000019_gtFine_labelIds\.png is missing, the mask of lindau"),
        ("unknown id", r"class id 34; expected a label id of Cityscapes, 0\.\.33"),
        ("instances", r"class id 7000; expected a label id of Cityscapes"),
        ("colours", r"kind RGB; expected a single-channel PNG"),
    ],
)
def test_broken_cityscapes_is_one_line(tmp_path: Path, fault: str, message: str) -> None:
    write_cityscapes(tmp_path)
    city = tmp_path / "leftImg8bit/val/lindau"
    mask = tmp_path / "gtFine/val/lindau/lindau_000000_000019_gtFine_labelIds.png"
    if fault == "no folder":
        (tmp_path / "leftImg8bit/val").rename(tmp_path / "elsewhere")
    elif fault == "no image":
        for image in city.iterdir():
            image.rename(image.with_name("x" + image.name.replace("leftImg8bit", "right")))
    elif fault == "no mask":
        mask.unlink()
    else:
        wrong: dict[str, np.ndarray] = {
            "unknown id": np.full((5, 7), 34, np.uint8),
            "instances": np.full((5, 7), 7000, np.uint16),
            "colours": picture(),
        }
        save(mask, wrong[fault])
    with pytest.raises(InputError, match=message) as caught:
        read_pair(yaml_file(tmp_path, layout="cityscapes").pairs("val")[0], 19, 5, 7)
    assert "\n" not in str(caught.value)


TRIMAP = np.array([[1, 2, 3], [3, 2, 1]], np.uint8)


def write_pets(root: Path, per_breed: int = 20) -> None:
    """Two breeds of either species; what the archives hold beside the listed files as well."""
    breeds = [("Bengal", 1, 6), ("beagle", 2, 5)]
    lists: dict[str, list[str]] = {"trainval": [], "test": []}
    for name, species, breed in breeds:
        for i in range(1, per_breed + 1):
            split = "test" if i % 2 else "trainval"
            lists[split].append(f"{name}_{i} {breed} {species} {breed}")
            save(root / f"images/{name}_{i}.jpg", picture(2, 3))
            save(root / f"annotations/trimaps/{name}_{i}.png", TRIMAP)
    (root / "images/Bengal_1.mat").write_bytes(b"matlab")
    (root / "images/Bengal_999.jpg").write_bytes(b"GIF89a, in no list")
    (root / "annotations/trimaps/._Bengal_1.png").write_bytes(b"\0\5\x16\7")
    for split, rows in lists.items():
        (root / f"annotations/{split}.txt").write_text("\n".join(rows) + "\n")
    header = "#Image CLASS-ID SPECIES BREED ID\n#ID: 1:37 Class ids\n"
    (root / "annotations/list.txt").write_text(
        header + "\n".join(lists["trainval"] + lists["test"])
    )


def test_pets_with_the_trimap_as_target(tmp_path: Path) -> None:
    write_pets(tmp_path)
    dataset = yaml_file(tmp_path, layout="oxford-iiit-pet")
    assert dataset.class_names == ("pet", "background", "border")
    _, mask = read_pair(dataset.pairs("test")[0], 3, 2, 3)
    assert mask.tolist() == [[0, 1, 2], [2, 1, 0]]
    bare = yaml_file(tmp_path, layout="oxford-iiit-pet", ignore=2).pairs("test")[0]
    assert read_pair(bare, 3, 2, 3)[1].tolist() == [[0, 1, 255], [255, 1, 0]]


def test_pets_with_the_species_as_target(tmp_path: Path) -> None:
    write_pets(tmp_path)
    dataset = yaml_file(tmp_path, layout="oxford-iiit-pet", target="species")
    assert dataset.class_names == ("background", "cat", "dog")
    for pair in dataset.pairs("train") + dataset.pairs("val") + dataset.pairs("test"):
        own = 1 if pair.image.name.startswith("Bengal") else 2
        assert read_pair(pair, 3, 2, 3)[1].tolist() == [[own, 0, 255], [255, 0, own]]


def test_the_split_of_pets_is_the_authors_and_a_tenth_of_each_breed(tmp_path: Path) -> None:
    write_pets(tmp_path, per_breed=40)
    dataset = yaml_file(tmp_path, layout="oxford-iiit-pet")
    found = {split: {p.image.stem for p in dataset.pairs(split)} for split in dataset.splits}
    assert found["test"] == {f"{b}_{i}" for b in ("Bengal", "beagle") for i in range(1, 41, 2)}
    expected = set()
    for breed in ("Bengal", "beagle"):
        names = [f"{breed}_{i}" for i in range(2, 41, 2)]
        names.sort(key=lambda name: hashlib.sha256(name.encode()).hexdigest())
        expected |= set(names[:2])
    assert found["val"] == expected
    assert not found["train"] & found["val"]
    assert len(found["train"]) == 36


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("annotations/trainval.txt", "trainval.txt is missing, a list of the authors"),
        ("images/Bengal_2.jpg", "Bengal_2.jpg is missing, an image of the lists"),
        ("annotations/trimaps/Bengal_2.png", "Bengal_2.png is missing, a mask of the lists"),
        ("row", "line 1 is 'Bengal_2 6 3 6'; expected a name, the breed"),
        ("empty", "names no image"),
        ("binary", "trainval.txt is no text file"),
        ("target", "target is 'breed'; expected trimap or species"),
        ("share", r"val_share is 1\.5; expected a number in \(0, 1\)"),
        ("names", "names has 2 classes, the layout 3"),
        ("ignore", r"expected a list of class ids in 0\.\.2"),
    ],
)
def test_broken_pets_are_one_line(tmp_path: Path, fault: str, message: str) -> None:
    write_pets(tmp_path, 6)
    fields: dict[str, object] = {"layout": "oxford-iiit-pet"}
    keys = {"target": "breed", "share": 1.5, "names": "[a, b]", "ignore": "[3]"}
    if fault in keys:
        fields["val_share" if fault == "share" else fault] = keys[fault]
    elif fault in (
        texts := {"row": b"Bengal_2 6 3 6\n", "empty": b"# nothing\n", "binary": b"\xff"}
    ):
        (tmp_path / "annotations/trainval.txt").write_bytes(texts[fault])
    else:
        (tmp_path / fault).unlink()
    with pytest.raises(InputError, match=message) as caught:
        read_all(tmp_path, fields)
    assert "\n" not in str(caught.value)


def write_kvasir(root: Path, count: int = 25) -> list[str]:
    """Grey JPEG masks whose edges JPEG blurs, as the authors' do."""
    names = [f"cju{hashlib.md5(bytes([i])).hexdigest()[:8]}" for i in range(count)]
    mask = np.zeros((32, 48), np.uint8)
    mask[8:24, 8:40] = 255
    for name in names:
        save(root / f"images/{name}.jpg", picture(32, 48))
        save(root / f"masks/{name}.jpg", np.stack([mask] * 3, -1))
    (root / "kavsir_bboxes.json").write_text("{}")
    return names


def test_kvasir_masks_are_thresholded(tmp_path: Path) -> None:
    write_kvasir(tmp_path, 3)
    dataset = yaml_file(tmp_path, layout="kvasir-seg")
    assert dataset.class_names == ("background", "polyp")
    _, mask = read_pair(dataset.pairs("train")[0], 2, 32, 48)
    expected = np.zeros((32, 48))
    expected[8:24, 8:40] = 1
    assert np.array_equal(mask, expected)
    level = np.full((32, 48), 127, np.uint8)  # a flat picture survives JPEG exactly
    for grey, polyp in ((127, 0), (128, 1)):
        name = dataset.pairs("val")[0].mask
        save(name, level - 127 + grey)
        assert np.unique(read_pair(dataset.pairs("val")[0], 2, 32, 48)[1]).tolist() == [polyp]


def test_the_split_of_kvasir_is_drawn_by_name_or_listed(tmp_path: Path) -> None:
    names = write_kvasir(tmp_path)
    dataset = yaml_file(tmp_path, layout="kvasir-seg")
    ranked = sorted(names, key=lambda name: hashlib.sha256(name.encode()).hexdigest())
    assert {p.image.stem for p in dataset.pairs("val")} == set(ranked[:3])
    assert {p.image.stem for p in dataset.pairs("train")} == set(ranked[3:])
    (tmp_path / "train.txt").write_text("\n".join(names[:2]) + "\n\n")
    (tmp_path / "val.txt").write_text(f"{names[4]}.jpg\n")
    listed = yaml_file(tmp_path, layout="kvasir-seg", train="train.txt", val="val.txt")
    assert [p.image.stem for p in listed.pairs("train")] == sorted(names[:2])
    assert [p.image.stem for p in listed.pairs("val")] == [names[4]]
    with pytest.raises(InputError, match="no split 'test'"):
        listed.pairs("test")


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("images", "images is missing, the images; expected images"),
        ("mask", r"masks/cju.*\.jpg is missing, the mask of"),
        ("colour", "is a picture in colour; expected a grey mask"),
        ("size", "is 16x16, its image 48x32"),
        ("none", "cannot be decoded"),
        ("list alone", "names val alone; name the text files of both"),
        ("unknown name", "train.txt names 'nobody', which is not in images"),
    ],
)
def test_broken_kvasir_is_one_line(tmp_path: Path, fault: str, message: str) -> None:
    names = write_kvasir(tmp_path, 4)
    (tmp_path / "train.txt").write_text("nobody\n")
    lists = {"unknown name": {"train": "train.txt", "val": "train.txt"}}
    fields = {"list alone": {"val": "train.txt"}} | lists
    noise = np.random.default_rng(0).integers(0, 256, (32, 48, 3)).astype(np.uint8)
    for name in names:
        mask = tmp_path / f"masks/{name}.jpg"
        if fault == "mask":
            mask.unlink()
        elif fault in ("colour", "size"):
            save(mask, noise if fault == "colour" else np.zeros((16, 16), np.uint8))
        elif fault == "none":
            mask.write_bytes(b"no picture")
    if fault == "images":
        (tmp_path / "images").rename(tmp_path / "pictures")
    with pytest.raises(InputError, match=message) as caught:
        read_all(tmp_path, {"layout": "kvasir-seg", **fields.get(fault, {})})
    assert "\n" not in str(caught.value)


def test_ignored_ids_of_plain_folders(tmp_path: Path) -> None:
    """CamVid as SegNet distributes it: 11 classes and id 11 for what is not labelled."""
    save(tmp_path / "images/x.png", picture(1, 4))
    save(tmp_path / "masks/x.png", np.array([[0, 10, 11, 255]], np.uint8))
    names = "[" + ", ".join(f"c{k}" for k in range(11)) + "]"
    fields = {"train": "images", "val": "images", "masks_dir": "masks", "names": names}
    pair = yaml_file(tmp_path, **fields, ignore="[11]").pairs("val")[0]
    assert read_pair(pair, 11, 1, 4)[1].tolist() == [[0, 10, 255, 255]]
    with pytest.raises(InputError, match="holds class id 11"):
        read_pair(yaml_file(tmp_path, **fields).pairs("val")[0], 11, 1, 4)


@pytest.mark.parametrize(
    ("name", "folder", "write"),
    [
        ("cityscapes.yaml", "cityscapes", write_cityscapes),
        ("oxford_pet.yaml", "oxford-iiit-pet", write_pets),
        ("kvasir_seg.yaml", "Kvasir-SEG", write_kvasir),
    ],
)
def test_the_sample_files_read_the_authors_layout(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, folder: str, write: object
) -> None:
    assert callable(write)
    write(tmp_path / folder)
    monkeypatch.setenv("LIPDEPLOY_DATA", str(tmp_path))
    dataset = load_dataset(SAMPLES / name)
    for split in ("train", "val"):
        read_pair(dataset.pairs(split)[0], len(dataset.class_names), 8, 8)


@pytest.mark.parametrize("name", ["camvid", "kvasir", "pet3"])
def test_the_sample_files_read_the_real_data(
    shared_data: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv("LIPDEPLOY_DATA", str(shared_data))
    dataset = load_dataset(SAMPLES / f"{name}.yaml")
    for split in ("train", "val"):
        read_pair(dataset.pairs(split)[0], len(dataset.class_names), 32, 32)


def test_more_classes_than_a_byte_tells_apart_are_refused(tmp_path: Path) -> None:
    source = tmp_path / "data.yaml"
    names = ", ".join(f"c{k}" for k in range(256))
    source.write_text(f"path: .\ntrain: a\nval: a\nmasks_dir: m\nnames: [{names}]\n")
    with pytest.raises(InputError, match="names has 256 classes; expected at most 255"):
        load_dataset(source)
