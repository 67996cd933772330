"""Small picture files of every format and kind, and damages to them that reach behind the checksums.

Bytes are flipped, cut, repeated and joined as anywhere; besides, a file's parts (JPEG segments, PNG and WebP chunks,
AVIF boxes, TIFF directory entries, GIF blocks) are swapped, dropped, doubled or filled with other numbers, and PNG
checksums made right again, since a reader that stops at the checksum is tested no further.
"""

from __future__ import annotations

import io
import itertools
import re
import struct
import zlib
from collections.abc import Callable
from typing import TypeAlias

import numpy as np
from PIL import Image, ImageCms, features

from tests.hostile import encode, png, sample, tiff

Damage: TypeAlias = Callable[[bytes, np.random.Generator], bytes]

LONGEST = 1 << 20
_EDGES = (0, 1, 2, 3, 7, 8, 9, 127, 128, 255, 256, 257, 4095, 4096, 4097, 32767, 32768, 65535, 65536, 2**24, 2**31 - 1)
_EDGES += (2**31, 2**32 - 1, 2**32 - 2)


def good_files() -> dict[str, bytes]:
    """A picture of each format, mode, depth and packing that vlqa reads, by a name."""
    return _jpeg_files() | _png_files() | _webp_files() | _tiff_files() | _other_files()


def damaged(files: list[bytes], generator: np.random.Generator) -> bytes:
    """One of the files with one to three damages."""
    data = files[generator.integers(len(files))]
    if generator.random() < 0.08:
        data = _spliced(data, files[generator.integers(len(files))], generator)
    for _ in range(generator.choice([1, 1, 2, 3])):
        data = _DAMAGES[generator.integers(len(_DAMAGES))](data, generator)
    return data[:LONGEST]


def _jpeg_files() -> dict[str, bytes]:
    exif = Image.Exif()
    exif[0x0112] = 6
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    return {
        "jpeg": encode(sample(), "JPEG"),
        "jpeg progressive": encode(sample(), "JPEG", progressive=True),
        "jpeg 4:4:4 turned": encode(sample(), "JPEG", subsampling=0, exif=exif),
        "jpeg profile restarts": encode(sample(), "JPEG", icc_profile=profile, restart_marker_blocks=2),
        "jpeg grey": encode(sample(mode="L"), "JPEG", optimize=True),
        "jpeg cmyk": encode(sample(mode="CMYK"), "JPEG"),
    }


def _png_files() -> dict[str, bytes]:
    deep = np.random.default_rng(0).integers(0, 256, (20, 1 + 24 * 6), dtype=np.uint8)
    deep[:, 0] %= 5  # the filter of the row
    exif = Image.Exif()
    exif[0x0112] = 5
    return {
        "png": encode(sample(), "PNG", exif=exif),
        "png rgba": encode(_with_alpha(), "PNG"),
        "png palette": encode(sample().quantize(20), "PNG", transparency=3),
        "png 1 bit": encode(sample(mode="1"), "PNG"),
        "png 16-bit grey": encode(Image.fromarray(np.arange(1200, dtype=np.uint16).reshape(30, 40) * 50), "PNG"),
        "png 16-bit colours": png((24, 20), 16, 2, deep.tobytes(), (b"tRNS", bytes(6))),
        "png interlaced": _interlaced(),
        "png animated": encode(sample(), "PNG", save_all=True, append_images=[_with_alpha()], default_image=True),
    }


def _webp_files() -> dict[str, bytes]:
    exif = Image.Exif()
    exif[0x0112] = 8
    return {
        "webp": encode(sample(), "WEBP", exif=exif),
        "webp lossless": encode(sample(), "WEBP", lossless=True),
        "webp alpha": encode(_with_alpha(), "WEBP"),
        "webp animated": encode(sample(), "WEBP", save_all=True, append_images=[sample().rotate(90)], duration=50),
    }


