from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from vlqa.data.published_splits import published_split
from vlqa.errors import ManifestError

TRAIN = (
    "dst_imgs/awgn/1600.AWGN.1.png\t0.938\twhite noise\tcityscape\thuman\tplant\n"
    "dst_imgs/blur/1600.BLUR.5.png\t0.154\tgaussian blur\tcityscape\tinvalid\tinvalid\n"
)
VAL = "dst_imgs/jpeg/elk.JPEG.2.png\t0.932\tjpeg compression\tanimal\tnight\tinvalid\n"
TEST = "dst_imgs/jpeg/geckos.JPEG.1.png\t0.978\tjpeg compression\tanimal\tinvalid\tinvalid\n" * 2
TEST = TEST.replace("JPEG.1", "JPEG.4", 1).replace("0.978", "0.537", 1)


def tree(root: Path, **files: str) -> Path:
    """A set's folder with one split, files by their stems."""
    place = root / "CSIQ" / "splits2" / "3"
    place.mkdir(parents=True)
    for name, text in files.items():
        (place / f"{name}.txt").write_text(text)
    return root / "CSIQ"


def test_a_split_of_six_columns(tmp_path: Path) -> None:
    folder = tree(tmp_path, csiq_train_clip=TRAIN, csiq_val_clip=VAL, csiq_test_clip=TEST, csiq_test="a\t1\n")
    train, test = published_split(folder, 3)
    assert train.split == ("train", "train", "val") and test.split == ("test", "test")
    assert len(train.where(split="train")) == 2
    assert train.mos.tolist() == [0.938, 0.154, 0.932]
    assert train.distortion == ("white noise", "gaussian blur", "jpeg compression")
    assert train.scenes == (("cityscape", "human", "plant"), ("cityscape",), ("animal", "night"))
    assert train.paths[0] == folder / "dst_imgs/awgn/1600.AWGN.1.png"
    assert train.mos_std is None
    inside, elsewhere = published_split(folder / "splits2", 3, images=tmp_path)
    assert inside.names == train.names and elsewhere.paths[0] == tmp_path / test.names[0]


def test_older_files_of_another_set_beside_them(tmp_path: Path) -> None:
    koniq = "1024x768/{}.jpg\t3.33\t0.6\n"
    folder = tree(
        tmp_path,
        csiq_train_clip=TRAIN,
        csiq_test_clip=TEST,
        koniq10k_train_score=koniq.format(1) + koniq.format(2).replace("3.33", "2.1"),
        koniq10k_test_score=koniq.format(3) + koniq.format(4).replace("3.33", "2.1"),
        notes="nothing",
    )
    assert published_split(folder, 3)[0].names[0].startswith("dst_imgs")
    train, test = published_split(folder, 3, name="koniq10k")
    assert len(train) == 2 and test.names[0] == "1024x768/3.jpg" and test.distortion is None
    np.testing.assert_array_equal(test.mos_std, [0.6, 0.6])


@pytest.mark.parametrize(
    ("files", "name", "message"),
    [
        ({}, None, "no SET_train_clip.txt and SET_test_clip.txt; there are files of no set"),
        ({"csiq_train_clip": TRAIN}, None, "there are files of csiq"),
        (
            {"a_train": "x\t1", "a_test": "y\t1", "b_train": "x\t1", "b_test": "y\t1"},
            None,
            "several sets, a, b; name one",
        ),
        ({"a_train": "x\t1", "a_test": "y\t1"}, "b", "no b_train_clip.txt"),
        ({"a_train": "x\t1\nz\t1\tgood\t4", "a_test": "y\t1"}, None, "a_train.txt:2: expected 2, 3 or 6 .* found 4"),
        ({"a_train": "x\t1\n\nz\t1\t2", "a_test": "y\t1"}, None, "a_train.txt:3: expected 2 fields .* found 3"),
        ({"a_train": "\n", "a_test": "y\t1"}, None, "the file is empty"),
        ({"a_train": "x\t1\nz\t2", "a_test": "w\t3\nx\t1"}, None, "1 pictures are in a_train.txt too"),
        ({"a_train": "x\tgood\nz\t2", "a_test": "w\t3"}, None, "mos must be a number, found 'good'"),
    ],
)
def test_damaged_splits_are_said_clearly(tmp_path: Path, files: dict[str, str], name: str | None, message: str) -> None:
    folder = tree(tmp_path, **files)
    with pytest.raises(ManifestError, match=message):
        published_split(folder, 3, name=name)


def test_no_such_split(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match=r"splits2/11: no such folder; give the set's folder .* 1 to 10"):
        published_split(tree(tmp_path), 11)
