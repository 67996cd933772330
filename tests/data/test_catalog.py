from __future__ import annotations

import importlib.util
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.io
from hypothesis import given
from hypothesis import strategies as st

import vlqa
from tests.data import public_sets
from tests.data.public_sets import EXCEL, WRITERS, cells, touch, write_mat_73, write_text, write_workbook
from vlqa.data.catalog import SETS, find, missing_files, read_dataset
from vlqa.data.catalog.matlab import read_mat
from vlqa.data.catalog.workbook import read_workbook
from vlqa.data.manifest import Manifest
from vlqa.errors import ConfigError, ManifestError, MissingExtraError

needs_openpyxl = pytest.mark.skipif(importlib.util.find_spec("openpyxl") is None, reason="openpyxl is not installed")
READABLE = [pytest.param(name, marks=needs_openpyxl if name in EXCEL else ()) for name in SETS]

EXPECTED: dict[str, dict[str, Any]] = {
    "live": {
        "names": ("jp2k/img1.bmp", "jpeg/img233.bmp", "fastfading/img174.bmp"),
        "mos": [102.75, 0, 39.75],
        "mos_std": [5.5] * 3,
        "distortion": ("jpeg2000 compression", "jpeg compression", "fastfading"),
        "reference": ("refimgs/bikes.bmp",) * 3,
        "group": ("bikes",) * 3,
    },
    "csiq": {
        "names": (
            "dst_imgs/awgn/1600.AWGN.1.png", "dst_imgs/jpeg2000/foxy.jpeg2000.5.png",
            "dst_imgs/contrast/foxy.contrast.4.png",
        ),
        "mos": [0.938, 0, 0.75],
        "mos_std": [0.06, 0.1, 0.1],
        "distortion": ("white noise", "jpeg2000 compression", "contrast"),
        "reference": ("src_imgs/1600.png", "src_imgs/foxy.png", "src_imgs/foxy.png"),
        "group": ("1600", "foxy", "foxy"),
    },
    "tid2013": {
        "names": ("distorted_images/i01_01_1.bmp", "distorted_images/I25_24_5.BMP"),
        "mos": [5.51429, 0.24242],
        "mos_std": [0.13013, 0.2],
        "distortion": ("white noise", "sparse sampling and reconstruction"),
        "reference": ("reference_images/I01.BMP", "reference_images/i25.bmp"),
        "group": ("I01", "I25"),
    },
    "kadid10k": {
        "names": ("I01_01_01.png", "I81_25_05.png"),
        "mos": [4.57, 1.2],
        "mos_std": [0.496, 0.4],
        "distortion": ("gaussian blur", "contrast change"),
        "reference": ("I01.png", "I81.png"),
        "group": ("I01", "I81"),
    },
    "pipal": {
        "names": ("Distortion_1/A0001_00_00.bmp", "Distortion_1/A0001_06_12.bmp", "Distortion_4/A0249_03_23.bmp"),
        "mos": [1517.5, 1300, 1599.25],
        "reference": ("Train_Ref/A0001.bmp", "Train_Ref/A0001.bmp", "Train_Ref/A0249.bmp"),
        "group": ("A0001", "A0001", "A0249"),
    },
    "bid": {
        "names": ("ImageDatabase/DatabaseImage0001.JPG", "ImageDatabase/DatabaseImage0590.JPG"),
        "mos": [4.51664, 2],
        "mos_std": [0.534734, 0.84],
    },
    "clive": {"names": ("Images/3.bmp", "Images/1024.JPG"), "mos": [63.96, 12.5], "mos_std": [15.99, 3.125]},
    "koniq10k": {
        "names": ("1024x768/10004473376.jpg", "1024x768/826373.jpg"),
        "mos": [3.828571429, 1.5],
        "mos_std": [0.527277894, 0.5],
        "split": ("train", "val"),
    },
    "koniq10k-512": {
        "names": ("512x384/10004473376.jpg", "512x384/826373.jpg"),
        "mos": [3.828571429, 1.5],
        "mos_std": [0.527277894, 0.5],
        "split": ("train", "val"),
    },
    "spaq": {
        "names": ("TestImage/00001.jpg", "TestImage/00002.jpg"),
        "mos": [53, 27.5],
        "scenes": (("still_life",), ("cityscape", "night")),
    },
    "flive": {
        "names": (
            "database/voc_emotic_ava/AVA__1.jpg", "database/blur_dataset/motion0091.jpg", "database/EE371R/rq59.jpg",
        ),
        "mos": [72.8, 0, 65],
        "split": ("train", "val", "test"),
    },
    "agiqa1k": {"names": ("file/deepai_0_0_0_0.jpg", "file/dreamStudio_1_6_1_1.jpg"), "mos": [2.7, 3]},
    "agiqa3k": {
        "names": ("images/AttnGAN_normal_000.jpg", "images/sdxl_060.jpg"),
        "mos": [0.965602553, 3.5],
        "mos_std": [0.223270101, 0.7],
    },
    "cgiqa6k": {"names": ("database/game_1.png", "database/film_2.png"), "mos": [3.25, 1.5]},
    "uhd-iqa": {
        "names": ("training/1.jpg", "validation/2.jpg", "test/3.jpg"),
        "mos": [0.61, 0.4, 0.75],
        "split": ("train", "val", "test"),
    },
}  # fmt: skip
TWICE = "I01_01_01.png,I01.png,4,1\nI01_01_01.png,I01.png,3,1\n"
CSIQ_HEADER = ["image", "dst_type", "dst_lev", "dmos", "dmos_std"]
BID_HEADER = ["Image Number", "Average Subjective Grade"]
COLUMNS = ("names", "mos", "mos_std", "distortion", "scenes", "split", "fold", "group", "reference")


