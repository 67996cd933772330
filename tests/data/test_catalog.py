from __future__ import annotations

import importlib.util
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.io

import vlqa
from tests.data import public_sets
from tests.data.public_sets import EXCEL, WRITERS, touch, write_text
from vlqa.data.catalog import SETS, find, missing_files, read_dataset
from vlqa.data.manifest import Manifest
from vlqa.errors import ConfigError, ManifestError

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


def test_the_catalogue_loads_no_torch_and_none_of_its_readers() -> None:
    heavy = ("torch", "scipy", "openpyxl", "h5py", "cv2", "pyarrow")
    code = f"import sys, vlqa.data.catalog; sys.exit(any(name in sys.modules for name in {heavy}))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
