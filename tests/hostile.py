"""Writes files that a folder of pictures from strangers may hold, and says what is to be said of each."""

from __future__ import annotations

import gzip
import io
import os
import pickle
import socket
import struct
import zipfile
import zlib
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from PIL import Image


def sample(width: int = 48, height: int = 32, mode: str = "RGB") -> Image.Image:
    """A picture with edges, smooth parts and some noise."""
    y, x = np.mgrid[:height, :width]
    noise = np.random.default_rng(0).integers(0, 30, (height, width))
    bands = [x * 200 // width + noise, y * 200 // height + noise, (x // 8 + y // 8) % 2 * 200 + noise]
    return Image.fromarray(np.stack(bands, axis=-1).astype(np.uint8)).convert(mode)


def encode(image: Image.Image, kind: str, **options: object) -> bytes:
    """The file of a picture."""
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def png_chunk(kind: bytes, body: bytes) -> bytes:
    """One chunk of a PNG file, with its length and checksum."""
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(size: tuple[int, int], depth: int, colour: int, rows: bytes, *extra: tuple[bytes, bytes]) -> bytes:
    """A PNG file from packed rows, each with its filter byte, and chunks that stand before the pixels."""
    header = struct.pack(">IIBBBBB", *size, depth, colour, 0, 0, 0)
    chunks = [(b"IHDR", header), *extra, (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(png_chunk(*chunk) for chunk in chunks)


def tiff(tags: dict[int, int | tuple[int, ...]], data: bytes = b"", count: int | None = None) -> bytes:
    """A little-endian TIFF file: pixels, which begin at byte 8, then one directory of LONG tags."""
    entries, extra = b"", b""
    directory = 8 + len(data)
    end = directory + 6 + 12 * len(tags)
    for tag, value in sorted(tags.items()):
        values = value if isinstance(value, tuple) else (value,)
        packed = struct.pack(f"<{len(values)}I", *values)
        if len(values) > 1:
            extra, packed = extra + packed, struct.pack("<I", end + len(extra))
        entries += struct.pack("<HHI", tag, 4, len(values)) + packed
    number = len(tags) if count is None else count
    return b"II*\0" + struct.pack("<I", directory) + data + struct.pack("<H", number) + entries + bytes(4) + extra


def grey_tiff(**changes: int | tuple[int, ...]) -> bytes:
    """An 8×8 grey TIFF of one strip with some of its tags changed, by name."""
    names = {"width": 256, "height": 257, "bits": 258, "compression": 259, "photometric": 262, "offsets": 273}
    names |= {"samples": 277, "rows": 278, "bytes": 279, "subfile": 254, "orientation": 274}
    tags = dict(width=8, height=8, bits=8, compression=1, photometric=1, offsets=8, samples=1, rows=8, bytes=64)
    return tiff({names[name]: value for name, value in (tags | changes).items()}, bytes(range(64)))


def bmp(width: int, height: int, bits: int = 24, data: bytes = b"") -> bytes:
    """A BMP file with any header."""
    info = struct.pack("<IiiHHIIiiII", 40, width, height, 1, bits, 0, 0, 0, 0, 0, 0)
    return b"BM" + struct.pack("<IHHI", 54 + len(data), 0, 0, 54) + info + data


def write_hostile_files(folder: str | os.PathLike[str]) -> dict[str, str | None]:
    """Write the files into a folder.

    Returns:
        Of each path, what its error must contain; `None` for the good ones, which must decode. One path is of a file
        that does not exist.
    """
    root = Path(folder)
    files = {**_cut_or_damaged(), **_other_things()}
    expected: dict[str, str | None] = {}
    for name, (content, reason) in files.items():
        path = os.path.join(root, os.fsdecode(name))  # noqa: PTH118 - Path would not keep every name
        Path(path).write_bytes(content)
        expected[path] = reason
    return expected | _not_files(root)


def _cut_or_damaged() -> dict[str | bytes, tuple[bytes, str | None]]:
    jpeg, webp, gif = (encode(sample(), kind) for kind in ("JPEG", "WEBP", "GIF"))
    progressive = encode(sample(), "JPEG", progressive=True)
    flat = encode(sample(), "PNG")
    scan = jpeg.index(b"\xff\xda") + 14
    packed = encode(sample(), "TIFF", compression="tiff_lzw")
    rows = b"\0" * 40
    files: dict[str | bytes, tuple[bytes, str | None]] = {
        "jpeg_3_bytes.jpg": (jpeg[:3], "JPEG"),
        "jpeg_2_bytes.jpg": (jpeg[:2], "known format"),
        "jpeg_cut_in_tables.jpg": (jpeg[:180], "JPEG"),
        "jpeg_cut_before_scan.jpg": (jpeg[: scan - 14], "JPEG"),
        "jpeg_cut_in_scan.jpg": (jpeg[: (scan + len(jpeg)) // 2], "truncated JPEG"),
        "jpeg_cut_at_end.jpg": (jpeg[:-2], "truncated JPEG"),
        "jpeg_scan_cut_but_ended.jpg": (jpeg[: (scan + len(jpeg)) // 2] + b"\xff\xd9", "truncated JPEG"),
        "jpeg_progressive_cut.jpg": (progressive[: len(progressive) * 2 // 3], "truncated JPEG"),
        "jpeg_zero_height.jpg": (_patch(jpeg, jpeg.index(b"\xff\xc0") + 5, b"\0\0"), "JPEG"),
        "jpeg_12_bits.jpg": (_patch(jpeg, jpeg.index(b"\xff\xc0") + 4, b"\x0c"), "12-bit"),
        "png_signature_only.png": (flat[:8], "PNG"),
        "png_cut_in_header.png": (flat[:20], "PNG"),
        "png_cut_in_pixels.png": (flat[: len(flat) // 2], "truncated PNG"),
        "png_bomb.png": (png((100_000, 100_000), 8, 2, rows), "100000×100000 pixels"),
        "png_zero_width.png": (png((0, 5), 8, 2, rows), "PNG"),
        "png_bad_header_sum.png": (_patch(flat, 29, b"\0\0\0\0"), "PNG"),
        "png_garbage_pixels.png": (_patch(flat, flat.index(b"IDAT") + 4, b"\xaa" * 50), "PNG"),
        "png_no_pixels.png": (flat[:33] + png_chunk(b"IEND", b""), "PNG"),
        "gif_no_frames.gif": (gif[:13] + b";", "GIF"),
        "gif_cut.gif": (gif[: len(gif) // 2], "GIF"),
        "gif_bomb.gif": (b"GIF89a\xff\xff\xff\xff\0\0\0,\0\0\0\0\1\0\1\0\0\2\2D\1\0;", "65535×65535 pixels"),
        "webp_cut.webp": (webp[: len(webp) // 2], "WebP"),
        "webp_header_only.webp": (webp[:16], "WebP"),
        "webp_bomb.webp": (b"RIFF\x16\0\0\0WEBPVP8X\x0a\0\0\0\0\0\0\0" + b"\xff" * 6, "16777216×16777216 pixels"),
        "bmp_bomb.bmp": (bmp(2**31 - 1, 2**31 - 1), "pixels"),
        "bmp_negative_width.bmp": (bmp(-8, 8, data=bytes(192)), "damaged header"),
        "bmp_cut.bmp": (encode(sample(), "BMP")[:900], "truncated BMP"),
        "bmp_zero.bmp": (bmp(0, 0), "BMP"),
        "bmp_7_bits.bmp": (bmp(8, 8, 7, bytes(64)), "BMP"),
        "tiff_header_only.tif": (b"II*\0\x08\0\0\0", "truncated TIFF"),
        "tiff_directory_far_away.tif": (b"MM\0*\x7f\xff\xff\xff" + bytes(64), "truncated TIFF"),
        "tiff_65535_tags.tif": (tiff({}, count=65535), "truncated TIFF"),
        "tiff_bomb.tif": (grey_tiff(width=2**20, height=2**20), "1048576×1048576 pixels"),
        "tiff_60000_samples.tif": (grey_tiff(samples=60_000), "TIFF"),
        "tiff_strip_far_away.tif": (grey_tiff(offsets=2**31), "truncated TIFF"),
        "tiff_strips_missing.tif": (grey_tiff(rows=2), "strips missing"),
        "tiff_thumbnail_first.tif": (grey_tiff(subfile=1), "camera raw"),
        "tiff_cut_lzw.tif": (_patch(packed, 8, b"\xff" * 200), "TIFF"),
        "good_junk_after_end.jpg": (jpeg + b"junk" * 1000, None),
        "good_broken_exif.jpg": (_broken_exif(jpeg), None),
        "good_broken_profile.png": (encode(sample(), "PNG", icc_profile=b"no profile" * 20), None),
        "good_jpeg_called.png": (jpeg, None),
        "good_1x1.gif": (encode(sample(1, 1), "GIF"), None),
        "good_two\nlines.jpg": (jpeg, None),
        b"good_\xff\xfe bytes.jpg": (jpeg, None),
        "-rf good, *[x] \u202e\U0001f4f7'\".jpg": (jpeg, None),
    }
    if find_spec("PIL._avif"):
        avif = encode(sample(), "AVIF")
        files |= {"avif_cut.avif": (avif[: len(avif) // 2], "AVIF"), "avif_header.avif": (avif[:40], "AVIF")}
    return files


def _other_things() -> dict[str | bytes, tuple[bytes, str | None]]:
    array, archive = io.BytesIO(), io.BytesIO()
    np.save(array, np.zeros((8, 8, 3), np.uint8))
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("a.txt", "a")
    heic = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(40)
    page = b"<!DOCTYPE html><title>404</title>"
    return {
        "empty.jpg": (b"", "empty"),
        "text.jpg": (b"Dear reader, this is no picture. " * 9, "text"),
        "page.jpg": (page, "web page"),
        "two\nlines \x1b[31m.jpg": (page, "web page"),
        b"\xff\xfe bytes.jpg": (page, "web page"),
        "\U0001f4f7" * 62 + ".jpg": (page, "web page"),  # 252 bytes: file systems take 255
        "drawing.svg": (b'<svg xmlns="http://www.w3.org/2000/svg"/>', "SVG"),
        "paper.pdf": (b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n", "PDF"),
        "object.jpg": (pickle.dumps({"a": 1}), "pickle"),
        "array.npy": (array.getvalue(), "NumPy"),
        "archive.jpg": (archive.getvalue(), "ZIP"),
        "packed.jpg": (gzip.compress(b"a"), "gzip"),
        "zeros.jpg": (bytes(4096), "zero bytes"),
        "noise.jpg": (np.random.default_rng(1).bytes(4096), "known format"),
        "pointer.jpg": (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "git lfs pull"),
        "film.mp4": (b"\0\0\0\x18ftypisom\0\0\2\0isommp42" + bytes(40), "video"),
        "picture.jp2": (b"\0\0\0\x0cjP  \r\n\x87\n" + bytes(40), "JPEG 2000"),
        "photo.heic": (heic, "HEIF" if find_spec("pillow_heif") else "pip install 'vlqa[heif]'"),
    }


def _not_files(root: Path) -> dict[str, str | None]:
    """What no bytes make: folders, links, pipes, sockets, missing and forbidden files, as far as there are any."""
    expected: dict[str, str | None] = {str(root / "missing.jpg"): "no such file"}
    (root / "folder.jpg").mkdir()
    expected[str(root / "folder.jpg")] = "folder"
    if os.name != "posix":
        return expected
    (root / "dangling.jpg").symlink_to(root / "nowhere.jpg")
    (root / "circle.jpg").symlink_to(root / "circle.jpg")
    os.mkfifo(root / "pipe.jpg")
    expected |= {str(root / "dangling.jpg"): "no such file", str(root / "circle.jpg"): "cannot be read"}
    expected[str(root / "pipe.jpg")] = "named pipe"
    with socket.socket(socket.AF_UNIX) as server:
        try:
            server.bind(str(root / "socket.jpg"))
        except OSError:
            pass  # the path is longer than the 108 bytes a socket may have
        else:
            expected[str(root / "socket.jpg")] = "a socket"
    if os.geteuid() != 0:  # root may read everything
        (root / "forbidden.jpg").write_bytes(encode(sample(), "JPEG"))
        (root / "forbidden.jpg").chmod(0)
        expected[str(root / "forbidden.jpg")] = "may not be read"
    return expected


def _patch(data: bytes, position: int, new: bytes) -> bytes:
    return data[:position] + new + data[position + len(new) :]


def _broken_exif(jpeg: bytes) -> bytes:
    body = b"Exif\0\0II*\0\x08\0\0\0\xff\xff" + b"\x12\x01\x03\0\xff\xff\xff\x7f\xff\xff\xff\x7f" * 3
    return jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body + jpeg[2:]
