from __future__ import annotations

import dataclasses
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.data.archives import write_tar
from vlqa.data.manifest import Manifest
from vlqa.errors import ManifestError

FULL = """\
path,mos,mos_std,distortion,scenes,split,fold,group,reference
a.jpg,38.5,21.1,blur,landscape,train,3,g1,ref/a.png
sub/b.jpg,40.25,,noise,human|landscape,test,0,g2,ref/b.png
c.jpg,-1e1,0,,,train,3,g1,ref/a.png
"""


def write(folder: Path, text: str | bytes, name: str = "labels.csv") -> Path:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_every_column(tmp_path: Path) -> None:
    file = write(tmp_path, FULL)
    labels = Manifest.read(file)
    assert len(labels) == 3
    assert (labels.source, labels.images) == (file, tmp_path)
    assert labels.names == ("a.jpg", "sub/b.jpg", "c.jpg")
    assert labels.paths == (tmp_path / "a.jpg", tmp_path / "sub/b.jpg", tmp_path / "c.jpg")
    assert labels.mos.tolist() == [38.5, 40.25, -10]
    assert labels.mos_std is not None and labels.fold is not None
    np.testing.assert_array_equal(labels.mos_std, [21.1, np.nan, 0])
    assert labels.fold.tolist() == [3, 0, 3]
    assert labels.distortion == ("blur", "noise", "")
    assert labels.scenes == (("landscape",), ("human", "landscape"), ())
    assert labels.split == ("train", "test", "train")
    assert labels.group == ("g1", "g2", "g1")
    assert labels.reference == ("ref/a.png", "ref/b.png", "ref/a.png")


def test_two_columns_are_enough_and_others_are_ignored(tmp_path: Path) -> None:
    labels = Manifest.read(write(tmp_path, "level,mos,path\n1,2,a.png\n2,3,b.png\n"))
    assert labels.names == ("a.png", "b.png")
    optional = ("mos_std", "distortion", "scenes", "split", "fold", "group", "reference")
    assert all(getattr(labels, name) is None for name in optional)
    assert labels.folds == ()


def test_images_are_relative_to_the_given_folder(tmp_path: Path) -> None:
    root = tmp_path / "pictures"
    root.mkdir()
    labels = Manifest.read(write(tmp_path, f"path,mos\na.png,2\n{tmp_path}/b.png,3\n"), root)
    assert labels.paths == (root / "a.png", tmp_path / "b.png")
    with pytest.raises(ManifestError, match="nowhere: no such folder of images"):
        Manifest.read(labels.source, tmp_path / "nowhere")


def test_missing_files_and_no_picture_is_opened(tmp_path: Path) -> None:
    labels = Manifest.read(write(tmp_path, "path,mos\na.png,2\nb.png,3\n"))
    (tmp_path / "b.png").write_bytes(b"not a picture")
    assert labels.missing_files() == (tmp_path / "a.png",)


def test_pictures_in_archives_and_on_the_web_are_not_missing(tmp_path: Path) -> None:
    write_tar(tmp_path / "s.tar", {"a.png": b""})
    rows = "path,mos\ns.tar/a.png,1\nhttps://h/s.tar/b.png,2\nhttp://h/c.png,3\nlost.tar/a.png,4\nlost.png,5\n"
    labels = Manifest.read(write(tmp_path, rows))
    assert labels.missing_files() == (tmp_path / "lost.tar/a.png", tmp_path / "lost.png")


@pytest.mark.parametrize(
    "text",
    [
        b"\xef\xbb\xbfpath,mos\na.png,2\nb.png,3\n",
        b"path,mos\r\na.png,2\r\nb.png,3\r\n",
        b"Path , MOS\n a.png , 2 \nb.png,3",
        b'"path","mos"\n\n"a.png","2"\n,\n"b.png","3"\n\n',
    ],
    ids=["byte order mark", "windows", "blanks and case", "quotes and empty lines"],
)
def test_tolerated_spellings(text: bytes, tmp_path: Path) -> None:
    labels = Manifest.read(write(tmp_path, text))
    assert (labels.names, labels.mos.tolist()) == (("a.png", "b.png"), [2, 3])


