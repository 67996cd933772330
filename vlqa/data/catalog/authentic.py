"""Readers of sets of photographs as people took them: no references.

A reader takes the set's folder and gives its rows in the columns of a label file.
"""

from __future__ import annotations

import math
import re
from pathlib import Path

from vlqa.data.catalog.columns import SPLITS, column, from_columns, has_column, numbers, only, relabelled
from vlqa.data.catalog.folder import Folder
from vlqa.data.catalog.matlab import read_mat
from vlqa.data.catalog.workbook import read_workbook
from vlqa.data.table import Table, read_table
from vlqa.errors import ManifestError

KONIQ_SCORES = (
    "koniq10k_scores_and_distributions.csv",
    "koniq10k_scores_and_distributions/koniq10k_scores_and_distributions.csv",
)
KONIQ_SETS = ("koniq10k_distributions_sets.csv", "metadata/koniq10k_distributions_sets.csv")
SPAQ_SCORES = ("MOS and Image attribute scores.xlsx", "MOS_and_Image_attribute_scores.xlsx")
_SPAQ_SCENES = ("Scene category labels.xlsx", "Scene_category_labels.xlsx")
_SPAQ_SCENE_NAMES = {  # as LIQE and vlqa's prompts call them
    "Animal": "animal", "Cityscape": "cityscape", "Human": "human", "Indoor scene": "indoor", "Landscape": "landscape",
    "Night scene": "night", "Plant": "plant", "Still-life": "still_life", "Others": "others",
}  # fmt: skip
_FLIVE_SETS = (
    ("labels>640.csv", "labels640.csv"),  # as the authors name them, and as copies on Windows are named
    ("labels<=640_padded.csv", "labels=640_padded.csv"),
)
_TRAINING_PICTURE = re.compile(r"t\d+\.\w+")  # t1.bmp to t7.bmp, in Images/trainingImages


def bid(folder: Folder) -> Table:
    """BID: a workbook of picture numbers and grades."""
    wanted = ("Image Number", "Average Subjective Grade")
    table = read_workbook(folder.file("DatabaseGrades.xlsx"), wanted)
    names = []
    for (line, _), number in zip(table.rows, column(table, "Image Number"), strict=True):
        if not number.isdecimal():
            raise table.error(line, f"Image Number must be a whole number, found {number!r}; download the file again")
        names.append(f"DatabaseImage{int(number):04d}.JPG")
    return relabelled(
        table,
        path=folder.within(("ImageDatabase", ""), names),
        mos=column(table, "Average Subjective Grade"),
        mos_std=column(table, "std") if has_column(table, "std") else None,
    )


def live_challenge(folder: Folder) -> Table:
    """LIVE In the Wild: three .mat files in one order, of which the 7 pictures that trained the raters are left out."""
    file = folder.file("Data/AllMOS_release.mat")
    names = read_mat(folder.file("Data/AllImages_release.mat"), "AllImages_release")
    deviations = folder.find("Data/AllStdDev_release.mat")
    spread = {} if deviations is None else read_mat(deviations, "AllStdDev_release")
    everything = from_columns(file, **names, **read_mat(file, "AllMOS_release"), **spread)
    rated = [not _TRAINING_PICTURE.fullmatch(name) for name in column(everything, "AllImages_release")]
    table = only(everything, rated)
    return relabelled(
        table,
        path=[f"Images/{name}" for name in column(table, "AllImages_release")],
        mos=column(table, "AllMOS_release"),
        mos_std=column(table, "AllStdDev_release") if spread else None,
    )


def koniq10k(folder: Folder) -> Table:
    """KonIQ-10k at 1024×768, the size that people judged."""
    return _koniq(folder, "1024x768")


def koniq10k_512(folder: Folder) -> Table:
    """KonIQ-10k reduced to 512×384, with the opinions of the large pictures."""
    return _koniq(folder, "512x384")


