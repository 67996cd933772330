"""Readers of sets with damage made on purpose: every picture has a reference and a named distortion.

A reader takes the set's folder and gives its rows in the columns of a label file; `group` is the reference, whose
versions must not be divided between folds.
"""

from __future__ import annotations

import bisect
import re
import warnings
from pathlib import PurePosixPath

from vlqa.data.catalog.columns import column, from_columns, numbers, only, read_fields, relabelled
from vlqa.data.catalog.folder import Folder
from vlqa.data.catalog.matlab import read_mat
from vlqa.data.catalog.workbook import read_workbook
from vlqa.data.table import Table, read_table
from vlqa.errors import ManifestError

# LIVE's readme: the order and sizes of the parts in all its arrays, references in between included
_LIVE_PARTS = (
    ("jp2k", 227, "jpeg2000 compression"),
    ("jpeg", 233, "jpeg compression"),
    ("wn", 174, "white noise"),
    ("gblur", 174, "gaussian blur"),
    ("fastfading", 174, "fastfading"),
)
_CSIQ_TYPES = {  # the workbook's word: folder, word in the file name, distortion
    "noise": ("awgn", "AWGN", "white noise"),
    "blur": ("blur", "BLUR", "gaussian blur"),
    "contrast": ("contrast", "contrast", "contrast"),
    "fnoise": ("fnoise", "fnoise", "fnoise"),
    "jpeg": ("jpeg", "JPEG", "jpeg compression"),
    "jpeg 2000": ("jpeg2000", "jpeg2000", "jpeg2000 compression"),
}
_TID_TYPES = (  # by number from 1; KADID-10k's names where both have the same damage
    "white noise", "white noise color component", "spatially correlated noise", "masked noise", "high frequency noise",
    "impulse noise", "quantization noise", "gaussian blur", "denoise", "jpeg", "jpeg2000", "jpeg transmission errors",
    "jpeg2000 transmission errors", "non-eccentricity pattern noise", "local block-wise distortions", "mean shift",
    "contrast change", "color saturation", "multiplicative noise", "comfort noise", "compression of noisy images",
    "color quantization with dither", "chromatic aberrations", "sparse sampling and reconstruction",
)  # fmt: skip
_TID_NAME = re.compile(r"[iI](\d\d)_(\d\d)_\d\.bmp", re.IGNORECASE)
_KADID_NAME = re.compile(r"I(\d\d)_(\d\d)_\d\d\.png", re.IGNORECASE)
_PIPAL_STARTS = (1, 60, 121, 185)  # the first reference in Distortion_1 to Distortion_4


def live(folder: Folder) -> Table:
    """LIVE release 2: arrays over five subfolders, 779 of whose 982 entries are damaged pictures."""
    file = folder.file("dmos_realigned.mat", "dmos.mat")
    realigned = file.name.casefold() == "dmos_realigned.mat"
    name = "dmos_new" if realigned else "dmos"
    values = read_mat(file, name, "orgs", *(["dmos_std"] if realigned else []))
    if not realigned:
        warnings.warn(
            f"{file}: scores before realignment; the usual ones are in dmos_realigned.mat, from {folder.home}",
            UserWarning,
            stacklevel=3,
        )
    pictures = [(f"{part}/img{k}.bmp", kind) for part, size, kind in _LIVE_PARTS for k in range(1, size + 1)]
    paths, kinds = zip(*pictures, strict=True)
    references = read_mat(folder.file("refnames_all.mat"), "refnames_all")["refnames_all"]
    everything = from_columns(file, pictures=paths, kinds=kinds, refnames_all=references, **values)
    table = only(everything, [is_reference == 0 for is_reference in numbers(everything, "orgs")])
    dmos = numbers(table, name)
    worst = max(dmos)
    references = column(table, "refnames_all")
    return relabelled(
        table,
        path=column(table, "pictures"),
        mos=[worst - value for value in dmos],  # as LIQE turns them: the worst picture has 0
        mos_std=column(table, "dmos_std") if realigned else None,
        distortion=column(table, "kinds"),
        reference=[f"refimgs/{reference}" for reference in references],
        group=[PurePosixPath(reference).stem for reference in references],
    )