@pytest.mark.parametrize("name", READABLE)
def test_every_set_is_read_from_its_own_layout(name: str, tmp_path: Path) -> None:
    root = tmp_path / "any name"
    WRITERS[name](root)
    labels = read_dataset(name, root)
    for column in COLUMNS:
        found = getattr(labels, column)
        if isinstance(found, np.ndarray):
            np.testing.assert_allclose(found, EXPECTED[name][column], atol=1e-12, err_msg=column)
        else:
            assert found == EXPECTED[name].get(column), column
    low, high = SETS[name].scale
    assert labels.mos.min() >= low and labels.mos.max() <= high
    assert missing_files(labels) == []
    assert labels.source.exists()


@pytest.mark.parametrize("name", READABLE)
def test_the_folder_above_will_do_and_one_inside_is_told_of(name: str, tmp_path: Path) -> None:
    folder = SETS[name].folders[0].upper()
    WRITERS[name](tmp_path / "data" / folder)
    labels = read_dataset(name, tmp_path / "data")
    assert labels.names == EXPECTED[name]["names"] and missing_files(labels) == []
    inside = labels.paths[0].parent
    with pytest.raises(ManifestError, match="this is a part of") as caught:
        read_dataset(name, inside)
    assert str(caught.value).endswith(f"give the whole folder, {tmp_path / 'data' / folder}")


@pytest.mark.parametrize("name", READABLE)
def test_labels_written_as_csv_are_read_again(name: str, tmp_path: Path) -> None:
    WRITERS[name](tmp_path / "set")
    labels = read_dataset(name, tmp_path / "set")
    labels.to_csv(tmp_path / "labels.csv")
    again = Manifest.read(tmp_path / "labels.csv", labels.images)
    for column in (*COLUMNS, "paths"):
        np.testing.assert_equal(getattr(again, column), getattr(labels, column), err_msg=column)


@pytest.mark.parametrize("name", READABLE)
def test_missing_pictures_and_references_are_named(name: str, tmp_path: Path) -> None:
    WRITERS[name](tmp_path)
    whole = read_dataset(name, tmp_path)
    for path in whole.paths[1:]:
        path.unlink()
    assert _folded(missing_files(read_dataset(name, tmp_path))) == _folded(whole.paths[1:])
    whole.paths[0].unlink()
    references = [] if whole.reference is None else [whole.images / each for each in dict.fromkeys(whole.reference)]
    for path in references:
        path.unlink()
    assert _folded(missing_files(read_dataset(name, tmp_path))) == _folded((*whole.paths, *references))