def test_label_files_of_liqe_are_read_as_they_are(tmp_path: Path) -> None:
    labels = Manifest.read(write(tmp_path, "image,type_id,mos\na.png,1,2\nb.png,,3\nc.png,12.0,4\n"))
    assert labels.names == ("a.png", "b.png", "c.png")
    assert labels.distortion == ("gaussian blur", "", "white noise color component")
    both = Manifest.read(write(tmp_path, "image,path,mos,distortion,type_id\nx,a.png,2,dust,1\n"))
    assert (both.names, both.distortion) == (("a.png",), ("dust",))


def test_rows_without_an_opinion_are_read_on_request_alone(tmp_path: Path) -> None:
    path = write(tmp_path, "path,mos,scenes\na.png,,plant\nb.png,3,\n")
    with pytest.raises(ManifestError, match=":2: mos is empty"):
        Manifest.read(path)
    labels = Manifest.read(path, unrated=True)
    assert np.isnan(labels.mos[0]) and labels.mos[1] == 3
    labels.to_csv(tmp_path / "copy.csv")
    assert np.array_equal(Manifest.read(tmp_path / "copy.csv", unrated=True).mos, labels.mos, equal_nan=True)


BAD = {
    "empty": ("", "the file is empty"),
    "blank": ("\n \n\n", "the file is empty"),
    "header only": ("path,mos\n", "a header but no row"),
    "no mos": (
        "path,moss\na,1\n",
        "the column 'mos' is missing; there are 'path', 'moss'; did you mean 'moss'. Rename",
    ),
    "no path": ("file,mos\na,1\n", "'path' .or 'image'. is missing.* did you mean 'file'. Rename it to 'path'"),
    "neither": ("x,y\na,1\n", "the column 'path' .or 'image'. is missing; there are 'x', 'y'$"),
    "dmos": ("path,dmos\na,1\n", "'dmos' rises as quality falls"),
    "no header": ("a.png,3\nb.png,4\n", "the column 'path' .or 'image'. is missing; there are 'a.png', '3'"),
    "column twice": ("path,mos,MOS\na,1,2\n", "the column 'mos' is there twice"),
    "text for mos": ("path,mos\na,1\nb,good\n", r":3: mos must be a number, found 'good'"),
    "decimal comma": ('path,mos\na,"1,5"\n', ":2: mos must be a number, found '1,5'; write the decimals after a point"),
    "underscore": ("path,mos\na,1_0\n", ":2: mos must be a number, found '1_0'"),
    "NaN": ("path,mos\na,1\nb,nan\n", ":3: mos must be a finite number, found 'nan'; remove the row"),
    "infinite": ("path,mos\na,-inf\n", ":2: mos must be a finite number"),
    "empty mos": ("path,mos\na,1\nb,\n", ":3: mos is empty; fill it in or remove the row"),
    "empty path": ("path,mos\na,1\n,2\n", ":3: path is empty"),
    "short row": ("path,mos\na,1\nb\n", ":3: expected 2 fields as in the header, found 1$"),
    "long row": (
        "path,mos\na,1\nb,c,2\n",
        ":3: expected 2 fields .*, found 3; put fields that contain commas in quotes",
    ),
    "duplicate": ("path,mos\na.png,1\nb.png,2\n./a.png,3\n", r":4: ./a.png is there twice, first in line 2; keep one"),
    "after a quoted break": ('path,mos,note\na,1,"x\ny"\nb,z,\n', ":4: mos must be a number"),
    "semicolons": ("path;mos\na;1\n", ":1: fields are separated by semicolons; save the file with commas"),
    "tabs": ("path\tmos\na\t1\n", ":1: fields are separated by tabs"),
    "open quote": ('path,mos\na,1\n"b,2\n', ":3: not valid CSV"),
    "Latin-1": (b"path,mos\na,1\n\xe9t\xe9,2\n", ":3: byte 0xe9 is not UTF-8; save the file as UTF-8"),
    "UTF-16": ("path,mos\na,1\n".encode("utf-16"), "the text is UTF-16"),
    "Excel": (b"PK\x03\x04....", "an Excel workbook"),
    "NUL": ("path,mos\na\0b,1\n", ":2: .*control characters|:2: not valid CSV"),
    "fraction of a fold": ("path,mos,fold\na,1,0.5\n", ":2: fold must be a whole number, found 0.5"),
    "huge fold": ("path,mos,fold\na,1,1e300\n", ":2: fold must be a whole number"),
    "no type of KADID": (
        "path,mos,type_id\na,1,26\n",
        ":2: type_id is KADID-10k's number of .* found 26",
    ),
    "empty fold": ("path,mos,fold\na,1,1\nb,2,\n", ":3: fold is empty"),
    "empty group": ("path,mos,group\na,1,\n", ":2: group is empty"),
    "negative deviation": ("path,mos,mos_std\na,1,-1\n", ":2: mos_std must not be negative"),
    "infinite deviation": ("path,mos,mos_std\na,1,inf\n", ":2: mos_std must be a finite number"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_files_get_one_line(case: str, tmp_path: Path) -> None:
    text, message = BAD[case]
    path = write(tmp_path, text)
    with pytest.raises(ManifestError, match=message) as caught:
        Manifest.read(path)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


def test_files_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="no such label file"):
        Manifest.read(tmp_path / "none.csv")
    with pytest.raises(ManifestError, match="this is a folder"):
        Manifest.read(tmp_path)
    with pytest.raises(ManifestError, match="not a readable Parquet file"):
        Manifest.read(write(tmp_path, b"PAR1 and nothing else"))
    with pytest.raises(ManifestError, match="not a readable Parquet file"):
        Manifest.read(write(tmp_path, "path,mos\n", "labels.parquet"))


def test_slips_of_the_pen_and_constant_scores_warn(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="column 'scene' is ignored; did you mean 'scenes'") as caught:
        Manifest.read(write(tmp_path, "path,mos,scene\na,1,x\nb,2,x\n"))
    assert caught[0].filename == __file__
    with pytest.warns(UserWarning, match="all 2 rows have mos 3; nothing can be fitted or compared") as caught:
        Manifest.read(write(tmp_path, "path,mos\na,3\nb,3\n"))
    assert caught[0].filename == __file__


# Parquet


def test_parquet_equals_csv(tmp_path: Path) -> None:
    columns = {
        "path": ["a.jpg", "sub/b.jpg", "c.jpg"],
        "mos": [38.5, 40.25, -10.0],
        "mos_std": [21.1, None, 0.0],
        "distortion": ["blur", "noise", None],
        "scenes": [["landscape"], ["human", "landscape"], None],
        "split": ["train", "test", "train"],
        "fold": [3.0, 0.0, 3.0],  # how pandas writes whole numbers once it has seen a gap
        "group": ["g1", "g2", "g1"],
        "reference": ["ref/a.png", "ref/b.png", "ref/a.png"],
    }
    path = tmp_path / "labels.parquet"
    pyarrow.parquet.write_table(pyarrow.table(columns), path)
    assert_equal(Manifest.read(path), Manifest.read(write(tmp_path, FULL)))


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"path": ["a", None], "mos": [1.0, 2.0]}, "labels.parquet, row 2: path is empty"),
        ({"path": ["a", "b"], "mos": [1.0, float("nan")]}, "row 2: mos must be a finite number"),
        ({"path": ["a", "b"], "mos": [1.0, None]}, "row 2: mos is empty"),
        ({"path": ["a", "a"], "mos": [1.0, 2.0]}, "row 2: a is there twice, first in row 1"),
        ({"path": ["a"], "mos": [True]}, "row 1: mos must be a number, found 'True'"),
        ({"mos": [1.0]}, "the column 'path' .or 'image'. is missing"),
        ({"path": pyarrow.array([], pyarrow.string()), "mos": pyarrow.array([], pyarrow.float64())}, "no row"),
    ],
)
def test_bad_parquet_names_the_row(columns: dict[str, list[object]], message: str, tmp_path: Path) -> None:
    path = tmp_path / "labels.parquet"
    pyarrow.parquet.write_table(pyarrow.table(columns), path)
    with pytest.raises(ManifestError, match=message):
        Manifest.read(path)


