"""Which picture format a file is, told from its first bytes, and how it is opened without decoding a pixel.

Pillow's plugins are called by name here instead of `PIL.Image.open`, for three reasons. `Image.open` compares the size
with a limit that is global to the process and warns from 89 megapixels on, so neither could be adjusted for one call
without touching other threads. It tries plugins vlqa does not want on unknown files (PDF, EPS, PSD, …). And only the
file's content decides, never its suffix.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import BinaryIO, TypeAlias

from PIL import BmpImagePlugin, GifImagePlugin, Image, JpegImagePlugin, PngImagePlugin, TiffImagePlugin, WebPImagePlugin
from PIL.ImageFile import ImageFile

from vlqa.data.complaints import describe_stranger
from vlqa.data.proportion import check_directory, check_exif_blocks, check_runs, check_scans, count_marks
from vlqa.errors import ImageDecodeError, MissingExtraError

SUFFIXES = frozenset(
    ".jpg .jpeg .jpe .jfif .png .apng .webp .bmp .dib .tif .tiff .gif .avif .heic .heif .hif".split()  # noqa: SIM905
)
"""File names that a folder is searched for, in lower case; a file given by name is opened whatever its suffix."""

HEAD_BYTES = 64
_TILE_PIXELS = 1 << 24  # of a TIFF file, allowed however few pixels a picture may have: they are larger than it may be
_RUN_LENGTH_CODES = (1, 2)  # of a BMP header: of 8 and of 4 bits a pixel
_READ_AS_A_WHOLE = {"JPEG", "WebP", "AVIF", "HEIF"}
_AVIF_BRANDS = {b"avif", b"avis"}
_HEIF_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"}

Opener: TypeAlias = Callable[[BinaryIO, int], ImageFile]


class _JpegFile(JpegImagePlugin.JpegImageFile):
    """Pillow's reader without its look for a resolution in the EXIF block, which warns when that block is broken."""

    def _read_dpi_from_exif(self) -> None:
        return


def _jpeg(file: BinaryIO, max_pixels: int) -> ImageFile:
    exif_blocks, scan_marks = count_marks(file)
    check_exif_blocks(exif_blocks)
    image = _JpegFile(file)
    check_scans(file, scan_marks, image.size, max_pixels)
    return image


def _png(file: BinaryIO, max_pixels: int) -> ImageFile:
    image = PngImagePlugin.PngImageFile(file)
    transparent = image.info.get("transparency")
    # Pillow scales the pixels of these depths to 8 bits but leaves the transparent value as it stands in the file.
    # Of 16-bit colours it keeps the high byte only, so neighbours of the transparent colour vanish with it.
    raw_mode = image.tile[0].args if image.tile else None
    if isinstance(transparent, int) and raw_mode in ("L;2", "L;4"):
        image.info["transparency"] = transparent * (85 if raw_mode == "L;2" else 17)
    elif isinstance(transparent, tuple) and raw_mode == "RGB;16B":
        image.info["transparency"] = tuple(value >> 8 for value in transparent)
    return image


def _tiff(file: BinaryIO, max_pixels: int) -> ImageFile:
    check_directory(file)
    image = TiffImagePlugin.TiffImageFile(file)
    check_pixels(image.size, max_pixels)
    _check_tile([image.tag_v2.get(tag) for tag in (322, 323)], max_pixels)
    if image.tag_v2.get(254, 0) & 1:  # NewSubfileType: a reduced picture comes first in DNG, NEF and other raw files
        raise ImageDecodeError("starts with a thumbnail, as camera raw files do; develop it to TIFF or JPEG first")
    if sum((x1 - x0) * (y1 - y0) for x0, y0, x1, y1 in (t.extents or (0, 0, 0, 0) for t in image.tile)) < (
        image.size[0] * image.size[1]
    ):
        raise ImageDecodeError("is a TIFF file with strips missing; export it again")  # Pillow would leave them black
    # The reader compares the size with Pillow's global limit once more, unless the memory is already there.
    turned = image.tag_v2.get(274) in (5, 6, 7, 8)
    image.im = Image.new(image.mode, image.size[::-1] if turned else image.size).im
    return image


def _check_tile(sides: list[object], max_pixels: int) -> None:
    """Refuse a TIFF tile larger than a picture may be: the reader makes room for it, however small the picture."""
    width, height = (side if isinstance(side, int) else 0 for side in sides)
    if width * height > max(max_pixels, _TILE_PIXELS):
        raise ImageDecodeError(f"is a TIFF file with tiles of {width}×{height} pixels; export it with smaller ones")


def _webp(file: BinaryIO, max_pixels: int) -> ImageFile:
    if size := _webp_size(file.read(30)):
        check_pixels(size, max_pixels)  # the reader makes room for the whole canvas as soon as it opens
    file.seek(0)
    return WebPImagePlugin.WebPImageFile(file)


