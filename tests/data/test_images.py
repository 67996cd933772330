from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from tests.hostile import encode, sample
from tests.pictures import HAS_AVIF, LOSSLESS, first
from vlqa.data.images import decode, source_name
from vlqa.errors import ConfigError, ImageDecodeError
from vlqa.types import Source


@pytest.mark.parametrize("kind", LOSSLESS)
def test_path_bytes_pil_and_array_agree(kind: str, tmp_path: Path) -> None:
    expected = np.asarray(sample())
    data = encode(sample(), kind, **LOSSLESS[kind])
    path = tmp_path / "a"
    path.write_bytes(data)
    with Image.open(path) as opened:
        for given_image in (path, str(path), data, bytearray(data), memoryview(data), opened, expected):
            decoded = decode(given_image)
            np.testing.assert_array_equal(decoded, expected)
            assert decoded.dtype == np.uint8 and decoded.flags.c_contiguous and decoded.flags.writeable


@pytest.mark.parametrize("options", [{}, {"quality": 100, "subsampling": 0}, {"progressive": True}, {"quality": 5}])
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_jpeg_equals_pillow(options: dict[str, object], mode: str) -> None:
    data = encode(sample(61, 43, mode), "JPEG", **options)
    np.testing.assert_array_equal(decode(data), np.asarray(Image.open(io.BytesIO(data)).convert("RGB")))


@pytest.mark.skipif(not HAS_AVIF, reason="this Pillow has no AVIF decoder")
def test_avif() -> None:
    difference = decode(encode(sample(), "AVIF", quality=100, subsampling="4:4:4")).astype(int) - np.asarray(sample())
    assert np.abs(difference).max() <= 3


def test_heif() -> None:
    pillow_heif = pytest.importorskip("pillow_heif")
    file = io.BytesIO()
    pillow_heif.from_pillow(sample(64, 64)).save(file, quality=-1)
    assert np.abs(decode(file.getvalue()).astype(int) - np.asarray(sample(64, 64))).max() <= 6


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP", "TIFF"])
def test_first_frame(kind: str) -> None:
    frames = [Image.new("RGB", (4, 4), colour) for colour in ((255, 0, 0), (0, 0, 255))]
    data = encode(frames[0], kind, save_all=True, append_images=frames[1:], **LOSSLESS.get(kind, {}))
    assert first(data) == (255, 0, 0)


@pytest.mark.parametrize("size", [(1, 1), (1, 300), (300, 1)])
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF"])
def test_smallest_sizes(kind: str, size: tuple[int, int]) -> None:
    assert decode(encode(sample(*size), kind)).shape == (size[1], size[0], 3)


def test_pictures_of_many_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    deep = Image.fromarray(np.arange(37 * 53, dtype=np.float32).reshape(37, 53) / (37 * 53))
    whole = [decode(sample(53, 37, mode)) for mode in ("RGBA", "L", "P", "CMYK")] + [decode(deep)]
    monkeypatch.setattr("vlqa.data.colour._TILE_PIXELS", 20)
    tiled = [decode(sample(53, 37, mode)) for mode in ("RGBA", "L", "P", "CMYK")] + [decode(deep)]
    for one, other in zip(whole, tiled, strict=True):
        np.testing.assert_array_equal(one, other)


def test_arrays() -> None:
    grey = np.arange(12, dtype=np.uint8).reshape(3, 4)
    np.testing.assert_array_equal(decode(grey), np.stack([grey] * 3, axis=-1))
    np.testing.assert_array_equal(decode(grey[..., None]), decode(grey))
    rgba = np.dstack([grey] * 3 + [np.full_like(grey, 0)])
    assert (decode(rgba, background=(1, 2, 3)) == [1, 2, 3]).all()
    rgb = decode(grey)
    assert decode(rgb) is rgb
    rgb.flags.writeable = False
    assert decode(rgb).flags.writeable
    assert decode(rgb[::-1, ::2]).flags.c_contiguous


@pytest.mark.parametrize(
    ("array", "remedy"),
    [
        (np.zeros((4, 4, 3)), "astype"),
        (np.zeros((4, 4, 3), np.uint16), "257"),
        (np.zeros((3, 8, 8), np.uint8), "transpose(1, 2, 0)"),
        (np.zeros((2, 8, 8, 3), np.uint8), "one by one"),
        (np.zeros((4, 4, 3), bool), "uint8"),
        (np.zeros((), np.uint8), "uint8"),
        (np.zeros((0, 4, 3), np.uint8), "no pixels"),
        (np.zeros((20, 20, 3), np.uint8), "20×20 pixels"),
    ],
)
def test_other_arrays_are_refused(array: np.ndarray, remedy: str) -> None:
    with pytest.raises(ImageDecodeError, match="image given as ndarray") as caught:
        decode(array, max_pixels=200)
    assert remedy in str(caught.value)