# Selecting


@pytest.fixture
def labels(tmp_path: Path) -> Manifest:
    return Manifest.read(write(tmp_path, FULL))


def test_where(labels: Manifest) -> None:
    assert labels.where(fold=3).names == ("a.jpg", "c.jpg")
    assert labels.where(fold=[0, 3]).names == labels.names
    assert labels.where(split="train", distortion="blur").names == ("a.jpg",)
    assert labels.where(scenes="landscape").names == ("a.jpg", "sub/b.jpg")
    assert labels.where(scenes="human").scenes == (("human", "landscape"),)


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ({"fold": 9}, "no row has fold 9; there are 0, 3"),
        ({"scenes": "night"}, "no row has scenes 'night'; there are human, landscape"),
        ({"folds": 1}, "no column 'folds' to select by; there are mos_std, distortion"),
        ({"fold": 0, "split": "train"}, "no row is selected"),
    ],
)
def test_where_says_what_there_is(labels: Manifest, wanted: dict[str, object], message: str) -> None:
    with pytest.raises(ManifestError, match=message):
        labels.where(**wanted)


def test_subset(labels: Manifest) -> None:
    assert labels.subset([2, 0]).names == ("c.jpg", "a.jpg")
    assert labels.subset([-1]).names == ("c.jpg",)
    masked = labels.subset(labels.mos > 0)
    assert masked.names == ("a.jpg", "sub/b.jpg")
    assert masked.fold is not None and masked.fold.tolist() == [3, 0]
    assert (masked.source, masked.images) == (labels.source, labels.images)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], "no row is selected"),
        ([False] * 3, "no row is selected"),
        ([True] * 2, "a mask of 3 rows"),
        ([3], "row 3 of 3"),
        ([-4], "row -4 of 3"),
        ([0.5], "whole numbers"),
        ([[0]], "whole numbers"),
    ],
)
def test_subset_refuses(labels: Manifest, rows: list[object], message: str) -> None:
    with pytest.raises(ManifestError, match=message):
        labels.subset(rows)