def _tiff_files() -> dict[str, bytes]:
    files = {f"tiff {packing}": encode(sample(), "TIFF", compression=packing) for packing in _PACKINGS}
    return files | {
        "tiff": encode(sample(), "TIFF"),
        "tiff grey planes big": encode(sample(mode="L"), "TIFF", big_tiff=True),
        "tiff fax": encode(sample(mode="1"), "TIFF", compression="group4"),
        "tiff 16 bits": encode(Image.fromarray(np.arange(1200, dtype=np.uint16).reshape(30, 40) * 50), "TIFF"),
        "tiff floats": encode(sample(mode="F"), "TIFF", compression="tiff_lzw"),
        "tiff cmyk": encode(sample(mode="CMYK"), "TIFF", compression="tiff_lzw"),
        "tiff palette": encode(sample().quantize(20), "TIFF", compression="tiff_lzw"),
        "tiff lab": encode(sample(mode="LAB"), "TIFF"),
        "tiff pages": encode(sample(), "TIFF", save_all=True, append_images=[sample(20, 30)]),
        "tiff tiles": _tiled(1, lambda tile: tile.tobytes()),
        "tiff deflated tiles": _tiled(8, lambda tile: zlib.compress(tile.tobytes())),
        "tiff lzw tiles": _tiled(5, _lzw),
    }


_PACKINGS = ("tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg")


def _other_files() -> dict[str, bytes]:
    files = {
        "gif": encode(sample(), "GIF", interlace=1),
        "gif animated": encode(
            sample(), "GIF", save_all=True, append_images=[sample().rotate(90)], transparency=0, disposal=2
        ),
        "bmp": encode(sample(), "BMP"),
        "bmp palette": encode(sample().quantize(20), "BMP"),
        "bmp alpha": encode(_with_alpha(), "BMP"),
        "bmp runs": _bmp_of_runs(),
    }
    if features.check("avif"):
        files |= {
            "avif": encode(sample(), "AVIF"),
            "avif alpha": encode(_with_alpha(), "AVIF"),
            "avif animated": encode(sample(), "AVIF", save_all=True, append_images=[sample().rotate(180)]),
        }
    return files


def _with_alpha() -> Image.Image:
    picture = sample(mode="RGBA")
    picture.putalpha(sample(mode="L"))
    return picture


def _interlaced() -> bytes:
    rows = bytearray()
    for x0, y0, dx, dy in (
        (0, 0, 8, 8),
        (4, 0, 8, 8),
        (0, 4, 4, 8),
        (2, 0, 4, 4),
        (0, 2, 2, 4),
        (1, 0, 2, 2),
        (0, 1, 1, 2),
    ):
        part = np.asarray(sample())[y0::dy, x0::dx]
        rows += b"".join(b"\0" + row.tobytes() for row in part)
    data = bytearray(png((48, 32), 8, 2, bytes(rows)))
    data[28] = 1
    return _with_right_checksums(bytes(data))


def _tiled(compression: int, pack: Callable[[np.ndarray], bytes]) -> bytes:
    grey = np.asarray(sample(48, 32, "L"))
    tiles = [pack(grey[y : y + 16, x : x + 16]) for y in (0, 16) for x in (0, 16, 32)]
    places = tuple(8 + sum(map(len, tiles[:number])) for number in range(len(tiles)))
    tags = {256: 48, 257: 32, 258: 8, 259: compression, 262: 1, 277: 1, 322: 16, 323: 16}
    return tiff(tags | {324: places, 325: tuple(map(len, tiles))}, b"".join(tiles))


def _lzw(tile: np.ndarray) -> bytes:
    data = encode(Image.fromarray(tile), "TIFF", compression="tiff_lzw")
    with Image.open(io.BytesIO(data)) as file:
        tags = file.tag_v2  # type: ignore[attr-defined]
        return data[tags[273][0] : tags[273][0] + tags[279][0]]


def _bmp_of_runs() -> bytes:
    body = b"".join(bytes([20, row % 4, 0, 3, 1, 2, 3, 0, 9, 2, 0, 0]) for row in range(24)) + b"\0\1"
    info = struct.pack("<IiiHHIIiiII", 40, 32, 24, 1, 8, 1, len(body), 0, 0, 4, 0)
    palette = bytes([0, 0, 0, 0, 255, 0, 0, 0, 0, 255, 0, 0, 0, 0, 255, 0])
    return b"BM" + struct.pack("<IHHI", 70 + len(body), 0, 0, 70) + info + palette + body


def _place(data: bytes, generator: np.random.Generator) -> int:
    """A byte, in half of the cases among the first 200, where the numbers stand; seldom one that names the format."""
    end = len(data) if generator.random() < 0.5 else min(200, len(data))
    start = 0 if generator.random() < 0.02 else min(4, max(0, end - 1))
    return int(generator.integers(start, max(start + 1, end)))


def _flip_bits(data: bytes, generator: np.random.Generator) -> bytes:
    changed = bytearray(data)
    for _ in range(generator.choice([1, 2, 4, 16]) if data else 0):
        changed[_place(data, generator)] ^= 1 << int(generator.integers(8))
    return bytes(changed)