def _webp_size(head: bytes) -> tuple[int, int] | None:
    """Width and height in a WebP header (RFC 9649), `None` where it has neither."""
    kind = head[12:16] if len(head) >= 25 else b""
    if kind == b"VP8X" and len(head) == 30:
        return int.from_bytes(head[24:27], "little") + 1, int.from_bytes(head[27:30], "little") + 1
    if kind == b"VP8L":
        bits = int.from_bytes(head[21:25], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if kind == b"VP8 " and len(head) == 30:
        return int.from_bytes(head[26:28], "little") & 0x3FFF, int.from_bytes(head[28:30], "little") & 0x3FFF
    return None


def _avif(file: BinaryIO, max_pixels: int) -> ImageFile:
    try:
        from PIL import AvifImagePlugin
    except ImportError:
        supported = False
    else:
        supported = AvifImagePlugin.SUPPORTED
    if not supported:
        raise ImageDecodeError("this Pillow has no AVIF decoder: pip install 'pillow>=11.3'")
    return AvifImagePlugin.AvifImageFile(file)


def _heif(file: BinaryIO, max_pixels: int) -> ImageFile:
    try:
        from pillow_heif import HeifImageFile
    except ImportError:
        raise MissingExtraError("pillow-heif", "heif") from None
    image: ImageFile = HeifImageFile(file)
    return image


def _bmp(file: BinaryIO, max_pixels: int) -> ImageFile:
    image = BmpImagePlugin.BmpImageFile(file)
    if image.info.get("compression") in _RUN_LENGTH_CODES:
        check_runs(file, image.size)
    return image


def identify(head: bytes) -> tuple[str, Opener] | None:
    """The format's name and its opener from a file's first bytes; `None` for anything that vlqa does not read."""
    if head.startswith(b"\xff\xd8\xff"):
        return "JPEG", _jpeg
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return "PNG", _png
    if head.startswith((b"GIF87a", b"GIF89a")):
        return "GIF", lambda file, max_pixels: GifImagePlugin.GifImageFile(file)
    if head.startswith((b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")):
        return "TIFF", _tiff
    if head.startswith(b"RIFF") and head[8:12] == b"WEBP":
        return "WebP", _webp
    if head[4:8] == b"ftyp":
        end = max(16, min(int.from_bytes(head[:4], "big"), len(head)))
        brands = {head[8:12], *(head[i : i + 4] for i in range(16, end, 4))}
        if brands & _AVIF_BRANDS:
            return "AVIF", _avif
        if brands & _HEIF_BRANDS:
            return "HEIF", _heif
        return None
    if head.startswith(b"BM"):
        return "BMP", _bmp
    return None


def open_image(file: BinaryIO, max_pixels: int) -> ImageFile:
    """Read the header of a picture; its pixels are decoded by `load`.

    Raises:
        ImageDecodeError: not a format vlqa reads, no decoder for it, or more pixels than `max_pixels`. The message does
            not name the file: that is the caller's part. Damaged headers raise whatever the format's reader raises.
    """
    head = file.read(HEAD_BYTES)
    file.seek(0)
    known = identify(head)
    if known is None:
        raise ImageDecodeError(describe_stranger(head))
    name, opener = known
    if name in _READ_AS_A_WHOLE and file.seek(0, os.SEEK_END) > most_bytes(max_pixels):
        raise ImageDecodeError(f"is far too large for a {name} file; download it again")
    file.seek(0)
    image = opener(file, max_pixels)
    check_pixels(image.size, max_pixels)
    return image


def has_picture_suffix(name: str) -> bool:
    """Whether a file of this name is taken for a picture where folders and archives are searched."""
    _, dot, suffix = name.rpartition(".")
    return bool(dot) and f".{suffix.lower()}" in SUFFIXES


def most_bytes(max_pixels: int) -> int:
    """The largest compressed file that is taken into memory as a whole: 8 bytes a pixel and 64 MiB of metadata."""
    return 8 * max_pixels + (64 << 20)


def check_pixels(size: tuple[int, int], max_pixels: int) -> None:
    """Raise `ImageDecodeError` unless the picture has pixels, and at most `max_pixels` of them."""
    width, height = size
    if width < 1 or height < 1:
        raise ImageDecodeError(f"has no pixels ({width}×{height}); export it again")
    if max(width, height) >= 2**31:  # a negative number, most likely
        raise ImageDecodeError(f"has a damaged header ({width}×{height} pixels); export it again")
    if width * height > max_pixels:
        raise ImageDecodeError(
            f"has {width}×{height} pixels, more than the {max_pixels} allowed; "
            "scale it down, or raise --max-image-pixels (load(…, max_image_pixels=…))"
        )