def _folded(paths: Iterable[Path]) -> list[str]:
    """Without regard to case: a picture that is gone is named as the labels spell it, no more as the disk does."""
    return [str(path).casefold() for path in paths]


@pytest.mark.parametrize("name", SETS)
def test_without_labels_the_message_says_what_was_looked_for(name: str, tmp_path: Path) -> None:
    row = SETS[name]
    with pytest.raises(ManifestError, match="no label file of") as caught:
        read_dataset(name, tmp_path)
    message = str(caught.value)
    assert message.startswith(str(tmp_path)) and "\n" not in message
    assert all(each in message for each in (row.title, row.home, *row.labels, *row.folders))
    with pytest.raises(ManifestError, match="no such folder"):
        read_dataset(name, tmp_path / "nowhere")
    archive = tmp_path / "set.zip"
    archive.touch()
    with pytest.raises(ManifestError, match="this is a file; unpack it"):
        read_dataset(name, archive)


def test_the_table_holds_what_a_person_chooses_by() -> None:
    assert set(WRITERS) == set(SETS) == set(EXPECTED)
    for name, row in SETS.items():
        assert name == name.lower() and row.scale[0] < row.scale[1] and row.count > 0
        assert row.home.startswith("http") and row.citation and row.licence and row.labels and row.what
        assert all(folder == folder.casefold() for folder in row.folders)
        assert row.split == ("split" in EXPECTED[name])


def test_names_are_found_in_any_spelling() -> None:
    assert find("KADID-10k") is SETS["kadid10k"]
    assert find("uhd_iqa") is SETS["uhd-iqa"]
    with pytest.raises(ConfigError, match=r"'koniq' is no set of the catalogue; did you mean 'koniq10k'.; there are"):
        find("koniq")


def test_one_name_is_public() -> None:
    assert vlqa.read_dataset is read_dataset


# Variants of the layouts


def test_koniq_from_the_table_with_sets_alone_is_on_1_to_5(tmp_path: Path) -> None:
    public_sets.write_koniq10k(tmp_path)
    both = read_dataset("koniq10k", tmp_path)
    (tmp_path / "koniq10k_scores_and_distributions.csv").unlink()
    alone = read_dataset("koniq10k", tmp_path)
    assert alone.names == both.names[::-1] and alone.split == ("val", "train")
    np.testing.assert_allclose(alone.mos, both.mos[::-1], atol=1e-9)


def test_koniq_without_sets_has_no_split_and_with_holes_in_them_is_refused(tmp_path: Path) -> None:
    public_sets.write_koniq10k(tmp_path)
    sets = tmp_path / "koniq10k_distributions_sets.csv"
    write_text(sets, "image_name,set", f"{public_sets.KONIQ[0]},test")
    with pytest.raises(ManifestError, match=r"826373.jpg is missing; download the file again"):
        read_dataset("koniq10k", tmp_path)
    sets.unlink()
    assert read_dataset("koniq10k", tmp_path).split is None


def test_koniq_unpacked_from_its_archives(tmp_path: Path) -> None:
    public_sets.write_koniq10k(tmp_path)
    for name in ("koniq10k_scores_and_distributions", "koniq10k_1024x768"):
        (tmp_path / name).mkdir()
    scores = tmp_path / "koniq10k_scores_and_distributions.csv"
    scores.rename(tmp_path / "koniq10k_scores_and_distributions" / scores.name)
    (tmp_path / "1024x768").rename(tmp_path / "koniq10k_1024x768" / "1024x768")
    labels = read_dataset("koniq10k", tmp_path)
    assert labels.names[0] == "koniq10k_1024x768/1024x768/10004473376.jpg" and missing_files(labels) == []


