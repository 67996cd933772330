from __future__ import annotations

import builtins
import os
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from tests.hostile import encode, grey_tiff, png, sample, tiff, write_hostile_files
from tests.pictures import HAS_AVIF, LOSSLESS
from vlqa.data.images import decode
from vlqa.errors import ImageDecodeError


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF", *(["AVIF"] if HAS_AVIF else [])])
def test_max_pixels_is_checked_before_decoding(kind: str) -> None:
    data = encode(sample(40, 30), kind)
    assert decode(data, max_pixels=1200).shape == (30, 40, 3)
    # Were the pixels read first, the cut file would be called truncated.
    cut = data if kind in ("WEBP", "AVIF", "TIFF") else data[: len(data) - 60]
    with pytest.raises(ImageDecodeError, match=r"40×30 pixels, more than the 1199 allowed; .*--max-image-pixels"):
        decode(cut, max_pixels=1199)


@pytest.mark.parametrize(
    ("kind", "options"),
    [("JPEG", {}), ("PNG", {}), ("BMP", {}), ("GIF", {}), ("TIFF", {}), ("TIFF", {"compression": "tiff_lzw"})],
)
def test_pillows_global_limit_does_not_matter(
    kind: str, options: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    data = encode(sample(), kind, **options)
    expected = decode(data)
    for limit in (48 * 32 - 1, 10):  # Pillow would warn at the first, which is an error here, and refuse at the second
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
        np.testing.assert_array_equal(decode(data), expected)
    assert limit == Image.MAX_IMAGE_PIXELS


def test_turned_tiff_strips() -> None:
    assert decode(grey_tiff(orientation=6))[0, 0, 0] == 56  # the lower left corner comes to the upper left


def test_a_tiff_tile_is_no_larger_than_a_picture_may_be() -> None:
    tags = {256: 8, 257: 8, 258: 8, 259: 1, 262: 1, 277: 1, 324: 8}
    fair = tiff(tags | {322: 512, 323: 512, 325: 512 * 512}, bytes(512 * 512))
    assert decode(fair, max_pixels=64).shape == (8, 8, 3)  # a tile may be larger than its picture
    huge = tiff(tags | {322: 40_000, 323: 50_000, 325: 64}, bytes(64))  # took 2 GB, of 200 bytes
    with pytest.raises(ImageDecodeError, match="tiles of 40000×50000 pixels; export it with smaller ones"):
        decode(huge)


def test_every_hostile_file_gets_its_line(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    expected = write_hostile_files(tmp_path)
    assert sum(reason is not None for reason in expected.values()) >= 40
    for path, reason in expected.items():
        if reason is None:
            assert decode(path).ndim == 3
            continue
        with pytest.raises(ImageDecodeError) as caught:
            decode(path)
        message = str(caught.value)
        assert reason in message
        assert message.splitlines() == [message] and message.isprintable()
        assert message.encode() and len(message) < 500
        assert Path(path).name in message or not Path(path).name.isprintable() or "…" in message
    assert capfd.readouterr().out == ""


def test_every_prefix_of_a_file_is_decoded_or_refused() -> None:
    for kind in ("JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP"):
        data = encode(sample(24, 16), kind)
        for length in range(0, len(data) - 40, max(1, len(data) // 60)):
            with pytest.raises(ImageDecodeError):
                decode(data[:length])


@pytest.mark.filterwarnings("ignore")  # Pillow warns about broken TIFF tags, as it may in use
def test_damaged_files_raise_nothing_else() -> None:
    generator = np.random.default_rng(0)
    kinds: list[tuple[str, dict[str, object]]] = [
        ("JPEG", {}),
        ("JPEG", {"progressive": True}),
        ("PNG", {}),
        ("GIF", {}),
    ]
    kinds += [
        ("BMP", {}),
        ("TIFF", {}),
        ("TIFF", {"compression": "tiff_lzw"}),
        ("WEBP", {}),
        ("WEBP", LOSSLESS["WEBP"]),
    ]
    kinds += [("AVIF", {})] * HAS_AVIF
    decoded = refused = 0
    for kind, options in kinds:
        exif = Image.Exif()
        exif[0x0112] = 6
        data = np.frombuffer(encode(sample(24, 16), kind, exif=exif, **options), np.uint8)
        for _ in range(150):
            damaged = data.copy()
            span = len(data) if generator.random() < 0.5 else min(len(data), 200)  # half of it in the headers
            places = generator.integers(4, span, generator.integers(1, 12))
            damaged[places] = generator.choice([0, 255, 1, 127, 128, *generator.integers(0, 256, 5)], len(places))
            try:
                pixels = decode(damaged.tobytes(), max_pixels=1 << 20)
            except ImageDecodeError as error:
                refused += 1
                assert len(str(error).splitlines()) == 1
            else:
                decoded += 1
                assert pixels.dtype == np.uint8 and pixels.ndim == 3 and pixels.shape[2] == 3
    assert decoded and refused


@given(st.binary(max_size=200))
def test_any_bytes_are_decoded_or_refused(data: bytes) -> None:
    for start in (b"", b"\xff\xd8\xff", b"BM", b"GIF89a", b"II*\0", b"\x89PNG\r\n\x1a\n", b"RIFF    WEBPVP8 "):
        with pytest.raises(ImageDecodeError):
            decode(start + data)


def test_missing_heif_decoder_names_the_command(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    real = builtins.__import__

    def without_heif(name: str, *rest: object) -> object:
        if name == "pillow_heif":
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without_heif)
    path = tmp_path / "a.heic"
    path.write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic")
    with pytest.raises(ImageDecodeError, match=r"a\.heic: .*pip install 'vlqa\[heif\]'"):
        decode(path)


def test_lack_of_memory_is_an_answer_and_an_interrupt_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(error: type[BaseException]) -> None:
        def load(*_: object) -> None:
            raise error

        monkeypatch.setattr("PIL.PngImagePlugin.PngImageFile.load", load)

    data = encode(sample(), "PNG")
    fail(MemoryError)
    with pytest.raises(ImageDecodeError, match="memory"):
        decode(data)
    fail(KeyboardInterrupt)
    with pytest.raises(KeyboardInterrupt):
        decode(data)


def test_files_are_closed(tmp_path: Path) -> None:
    if not Path("/proc/self/fd").is_dir():
        pytest.skip("needs /proc")
    expected = write_hostile_files(tmp_path)
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    for path in expected:
        try:
            decode(path)
        except ImageDecodeError as error:
            error.__traceback__ = None
    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208


def test_compressed_bomb_is_refused_by_its_header_alone() -> None:
    rows = zlib.compress(bytes(1 << 20))
    huge = png((20_000, 20_000), 8, 0, b"")[:41] + rows
    with pytest.raises(ImageDecodeError, match="20000×20000"):
        decode(huge)