def _set_number(data: bytes, generator: np.random.Generator) -> bytes:
    place, width = _place(data, generator), int(generator.choice([1, 2, 4]))
    value = _EDGES[generator.integers(len(_EDGES))] % 256**width
    return data[:place] + value.to_bytes(width, str(generator.choice(["big", "little"]))) + data[place + width :]


def _cut(data: bytes, generator: np.random.Generator) -> bytes:
    return data[: int(generator.integers(len(data) + 1))]


def _slice_away_or_twice(data: bytes, generator: np.random.Generator) -> bytes:
    start = _place(data, generator)
    end = start + int(generator.integers(1, 1 + min(400, max(1, len(data) - start))))
    return data[:start] + data[start:end] * int(generator.choice([0, 2, 3])) + data[end:]


def _insert_noise(data: bytes, generator: np.random.Generator) -> bytes:
    place = _place(data, generator)
    return data[:place] + generator.bytes(int(generator.integers(1, 64))) + data[place:]


def _spliced(data: bytes, other: bytes, generator: np.random.Generator) -> bytes:
    return data[: _place(data, generator)] + other[_place(other, generator) :]


def _move_parts(data: bytes, generator: np.random.Generator) -> bytes:
    parts = parts_of(data)
    if len(parts) < 3:
        return _flip_bits(data, generator)
    one, two = (int(number) for number in generator.integers(1, len(parts), 2))
    match generator.integers(3):
        case 0:
            parts[one], parts[two] = parts[two], parts[one]
        case 1:
            parts.insert(one, parts[two])
        case _:
            del parts[one]
    return b"".join(parts)


def _change_a_part(data: bytes, generator: np.random.Generator) -> bytes:
    parts = parts_of(data)
    number = int(generator.integers(len(parts)))
    change = _SIMPLE[generator.integers(len(_SIMPLE))]
    parts[number] = change(parts[number], generator) if parts[number] else b""
    return _with_right_checksums(b"".join(parts))


_SIMPLE: tuple[Damage, ...] = (_flip_bits, _set_number, _slice_away_or_twice, _insert_noise)
_DAMAGES: tuple[Damage, ...] = (
    *_SIMPLE,
    _set_number,
    _cut,
    _move_parts,
    _change_a_part,
    _change_a_part,
    _change_a_part,
)


def parts_of(data: bytes) -> list[bytes]:
    """A file in parts as its format has them, which joined are the file."""
    starts = {0, len(data)}
    if data.startswith(b"\xff\xd8"):
        starts |= {match.start() for match in re.finditer(rb"\xff[\x01-\xd7\xd9-\xfe]", data)}
    elif data.startswith(b"\x89PNG"):
        starts |= set(_chunks(data, 8, lambda place: 12 + int.from_bytes(data[place : place + 4], "big")))
    elif data.startswith(b"RIFF"):
        starts |= set(_chunks(data, 12, lambda place: 8 + int.from_bytes(data[place + 4 : place + 8], "little")))
    elif data[4:8] == b"ftyp":
        starts |= {match.start() - 4 for match in re.finditer(rb"[a-z][a-zA-Z0-9]{3}", data) if match.start() >= 4}
    elif data.startswith((b"II", b"MM")):
        order, big = ("little" if data[:1] == b"I" else "big"), 43 in data[2:4]
        first = int.from_bytes(data[8:16] if big else data[4:8], order)  # type: ignore[arg-type]
        head, step = (8, 20) if big else (2, 12)
        count = min(200, int.from_bytes(data[first : first + head], order))  # type: ignore[arg-type]
        starts |= {first + head + step * number for number in range(count + 1)}
    elif data.startswith(b"GIF8"):
        starts |= {match.start() for match in re.finditer(rb"[!,;]", data)}
    places = sorted(start for start in starts if start <= len(data))
    return [data[start:end] for start, end in itertools.pairwise(places)] or [data]


def _chunks(data: bytes, place: int, length: Callable[[int], int]) -> list[int]:
    places = []
    while place < len(data) and len(places) < 200:
        places.append(place)
        place += length(place)
    return places


def _with_right_checksums(data: bytes) -> bytes:
    if not data.startswith(b"\x89PNG"):
        return data
    chunks = parts_of(data)
    return chunks[0] + b"".join(
        chunk[:-4] + struct.pack(">I", zlib.crc32(chunk[4:-4])) if len(chunk) >= 12 else chunk for chunk in chunks[1:]
    )