def test_splits(labels: Manifest) -> None:
    found = [(number, train.names, test.names) for number, train, test in labels.splits()]
    assert found == [(0, ("a.jpg", "c.jpg"), ("sub/b.jpg",)), (3, ("sub/b.jpg",), ("a.jpg", "c.jpg"))]
    with pytest.raises(ManifestError, match="a column 'fold' with two values"):
        next(labels.where(fold=0).splits())


def test_frozen(labels: Manifest) -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        labels.mos = np.zeros(3)  # type: ignore[misc]
    for column in (labels.mos, labels.subset([0]).mos):
        with pytest.raises(ValueError, match="read-only"):
            column[0] = 1


# Writing


def assert_equal(one: Manifest, other: Manifest) -> None:
    for field in dataclasses.fields(Manifest):
        if field.name != "source":
            np.testing.assert_equal(getattr(one, field.name), getattr(other, field.name), err_msg=field.name)


def test_to_csv_round_trip(labels: Manifest, tmp_path: Path) -> None:
    labels.to_csv(tmp_path / "copies" / "copy.csv")
    assert_equal(Manifest.read(tmp_path / "copies" / "copy.csv", tmp_path), labels)


names = st.text(st.characters(categories=("L", "N", "P", "S")), min_size=1, max_size=8)


@given(st.dictionaries(names.map(lambda name: f"x{name}.png".replace("/", "_")), st.floats(-1e9, 1e9), min_size=2))
def test_any_names_and_numbers_survive(rows: dict[str, float]) -> None:
    if len(set(rows.values())) == 1:
        return  # warned about, see above
    with tempfile.TemporaryDirectory() as folder:
        manifest = Manifest(Path("x"), Path(folder), tuple(rows), (), np.array(list(rows.values())))
        manifest.to_csv(Path(folder) / "labels.csv")
        again = Manifest.read(Path(folder) / "labels.csv")
    assert again.names == tuple(rows)
    np.testing.assert_array_equal(again.mos, list(rows.values()))


@given(st.binary(max_size=100))
def test_any_bytes_are_refused_in_one_line(raw: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = write(Path(folder), raw)
        with pytest.raises(ManifestError) as caught:
            Manifest.read(path)
    assert "\n" not in str(caught.value)


def test_reading_labels_loads_no_torch() -> None:
    code = "import sys, vlqa.data.manifest; sys.exit('torch' in sys.modules or 'pyarrow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