def test_live_before_realignment_is_read_with_a_warning(tmp_path: Path) -> None:
    public_sets.write_live(tmp_path)
    arrays = scipy.io.loadmat(tmp_path / "dmos_realigned.mat")
    scipy.io.savemat(tmp_path / "dmos.mat", {"dmos": arrays["dmos_new"] + 3, "orgs": arrays["orgs"]})
    assert read_dataset("live", tmp_path).mos_std is not None  # the realigned scores have precedence
    (tmp_path / "dmos_realigned.mat").unlink()
    with pytest.warns(UserWarning, match=r"dmos.mat: scores before realignment; the usual ones"):
        labels = read_dataset("live", tmp_path)
    assert labels.mos.tolist() == [102.75, 0, 39.75] and labels.mos_std is None


@needs_openpyxl
def test_bid_with_pictures_beside_the_workbook(tmp_path: Path) -> None:
    public_sets.write_bid(tmp_path)
    for picture in (tmp_path / "ImageDatabase").iterdir():
        picture.rename(tmp_path / picture.name)
    (tmp_path / "ImageDatabase").rmdir()
    assert read_dataset("bid", tmp_path).names == ("DatabaseImage0001.JPG", "DatabaseImage0590.JPG")


@needs_openpyxl
def test_spaq_without_scenes_and_with_other_file_names(tmp_path: Path) -> None:
    public_sets.write_spaq(tmp_path)
    (tmp_path / "Annotations" / "Scene category labels.xlsx").unlink()
    scores = tmp_path / "Annotations" / "MOS and Image attribute scores.xlsx"
    scores.rename(tmp_path / "MOS_and_Image_attribute_scores.xlsx")
    labels = read_dataset("spaq", tmp_path)
    assert labels.scenes is None and labels.mos.tolist() == [53, 27.5]


def test_the_challenge_part_of_uhd_iqa(tmp_path: Path) -> None:
    write_text(tmp_path / "uhd-iqa-training-metadata.csv", "image_name,quality_mos", "1.jpg,0.5", "2.jpg,0.25")
    touch(tmp_path, ["challenge/training/1.jpg", "challenge/training/2.jpg"])
    labels = read_dataset("uhd-iqa", tmp_path)
    assert labels.names == ("challenge/training/1.jpg", "challenge/training/2.jpg")
    assert labels.split == ("train", "train")


def test_flive_with_labels_among_the_pictures_and_without_the_split(tmp_path: Path) -> None:
    public_sets.write_flive(tmp_path)
    (tmp_path / "labels_image.csv").rename(tmp_path / "database" / "labels_image.csv")
    (tmp_path / "labels640.csv").unlink()
    labels = read_dataset("flive", tmp_path)
    assert labels.names == EXPECTED["flive"]["names"] and labels.split is None


def test_a_missing_picture_of_pipal_is_missing_where_it_belongs(tmp_path: Path) -> None:
    names = {"A0001": "Distortion_1", "A0059": "Distortion_1", "A0060": "Distortion_2", "A0121": "Distortion_3"}
    for reference in (*names, "A0185"):
        write_text(tmp_path / "Train_Label" / f"{reference}.txt", f"{reference}_00_00.bmp,{1500 + int(reference[1:])}")
    labels = read_dataset("pipal", tmp_path)
    assert [name.split("/")[0] for name in labels.names] == [*names.values(), "Distortion_4"]


# Hostile input


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
    file = read_dataset(name, tmp_path).source
    header, *rows = file.read_text().splitlines()
    write_text(file, f"Note,{header.upper()}", *(f"x,{row}" for row in rows))
    assert read_dataset(name, tmp_path).names == EXPECTED[name]["names"]


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


def test_the_catalogue_loads_no_torch_and_none_of_its_readers() -> None:
    heavy = ("torch", "scipy", "openpyxl", "h5py", "cv2", "pyarrow")
    code = f"import sys, vlqa.data.catalog; sys.exit(any(name in sys.modules for name in {heavy}))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