@pytest.mark.parametrize("thing", [None, 3, ["a.jpg"], io.BytesIO(b""), ""])
def test_other_things_are_refused(thing: object) -> None:
    with pytest.raises(ImageDecodeError):
        decode(thing)


@pytest.mark.parametrize("options", [{"max_pixels": 0}, {"background": (0, 0)}, {"background": (0, 0, 256)}])
def test_wrong_options(options: dict[str, object]) -> None:
    with pytest.raises(ConfigError):
        decode(sample(), **options)


def test_source_name() -> None:
    assert source_name("a.jpg") == source_name(Path("a.jpg")) == "a.jpg"
    assert source_name(b"a.jpg") is source_name(sample()) is source_name(np.zeros((1, 1, 3), np.uint8)) is None


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", *(["AVIF"] if HAS_AVIF else [])])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation(kind: str, orientation: int) -> None:
    # Corners named by colour; where EXIF says row 0 and column 0 of the stored picture are to be seen.
    red, green, blue, white = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)
    stored = Image.new("RGB", (2, 2))
    stored.putdata([red, green, blue, white])
    stored = stored.resize((64, 32), Image.Resampling.NEAREST)
    seen = {
        1: [red, green, blue, white],
        2: [green, red, white, blue],
        3: [white, blue, green, red],
        4: [blue, white, red, green],
        5: [red, blue, green, white],
        6: [blue, red, white, green],
        7: [white, green, blue, red],
        8: [green, white, red, blue],
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encode(stored, kind, exif=exif, **LOSSLESS.get(kind, {"quality": 100}))
    for image in (data, Image.open(io.BytesIO(data))):
        decoded = decode(image).astype(int)
        height, width = decoded.shape[:2]
        assert (width, height) == ((64, 32) if orientation < 5 else (32, 64))
        corners = [decoded[y, x] for y in (3, height - 4) for x in (3, width - 4)]
        assert np.abs(np.array(corners) - np.array(seen)).max() <= 12


@pytest.mark.parametrize("value", [0, 9, 65535])
def test_senseless_orientation_is_ignored(value: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = value
    assert decode(encode(sample(), "JPEG", exif=exif)).shape == (32, 48, 3)


@pytest.mark.parametrize("text", ["", "\nexif\n 2\nzz", None])
def test_orientation_of_imagemagick_is_applied_and_a_broken_one_ignored(text: str | None) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    block = exif.tobytes()
    profile = PngInfo()
    profile.add_text("Raw profile type exif", f"\nexif\n{len(block):8}\n{block.hex()}" if text is None else text)
    pixels = decode(encode(sample(), "PNG", pnginfo=profile))
    assert pixels.shape == ((48, 32, 3) if text is None else (32, 48, 3))


def test_a_source_is_read_when_its_turn_comes(tmp_path: Path) -> None:
    data = encode(sample(), "PNG")
    (tmp_path / "a.png").write_bytes(data)
    expected = decode(data)
    for given in (data, str(tmp_path / "a.png")):
        source = Source("shard.tar/a.png", lambda given=given: given)
        assert source_name(source) == "shard.tar/a.png"
        np.testing.assert_array_equal(decode(source), expected)

    def gone() -> bytes:
        raise ImageDecodeError("is not there any more; fetch the shard again")

    with pytest.raises(ImageDecodeError, match=r"^shard.tar/b.png: is not there any more; fetch"):
        decode(Source("shard.tar/b.png", gone))
    with pytest.raises(ImageDecodeError, match=r"^shard.tar/c.png: is a truncated PNG"):
        decode(Source("shard.tar/c.png", lambda: data[:60]))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_jpeg_may_come_out_reduced(orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encode(sample(400, 240), "JPEG", quality=95, exif=exif)
    whole = decode(data)
    asked = []

    def enough(height: int, width: int) -> tuple[int, int]:
        asked.append((height, width))
        return height // 4, width // 4

    small = decode(data, enough=enough)
    assert asked == [whole.shape[:2]] and small.shape[:2] == (whole.shape[0] // 4, whole.shape[1] // 4)
    reduced = Image.fromarray(whole).resize(small.shape[1::-1], Image.Resampling.BOX)
    assert np.abs(np.asarray(reduced, int) - small).mean() < 12  # another orientation: 80
    np.testing.assert_array_equal(decode(data, enough=lambda height, width: (2 * height, 2 * width)), whole)
    png = encode(sample(), "PNG")
    np.testing.assert_array_equal(decode(png, enough=lambda *_: (1, 1)), decode(png))
