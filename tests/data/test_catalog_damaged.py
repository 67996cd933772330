"""What the readers of public sets say to label files that are damaged, incomplete or of another kind."""

from __future__ import annotations

import importlib.util
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
import scipy.io
from hypothesis import given
from hypothesis import strategies as st

from tests.data import public_sets
from tests.data.public_sets import WRITERS, cells, write_mat_73, write_text, write_workbook
from vlqa.data.catalog import SETS, missing_files, read_dataset
from vlqa.data.catalog.matlab import read_mat
from vlqa.data.catalog.workbook import read_workbook
from vlqa.errors import ManifestError, MissingExtraError

needs_openpyxl = pytest.mark.skipif(importlib.util.find_spec("openpyxl") is None, reason="openpyxl is not installed")
TWICE = "I01_01_01.png,I01.png,4,1\nI01_01_01.png,I01.png,3,1\n"
BID_HEADER = ["Image Number", "Average Subjective Grade"]
CSIQ_HEADER = ["image", "dst_type", "dst_lev", "dmos", "dmos_std"]


@pytest.mark.parametrize(
    ("name", "file", "text", "message"),
    [
        ("kadid10k", "dmos.csv", "dist_img,ref_img,dmos\nI01_01_01.png,I01.png,4\n", "the column 'var' is missing"),
        ("kadid10k", "dmos.csv", "dist_img,ref_img,dmos,var\nI01_26_01.png,I01.png,4,1\n", ":2: expected a name"),
        ("kadid10k", "dmos.csv", "dist_img,ref_img,dmos,var\nI01_01_01.png,I01.png,,1\n", ":2: mos is empty"),
        ("kadid10k", "dmos.csv", f"dist_img,ref_img,dmos,var\n{TWICE}", ":3: I01_01_01.png is there twice"),
        ("kadid10k", "dmos.csv", "dist_img,ref_img,dmos,var\n", "a header but no row"),
        ("kadid10k", "dmos.csv", "", "the file is empty"),
        ("tid2013", "mos_with_names.txt", "5.5\n", ":1: expected a score and a name, found 1 fields"),
        ("tid2013", "mos_with_names.txt", "5.5 i01_25_1.bmp\n", ":1: expected a name such as I01_24_5.bmp"),
        ("tid2013", "mos_with_names.txt", "x i01_01_1.bmp\n1 i01_01_2.bmp\n", ":1: mos must be a number, found 'x'"),
        ("tid2013", "mos_with_names.txt", "\n\n", "the file is empty"),
        ("tid2013", "mos_std.txt", "0.1\n", "mos_std.txt: expected 2 lines as in mos_with_names.txt, found 1"),
        ("pipal", "Train_Label/A0249.txt", "A0249_00_00.bmp;1500\n", "A0249.txt:1: expected a name and a score"),
        ("pipal", "Train_Label/A0249.txt", "A0249_00_00.bmp,high\n", "A0249.txt:1: a score must be a number"),
        ("koniq10k", "koniq10k_scores_and_distributions.csv", "image_name,MOS\na.jpg,77\n", "the column 'c1'"),
        (
            "koniq10k", "koniq10k_scores_and_distributions.csv",
            "image_name,MOS,c1,c2,c3,c4,c5\n826373.jpg,77,0,0,0,0,0\n", "mos must be a finite number",
        ),
        ("flive", "labels_image.csv", "name;mos\na.jpg;1\n", "fields are separated by semicolons"),
        ("agiqa3k", "data.csv", "name,mos\na.jpg,1\n", "'mos_quality' is missing; there are 'name', 'mos'"),
        ("cgiqa6k", "mos.csv", "Image,MOS\na.png,inf\n", "mos must be a finite number"),
        ("uhd-iqa", "uhd-iqa-metadata.csv", "image_name,quality_mos,set\n1.jpg,,test\n", ":2: mos is empty"),
    ],
)  # fmt: skip
def test_bad_tables_get_one_line(name: str, file: str, text: str, message: str, tmp_path: Path) -> None:
    WRITERS[name](tmp_path)
    (tmp_path / file).write_text(text, encoding="utf-8")
    with pytest.raises(ManifestError, match=message) as caught:
        read_dataset(name, tmp_path)
    assert str(caught.value).startswith(str(tmp_path)) and "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["kadid10k", "cgiqa6k", "flive", "agiqa3k", "uhd-iqa"])
def test_more_columns_and_other_spellings_do_not_matter(name: str, tmp_path: Path) -> None:
    WRITERS[name](tmp_path)
    labels = read_dataset(name, tmp_path)
    header, *rows = labels.source.read_text().splitlines()
    write_text(labels.source, f"Note,{header.upper()}", *(f"x,{row}" for row in rows))
    assert read_dataset(name, tmp_path).names == labels.names


def test_arrays_that_do_not_fit_each_other(tmp_path: Path) -> None:
    public_sets.write_live(tmp_path / "live")
    public_sets.write_clive(tmp_path / "clive")
    scipy.io.savemat(tmp_path / "live" / "refnames_all.mat", {"refnames_all": cells(["bikes.bmp"])})
    with pytest.raises(
        ManifestError, match=r"expected as many entries of each, found 982 of pictures, .*1 of refnames_all"
    ):
        read_dataset("live", tmp_path / "live")
    scipy.io.savemat(tmp_path / "clive" / "Data" / "AllMOS_release.mat", {"AllMOS_release": np.ones((1, 3))})
    with pytest.raises(ManifestError, match="found 9 of AllImages_release, 3 of AllMOS_release"):
        read_dataset("clive", tmp_path / "clive")
    (tmp_path / "clive" / "Data" / "AllImages_release.mat").unlink()
    with pytest.raises(ManifestError, match=r"no Data/AllImages_release.mat; it comes with the set, from https"):
        read_dataset("clive", tmp_path / "clive")
    scipy.io.savemat(tmp_path / "live" / "dmos_realigned.mat", {"dmos_new": np.ones(3), "orgs": np.ones(3)})
    with pytest.raises(
        ManifestError, match="the variable 'dmos_std' is missing; there are 'dmos_new', 'orgs'; download"
    ):
        read_dataset("live", tmp_path / "live")