def csiq(folder: Folder) -> Table:
    """CSIQ: a workbook whose sheet all_by_image names pictures by image, type and level."""
    wanted = ("image", "dst_type", "dst_lev", "dmos")
    table = read_workbook(folder.file("csiq.DMOS.xlsx"), wanted, sheet="all_by_image")
    images = column(table, "image")
    kinds = []
    for (line, _), kind in zip(table.rows, column(table, "dst_type"), strict=True):
        if kind.casefold() not in _CSIQ_TYPES:
            raise table.error(line, f"dst_type must be one of {', '.join(_CSIQ_TYPES)}, found {kind!r}")
        kinds.append(_CSIQ_TYPES[kind.casefold()])
    levels = column(table, "dst_lev")
    return relabelled(
        table,
        path=[
            f"dst_imgs/{part}/{image}.{word}.{level}.png"
            for image, (part, word, _), level in zip(images, kinds, levels, strict=True)
        ],
        mos=[1 - value for value in numbers(table, "dmos")],
        mos_std=column(table, "dmos_std"),
        distortion=[kind for _, _, kind in kinds],
        reference=[f"src_imgs/{image}.png" for image in images],
        group=images,
    )


def tid2013(folder: Folder) -> Table:
    """TID2013: lines of score and name; the deviations stand in a second file in the same order."""
    table = read_fields(folder.file("mos_with_names.txt"), ("a score", "a name"))
    names = column(table, "a name")
    matches = []
    for (line, _), name in zip(table.rows, names, strict=True):
        match = _TID_NAME.fullmatch(name)
        if match is None or not 1 <= int(match[2]) <= len(_TID_TYPES):
            raise table.error(line, f"expected a name such as I01_24_5.bmp, found {name!r}; download the file again")
        matches.append(match)
    deviations = folder.find("mos_std.txt")
    spread = None if deviations is None else column(read_fields(deviations, ("a deviation",)), "a deviation")
    if spread is not None and len(spread) != len(names):
        raise ManifestError(
            f"{deviations}: expected {len(names)} lines as in {table.file.name}, found {len(spread)}; download both"
        )
    return relabelled(
        table,
        path=[f"distorted_images/{name}" for name in names],
        mos=column(table, "a score"),
        mos_std=spread,
        distortion=[_TID_TYPES[int(match[2]) - 1] for match in matches],
        reference=[f"reference_images/I{match[1]}.BMP" for match in matches],
        group=[f"I{match[1]}" for match in matches],
    )


def kadid10k(folder: Folder) -> Table:
    """KADID-10k: dmos.csv, whose "dmos" is a mean opinion (higher is better) and whose "var" is a deviation.

    The latter is what the numbers say: with "var" as deviation the squares of 30 votes sum to a whole number for 98.6 %
    of the pictures whose mean can be one of 30 votes, with "var" as variance for 10 %. LIQE's label file has its root.
    """
    from vlqa.data.degradations import TYPES  # imports cv2, which other sets do without

    kinds = {kind.number: kind.name for kind in TYPES}
    table = read_table(folder.file("dmos.csv"))
    names = column(table, "dist_img")
    types = []
    for (line, _), name in zip(table.rows, names, strict=True):
        match = _KADID_NAME.fullmatch(name)
        if match is None or int(match[2]) not in kinds:
            raise table.error(line, f"expected a name such as I01_25_05.png, found {name!r}; download the file again")
        types.append(kinds[int(match[2])])
    references = column(table, "ref_img")
    return relabelled(
        table,
        path=names,
        mos=column(table, "dmos"),
        mos_std=column(table, "var"),
        distortion=types,
        reference=references,
        group=[PurePosixPath(name).stem for name in references],
    )


def pipal(folder: Folder) -> Table:
    """PIPAL's public training part: one text file a reference, pictures in four folders, Elo scores.

    Names are Aaaaa_bb_cc: reference, class of damage, variant. The release does not name the classes, nor does this.
    """
    labels = folder.file("Train_Label")
    tables = [read_fields(file, ("a name", "a score"), ",") for file in sorted(labels.glob("*.txt"))]
    if not tables:
        raise ManifestError(f"{labels}: no label file such as A0001.txt in it; download the folder again")
    names = [name for table in tables for name in column(table, "a name")]
    scores = [repr(score) for table in tables for score in numbers(table, "a score")]  # complains with file and line
    references = [table.file.stem for table in tables for _ in table.rows]
    parts = sorted({part for part in folder.entries().values() if part.casefold().startswith("distortion")})
    found = {name: f"{part}/{name}" for part in parts for name in folder.entries(folder.path / part)}
    return from_columns(
        labels,
        path=[found.get(name) or _pipal_part(name) for name in names],
        mos=scores,
        reference=[f"Train_Ref/{reference}.bmp" for reference in references],
        group=references,
    )


def _pipal_part(name: str) -> str:
    """Where a picture belongs that is not there."""
    digits = name[1:5]
    part = bisect.bisect_right(_PIPAL_STARTS, int(digits)) if digits.isdecimal() else 1
    return f"Distortion_{max(part, 1)}/{name}"
