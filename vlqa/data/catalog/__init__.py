"""The catalogue of public sets of rated pictures: read as their authors pack them, into one `Manifest`."""

from __future__ import annotations

from vlqa.data.catalog.reading import locate, missing_files, read_dataset
from vlqa.data.catalog.table import SETS, PublicSet, find

__all__ = ["SETS", "PublicSet", "find", "locate", "missing_files", "read_dataset"]
