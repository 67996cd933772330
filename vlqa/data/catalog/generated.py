"""Readers of sets of pictures that no camera took: generated from text, or rendered.

A reader takes the set's folder and gives its rows in the columns of a label file.
"""

from __future__ import annotations

from vlqa.data.catalog.columns import column, has_column, relabelled
from vlqa.data.catalog.folder import Folder
from vlqa.data.catalog.workbook import read_workbook
from vlqa.data.table import Table, read_table

# The archives are called file.zip; people who unpacked them call the folder what they like.
_PLACES = ("file", "images", "image", "img", "database", "all", "")


def agiqa1k(folder: Folder) -> Table:
    """AGIQA-1K: normalised opinions in a workbook."""
    table = read_workbook(folder.file("AIGC_MOS_Zscore.xlsx"), ("Image", "MOS"))
    return relabelled(table, path=folder.within(_PLACES, column(table, "Image")), mos=column(table, "MOS"))


def agiqa3k(folder: Folder) -> Table:
    """AGIQA-3K: opinions of quality; those of how well a picture fits its text are left out."""
    table = read_table(folder.file("data.csv"))
    return relabelled(
        table,
        path=folder.within(_PLACES, column(table, "name")),
        mos=column(table, "mos_quality"),
        mos_std=column(table, "std_quality") if has_column(table, "std_quality") else None,
    )


def cgiqa6k(folder: Folder) -> Table:
    """CGIQA-6k: mos.csv beside the folder database."""
    table = read_table(folder.file("mos.csv"))
    names = column(table, "Image", "image_name", "name")
    return relabelled(table, path=folder.within(("database", "images", ""), names), mos=column(table, "MOS"))
