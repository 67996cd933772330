"""Refuses files whose decoding takes time out of proportion to their bytes and pixels, before any pixel is decoded."""

from __future__ import annotations

import os
import re
import struct
from typing import BinaryIO, Literal

from vlqa.errors import ImageDecodeError

_MOST_SCANS = 20  # of a JPEG file, times `max_pixels`: each scan takes 1.5 ms a megapixel, of 100 bytes
_SCAN, _END = b"\xff\xda", b"\xff\xd9"
_MARKS = (b"Exif\0\0", _SCAN)
_MARKER = re.compile(rb"\xff[^\x00\x01\xd0-\xd8\xff]")  # that a length follows, or the end
_MOST_EXIF_BLOCKS = 64  # each is copied with all before it; 300 000 of them in 4 MB took 15 s
_MOST_RUN_PIXELS = 1 << 24  # Pillow decodes runs in Python: 200 megapixels took 33 s, of 50 KB
_MOST_TAGS = 1 << 16
_PIECE = 1 << 22
_TAG_BYTES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}


def count_marks(file: BinaryIO) -> tuple[int, int]:
    """EXIF blocks and scan markers in all bytes of a JPEG file, in one pass (0.25 ms for 160 KB); rewinds it."""
    marks, end = [0, 0], b""
    while piece := file.read(_PIECE):
        piece = end + piece
        for number, pattern in enumerate(_MARKS):
            marks[number] += piece.count(pattern) - end.count(pattern)
        end = piece[1 - max(map(len, _MARKS)) :]
    file.seek(0)
    return marks[0], marks[1]


def check_exif_blocks(blocks: int) -> None:
    """Refuse a JPEG file with very many EXIF blocks, whether or not all are in its header."""
    if blocks > _MOST_EXIF_BLOCKS:
        raise ImageDecodeError(f"is a JPEG file with {blocks} EXIF blocks; export it again without metadata")


def check_scans(file: BinaryIO, marks: int, size: tuple[int, int], max_pixels: int) -> None:
    """Refuse a JPEG file whose scans, each of which passes over the whole picture, are too many for its size.

    Args:
        file: which is read once more only where it has so many markers.
        marks: as `count_marks` gives them; those of previews among them.
        size: of the picture.
        max_pixels: that a picture may have.
    """
    most = max(_MOST_SCANS, _MOST_SCANS * max_pixels // (size[0] * size[1]))
    if marks > most and (scans := _count_scans(file)) > most:
        raise ImageDecodeError(f"is a JPEG file of {scans} scans; save it as a baseline JPEG")


def check_runs(file: BinaryIO, size: tuple[int, int]) -> None:
    """Refuse a BMP file of runs that is large, or has many more bytes than runs of one pixel would take."""
    pixels = size[0] * size[1]
    if pixels > _MOST_RUN_PIXELS or file.seek(0, os.SEEK_END) > 4 * pixels + (1 << 20):
        raise ImageDecodeError("is a large BMP file of run-length codes; save it without them, or as PNG")


def check_directory(file: BinaryIO) -> None:
    """Refuse a TIFF file that ends before its directory does, or whose tags tell of more than is there.

    Of both, Pillow would warn on standard error, tag by tag.
    """
    head = file.read(16)
    order: Literal["little", "big"] = "little" if head.startswith(b"II") else "big"
    big = 43 in head[2:4]
    start = int.from_bytes(head[8:16] if big else head[4:8], order)
    length = file.seek(0, os.SEEK_END)
    count = -1
    if start < length:
        file.seek(start)
        count = int.from_bytes(file.read(8 if big else 2), order)
    if count < 0 or start + (16 + 20 * count if big else 6 + 12 * count) > length:
        raise ImageDecodeError("is a truncated TIFF file; copy or download it again")
    entry = struct.Struct(("<" if order == "little" else ">") + ("HHQ8x" if big else "HHI4x"))
    entries = entry.iter_unpack(file.read(entry.size * min(count, _MOST_TAGS)))
    sizes = (values * _TAG_BYTES.get(kind, 0) for _, kind, values in entries)
    if count > _MOST_TAGS or sum(size for size in sizes if size > (8 if big else 4)) > length:
        raise ImageDecodeError("is a damaged TIFF file (its tags tell of more than is there); export it again")
    file.seek(0)


def _count_scans(file: BinaryIO) -> int:
    """Scans up to the end marker: no previews, and nothing that is appended, as the film of a motion photo."""
    file.seek(0)
    data = file.read()
    file.seek(0)
    scans, position = 0, 2
    while (marker := _MARKER.search(data, position)) and marker[0] != _END:
        scans += marker[0] == _SCAN
        position = marker.end() + int.from_bytes(data[marker.end() : marker.end() + 2])
    return scans
