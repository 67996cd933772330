from __future__ import annotations

import io
import struct
from pathlib import Path

import numpy as np
import pytest

from tests.hostile import encode, grey_tiff, sample, tiff
from vlqa.data import proportion
from vlqa.data.images import decode
from vlqa.data.proportion import count_marks
from vlqa.errors import ImageDecodeError

JPEG = encode(sample(), "JPEG")
EXIF = b"\xff\xe1\0\x0aExif\0\0II"


def progressive(scans: int, *, before_end: bytes = b"", after: bytes = b"") -> bytes:
    """A grey progressive JPEG whose last scan is repeated until there are so many."""
    file = encode(sample(mode="L"), "JPEG", progressive=True)
    last = file[file.rindex(b"\xff\xda") : -2]
    return file[:-2] + last * (scans - file.count(b"\xff\xda")) + before_end + file[-2:] + after


def bmp_of_runs(width: int, height: int, data: bytes) -> bytes:
    start = 54 + 4 * 256
    info = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 8, 1, len(data), 0, 0, 256, 0)
    return b"BM" + struct.pack("<IHHI", start + len(data), 0, 0, start) + info + bytes(range(256)) * 4 + data


def test_scans_that_go_beyond_the_pixels_allowed_are_refused() -> None:
    pixels = 48 * 32
    with pytest.raises(ImageDecodeError, match="is a JPEG file of 60 scans; save it as a baseline JPEG"):
        decode(progressive(60), max_pixels=2 * pixels)
    assert decode(progressive(60), max_pixels=4 * pixels).shape == (32, 48, 3)
    assert decode(progressive(20), max_pixels=pixels).shape == (32, 48, 3)


def test_scans_of_previews_and_of_what_is_appended_do_not_count() -> None:
    marker = b"\xff\xda"
    note = b"\xff\xee" + struct.pack(">H", 2 + 80) + marker * 40
    film = progressive(20, after=marker * 1000)
    for file in (film, film[:2] + note + film[2:]):
        assert decode(file, max_pixels=48 * 32).shape == (32, 48, 3)


def test_very_many_exif_blocks_are_refused() -> None:
    with pytest.raises(ImageDecodeError, match="is a JPEG file with 65 EXIF blocks; export it again without metadata"):
        decode(JPEG[:2] + EXIF * 65 + JPEG[2:])
    np.testing.assert_array_equal(decode(JPEG[:2] + EXIF * 64 + JPEG[2:]), decode(JPEG))


@pytest.mark.parametrize("padding", range(4))
def test_marks_are_counted_in_one_pass_wherever_pieces_part(padding: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proportion, "_PIECE", 7)
    file = io.BytesIO(bytes(padding) + (EXIF + b"\xff\xda") * 40)
    assert count_marks(file) == (40, 40) and file.tell() == 0


def test_a_file_with_the_head_of_a_jpeg_is_not_read_however_large_it_is(tmp_path: Path) -> None:
    with (tmp_path / "large.jpg").open("wb") as file:
        file.write(JPEG)
        file.truncate(1 << 40)  # whose pages take no disk
    with pytest.raises(ImageDecodeError, match="is far too large for a JPEG file; download it again"):
        decode(tmp_path / "large.jpg")


@pytest.mark.parametrize(
    ("width", "height", "data"),
    [(16_000, 12_500, b"\1\5\0\0" * 12_500), (10, 10, b"\1\5" * 600_000)],  # one took 33 s, the other 0.5 s
)
def test_runs_out_of_proportion_are_refused(width: int, height: int, data: bytes) -> None:
    with pytest.raises(ImageDecodeError, match="is a large BMP file of run-length codes; save it without them"):
        decode(bmp_of_runs(width, height, data))


def test_runs_are_read() -> None:
    assert decode(bmp_of_runs(4, 2, b"\4\5\0\0\4\6\0\1"))[:, :, 0].tolist() == [[6 * 4 % 256 + 2] * 4, [5 * 4 + 2] * 4]


@pytest.mark.parametrize("repeated", [2, 60])
def test_tags_that_share_their_bytes_are_refused_and_not_read_again_and_again(
    repeated: int, capfd: pytest.CaptureFixture[str]
) -> None:
    tags = {256: 8, 257: 8, 258: 8, 259: 1, 262: 1, 273: 8, 277: 1, 278: 8, 279: 64}
    data = bytes(range(64)) + bytes(4000)
    fair = tiff(tags, data)
    assert decode(fair).shape == (8, 8, 3)
    count = struct.unpack_from("<H", fair, 8 + len(data))[0]
    shared = b"".join(struct.pack("<HHII", 40_000 + number, 7, 4000, 72) for number in range(repeated))
    start = 8 + len(data)
    entries = fair[start + 2 : start + 2 + 12 * count]
    file = fair[:start] + struct.pack("<H", count + repeated) + entries + shared + bytes(4)
    with pytest.raises(ImageDecodeError, match="its tags tell of more than is there"):
        decode(file)
    assert capfd.readouterr() == ("", "")
    assert decode(grey_tiff()).shape == (8, 8, 3)


def test_a_large_tiff_directory_of_either_kind_is_read() -> None:
    picture = sample(64, 3000, "L")
    for options in ({}, {"big_tiff": True}):
        file = io.BytesIO()
        picture.save(file, "TIFF", strip_size=64, **options)
        np.testing.assert_array_equal(decode(file.getvalue())[..., 0], np.asarray(picture))