def test_references_alone_are_no_rows(tmp_path: Path) -> None:
    public_sets.write_live(tmp_path)
    arrays = public_sets.live_arrays({})
    del arrays["refnames_all"]
    scipy.io.savemat(tmp_path / "dmos_realigned.mat", arrays)
    with pytest.raises(ManifestError, match="no row is a rated picture; download"):
        read_dataset("live", tmp_path)


@pytest.mark.parametrize("hdf5", [False, True], ids=["version 5", "version 7.3"])
def test_mat_files_of_both_kinds(hdf5: bool, tmp_path: Path) -> None:
    file = tmp_path / "x.mat"
    numbers, words = np.array([[1, 2.5], [-3, 0]]), ["10.bmp", "t1.bmp"]
    if hdf5:
        write_mat_73(file, {"numbers": numbers, "words": words})
    else:
        scipy.io.savemat(file, {"numbers": numbers, "words": cells(words, column=True)})
    assert read_mat(file, "words", "numbers") == {"words": words, "numbers": ["1.0", "-3.0", "2.5", "0.0"]}
    with pytest.raises(ManifestError, match=r"x.mat: the variable 'other' is missing; there are 'numbers', 'words'"):
        read_mat(file, "other")
    whole = file.read_bytes()
    for cut in (0, 10, 130, len(whole) // 2):
        file.write_bytes(whole[:cut])
        with pytest.raises(ManifestError, match=r"x.mat: (not a readable MATLAB file|the variable)"):
            read_mat(file, "words", "numbers")


@needs_openpyxl
def test_workbooks(tmp_path: Path) -> None:
    file = tmp_path / "x.xlsx"
    sheets = {"notes": [["written in 2010"]], "a": [["Image", "Extra", "MOS"], ["1", None, 2], [None, "sum", None]]}
    write_workbook(file, sheets | {"b": [["mos", "image"], [3.5, 1600.0]]})
    first, preferred = read_workbook(file, ("image", "mos")), read_workbook(file, ("image", "mos"), sheet="b")
    assert (first.columns, first.rows) == (("Image", "Extra", "MOS"), ((2, ("1", "", "2")),))
    assert preferred.rows == ((2, ("3.5", "1600")),)
    with pytest.raises(
        ManifestError, match=r"no sheet has the columns 'image', 'dmos'; it starts with 'written in 2010'"
    ):
        read_workbook(file, ("image", "dmos"))
    whole = file.read_bytes()
    for damaged in (b"", b"PK\x03\x04", whole[: len(whole) // 2], b"a,b\n1,2\n"):
        file.write_bytes(damaged)
        with pytest.raises(ManifestError, match=r"x.xlsx: not a readable Excel workbook .*; download it again"):
            read_workbook(file, ("image", "dmos"))


@needs_openpyxl
@pytest.mark.parametrize(
    ("name", "rows", "message"),
    [
        ("csiq", [CSIQ_HEADER, ["a", "snow", 1, 0, 0]], "row 2: dst_type must be one of noise, blur"),
        ("csiq", [CSIQ_HEADER, ["a", "blur", 1, "x", 0]], "row 2: dmos must be a number, found 'x'"),
        ("csiq", [CSIQ_HEADER[:4], ["a", "blur", 1, 0]], "the column 'dmos_std' is missing"),
        ("bid", [BID_HEADER, ["one", 2]], "row 2: Image Number must be a whole number"),
        ("bid", [BID_HEADER, [1, None], [2, 3]], "row 2: mos is empty"),
        ("agiqa1k", [["picture", "MOS"], ["a.png", 2]], "no sheet has the columns 'Image', 'MOS'"),
    ],
)  # fmt: skip
def test_bad_workbooks_get_one_line(name: str, rows: list[list[object]], message: str, tmp_path: Path) -> None:
    write_workbook(tmp_path / SETS[name].labels[0], {"Sheet1": rows})
    with pytest.raises(ManifestError, match=message) as caught:
        read_dataset(name, tmp_path)
    assert "\n" not in str(caught.value)


@given(
    st.binary(max_size=700),
    st.sampled_from([b"", b"MATLAB 5.0 MAT-file".ljust(124) + b"\x00\x01IM", b"\x89HDF\r\n\x1a\n"]),
)
def test_any_bytes_are_refused_in_one_line(raw: bytes, start: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "x.mat"
        file.write_bytes(start + raw)
        with pytest.raises(ManifestError) as caught:
            read_mat(file, "dmos")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("name", "package"), [("bid", "openpyxl"), ("clive", "h5py")])
def test_a_missing_extra_names_the_pip_command(
    name: str, package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    WRITERS[name](tmp_path)
    if package == "h5py":
        write_mat_73(tmp_path / "Data" / "AllImages_release.mat", {"AllImages_release": ["1.bmp"]})
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingExtraError, match=rf"this needs {package}, .* pip install 'vlqa\[datasets\]'"):
        read_dataset(name, tmp_path)


def test_an_unreadable_folder_is_missing_and_no_crash(tmp_path: Path) -> None:
    public_sets.write_kadid10k(tmp_path)
    (tmp_path / "images").rename(tmp_path / "pictures")
    (tmp_path / "images").touch()  # a file where the folder belongs
    labels = read_dataset("kadid10k", tmp_path)
    assert len(missing_files(labels)) == 4