def _koniq(folder: Folder, size: str) -> Table:
    table = read_table(folder.file(*KONIQ_SCORES, *KONIQ_SETS))
    names = column(table, "image_name")
    mos = numbers(table, "MOS")
    if max(mos, default=0) > 5:  # koniq10k_distributions_sets.csv has MOS on 0–100, shares of the votes 1–5 beside it
        votes = [numbers(table, f"c{vote}") for vote in range(1, 6)]
        mos = [_mean_vote(shares) for shares in zip(*votes, strict=True)]
    sets = folder.find(*KONIQ_SETS)
    return relabelled(
        table,
        path=folder.within((size, f"koniq10k_{size}/{size}", f"koniq10k_{size}"), names),
        mos=mos,
        mos_std=column(table, "SD") if has_column(table, "SD") else None,
        split=None if sets is None else _koniq_split(sets, names),
    )


def _mean_vote(shares: tuple[float, ...]) -> float:
    total = sum(shares)
    return sum(vote * share for vote, share in enumerate(shares, start=1)) / total if total else math.nan


def _koniq_split(sets: Path, names: list[str]) -> list[str]:
    table = read_table(sets)
    split = dict(zip(column(table, "image_name"), column(table, "set"), strict=True))
    unknown = next((name for name in names if name not in split), None)
    if unknown is not None:
        raise ManifestError(f"{sets}: {unknown} is missing; download the file again, or remove it to read no split")
    return [SPLITS.get(split[name], split[name]) for name in names]


def spaq(folder: Folder) -> Table:
    """SPAQ: scores in one workbook, shares of the scenes in another."""
    places = ("Annotations/", "")
    table = read_workbook(
        folder.file(*(place + name for place in places for name in SPAQ_SCORES)), ("Image name", "MOS")
    )
    names = column(table, "Image name")
    scenes = folder.find(*(place + name for place in places for name in _SPAQ_SCENES))
    return relabelled(
        table,
        path=folder.within(("TestImage", "SPAQ/TestImage"), names),
        mos=column(table, "MOS"),
        scenes=None if scenes is None else _spaq_scenes(scenes, names),
    )


def _spaq_scenes(file: Path, names: list[str]) -> list[str]:
    table = read_workbook(file, ("Image name", *_SPAQ_SCENE_NAMES))
    shares = [numbers(table, column_name) for column_name in _SPAQ_SCENE_NAMES]
    scenes = {
        name: "|".join(scene for scene, share in zip(_SPAQ_SCENE_NAMES.values(), row, strict=True) if share > 0)
        for name, *row in zip(column(table, "Image name"), *shares, strict=True)
    }
    return [scenes.get(name, "") for name in names]


def flive(folder: Folder) -> Table:
    """FLIVE (PaQ-2-PiQ): whole pictures; the split where the authors' two further label files are there."""
    table = read_table(folder.file("labels_image.csv", "database/labels_image.csv"))
    names = column(table, "name")
    large, small = (
        folder.find(*(place + file for place in ("", "database/") for file in files)) for files in _FLIVE_SETS
    )
    return relabelled(
        table,
        path=folder.within(("database", "", "images"), names),
        mos=column(table, "mos"),
        split=_flive_split(large, small, names) if large and small else None,
    )


def _flive_split(large: Path, small: Path, names: list[str]) -> list[str]:
    """Pictures above 640 px are the test part; of the others a column says which validate."""
    test = set(column(read_table(large), "name_image"))
    rest = read_table(small)
    flags = zip(column(rest, "name_image"), column(rest, "is_valid"), strict=True)
    validation = {name for name, flag in flags if flag.casefold() in ("true", "1")}
    return ["test" if name in test else "val" if name in validation else "train" for name in names]


def uhd_iqa(folder: Folder) -> Table:
    """UHD-IQA: one table, pictures in a folder for each part. The challenge's table has the training part alone."""
    table = read_table(folder.file("uhd-iqa-metadata.csv", "uhd-iqa-training-metadata.csv"))
    names = column(table, "image_name")
    parts = column(table, "set") if has_column(table, "set") else ["training"] * len(names)
    return relabelled(
        table,
        path=folder.within(
            ("", "challenge", "images"), [f"{part}/{name}" for part, name in zip(parts, names, strict=True)]
        ),
        mos=column(table, "quality_mos"),
        split=[SPLITS.get(part, part) for part in parts],
    )
