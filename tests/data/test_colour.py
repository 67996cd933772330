from __future__ import annotations

import struct
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image

from tests.hostile import encode, png, sample
from tests.pictures import LOSSLESS, first, pixel
from tests.profiles import cmyk_profile, display_p3_profile, linear_grey_profile
from vlqa.data.images import decode
from vlqa.errors import ImageDecodeError


@pytest.mark.parametrize(
    ("mode", "value", "expected"),
    [
        ("1", 1, (255, 255, 255)),
        ("1", 0, (0, 0, 0)),
        ("L", 77, (77, 77, 77)),
        ("RGB", (1, 2, 3), (1, 2, 3)),
        ("RGBX", (1, 2, 3, 0), (1, 2, 3)),
        ("CMYK", (255, 0, 0, 0), (0, 255, 255)),
        ("CMYK", (0, 0, 0, 255), (0, 0, 0)),
        ("CMYK", (0, 0, 0, 0), (255, 255, 255)),
        ("YCbCr", (76, 85, 255), (254, 0, 0)),
        ("HSV", (85, 255, 255), (0, 255, 0)),
        ("I;16", 65535, (255, 255, 255)),
        ("I;16", 32768, (128, 128, 128)),
        ("I;16", 255, (1, 1, 1)),
        ("I;16B", 65535, (255, 255, 255)),
        ("I", 200, (200, 200, 200)),
        ("I", 32768, (128, 128, 128)),
        ("F", 0.5, (128, 128, 128)),
        ("F", 1.0, (255, 255, 255)),
        ("F", 200.4, (200, 200, 200)),
        ("F", 65535.0, (255, 255, 255)),
        ("LA", (100, 0), (255, 255, 255)),
        ("LA", (100, 51), (224, 224, 224)),
        ("La", (20, 51), (224, 224, 224)),
        ("RGBA", (0, 100, 255, 128), (127, 177, 255)),
        ("RGBa", (0, 50, 128, 128), (127, 177, 255)),
        ("RGBA", (9, 8, 7, 0), (255, 255, 255)),
        ("RGBA", (9, 8, 7, 255), (9, 8, 7)),
    ],
)
def test_modes(mode: str, value: object, expected: tuple[int, ...]) -> None:
    assert first(pixel(value, mode)) == expected


def test_lab() -> None:
    # CIE Lab (53.2, 80, 67) is sRGB red; Pillow holds a and b as signed bytes
    red = first(Image.frombytes("LAB", (1, 1), bytes([136, 80, 67])))
    assert red[0] >= 250 and red[1] <= 12 and red[2] <= 12


@given(
    arrays.arrays(np.uint8, (3, 5, 4)),
    st.tuples(*[st.integers(0, 255)] * 3),
)
def test_alpha_is_composited_exactly(rgba: np.ndarray, background: tuple[int, int, int]) -> None:
    colour, alpha = rgba[..., :3].astype(float), rgba[..., 3:] / 255
    exact = colour * alpha + np.array(background) * (1 - alpha)
    for image in (rgba, Image.fromarray(rgba), encode(Image.fromarray(rgba), "PNG")):
        assert np.abs(decode(image, background=background) - exact).max() <= 0.5 + 1e-9


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_16_bit_grey_is_scaled_not_clipped(kind: str) -> None:
    values = np.array([[0, 127, 129, 255, 256, 32768, 65535]], np.uint16)
    decoded = decode(encode(Image.fromarray(values), kind))
    np.testing.assert_array_equal(decoded[..., 0], np.round(values / 257))
    np.testing.assert_array_equal(decoded[..., 0], decoded[..., 2])


def test_16_bit_colour() -> None:
    row = b"\0" + struct.pack(">6H", 0xFFFF, 0x8000, 0, 0x1234, 0xABCD, 0x00FF)
    assert decode(png((2, 1), 16, 2, row)).tolist() == [[[255, 128, 0], [0x12, 0xAB, 0]]]
    assert first(png((2, 1), 16, 2, row, (b"tRNS", row[1:7])), background=(1, 2, 3)) == (1, 2, 3)


@pytest.mark.parametrize("values", [[-1.0, 0.5], [0.0, 1e9], [0.0, np.nan], [0.0, np.inf]])
def test_floats_without_a_known_range_are_refused(values: list[float]) -> None:
    with pytest.raises(ImageDecodeError, match="scale them to 0…1"):
        decode(Image.fromarray(np.array([values], np.float32)))


def test_float_tiff() -> None:
    values = np.array([[0.0, 0.25, 0.5, 1.0]], np.float32)
    assert decode(encode(Image.fromarray(values), "TIFF"))[0, :, 0].tolist() == [0, 64, 128, 255]


def test_palettes() -> None:
    image = Image.new("P", (4, 1))
    image.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255, 9, 9, 9])
    image.putdata([0, 1, 2, 3])
    expected = [[255, 0, 0], [0, 255, 0], [0, 0, 255], [9, 9, 9]]
    for data in (image, encode(image, "PNG"), encode(image, "GIF"), encode(image, "TIFF"), encode(image, "BMP")):
        assert decode(data)[0].tolist() == expected
    by_index = encode(image, "PNG", transparency=1)
    by_table = encode(image, "PNG", transparency=bytes([255, 0, 128, 255]))
    assert decode(by_index, background=(7, 7, 7))[0].tolist() == [expected[0], [7, 7, 7], *expected[2:]]
    assert decode(by_table, background=(0, 0, 0))[0].tolist() == [expected[0], [0, 0, 0], [0, 0, 128], expected[3]]
    assert decode(encode(image, "GIF", transparency=2))[0, 2].tolist() == [255, 255, 255]


@pytest.mark.parametrize(
    ("depth", "row", "transparent"), [(1, b"\0\x40", 1), (2, b"\0\x10", 1), (4, b"\0\x05", 5), (8, b"\0\x09\x05", 5)]
)
def test_transparent_grey_of_any_depth(depth: int, row: bytes, transparent: int) -> None:
    data = png((2, 1), depth, 0, row, (b"tRNS", struct.pack(">H", transparent)))
    decoded = decode(data, background=(250, 0, 0))
    assert decoded[0, 1].tolist() == [250, 0, 0]
    assert decoded[0, 0].tolist() in ([0, 0, 0], [9, 9, 9])


def test_transparent_values_of_16_bit_grey_and_colour() -> None:
    grey = png((2, 1), 16, 0, b"\0" + struct.pack(">2H", 300, 301), (b"tRNS", struct.pack(">H", 301)))
    assert decode(grey, background=(9, 9, 9))[0, :, 0].tolist() == [1, 9]
    colour = png((2, 1), 8, 2, b"\0\1\2\3\4\5\6", (b"tRNS", struct.pack(">3H", 4, 5, 6)))
    assert decode(colour, background=(9, 9, 9))[0].tolist() == [[1, 2, 3], [9, 9, 9]]


def test_cmyk_jpegs() -> None:
    for ink, expected in [
        ((255, 0, 0, 0), (0, 255, 255)),
        ((0, 255, 255, 0), (255, 0, 0)),
        ((0, 0, 0, 200), (55,) * 3),
    ]:
        data = encode(Image.new("CMYK", (16, 16), ink), "JPEG", quality=100)
        assert np.abs(np.subtract(first(data), expected)).max() <= 2
    # YCCK: the same file with the Adobe marker's transform set to 2 holds Y, Cb, Cr and K, all inverted.
    stored = Image.new("CMYK", (16, 16), (255 - 200, 127, 127, 0))
    data = bytearray(encode(stored, "JPEG", quality=100, subsampling=0))
    data[data.index(b"Adobe") + 11] = 2
    assert np.abs(np.subtract(first(bytes(data)), 55)).max() <= 2


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "TIFF"])
def test_display_p3_becomes_srgb(kind: str) -> None:
    p3 = np.array([200, 100, 50])
    linear = np.where(p3 / 255 <= 0.04045, p3 / 255 / 12.92, ((p3 / 255 + 0.055) / 1.055) ** 2.4)
    # linear Display P3 to linear sRGB, both D65 (W3C css-color-4)
    matrix = [[1.2249, -0.2249, 0.0], [-0.0420, 1.0420, 0.0], [-0.0196, -0.0786, 1.0982]]
    srgb = np.clip(np.matmul(matrix, linear), 0, 1)
    expected = 255 * np.where(srgb <= 0.0031308, srgb * 12.92, 1.055 * srgb ** (1 / 2.4) - 0.055)
    options = {"quality": 100, "subsampling": 0} if kind == "JPEG" else LOSSLESS[kind]
    image = Image.new("RGB", (16, 16), tuple(map(int, p3)))
    assert (
        np.abs(np.subtract(first(encode(image, kind, icc_profile=display_p3_profile(), **options)), expected)).max() < 3
    )
    assert np.abs(np.subtract(first(encode(image, kind, **options)), p3)).max() <= 2


def test_profiles_of_grey_and_alpha() -> None:
    assert first(pixel(128, "L", icc_profile=linear_grey_profile()))[0] == pytest.approx(188, abs=1)  # 0.502 linear
    assert first(pixel((128, 0), "LA", icc_profile=linear_grey_profile())) == (255, 255, 255)
    assert first(pixel(32896, "I;16", icc_profile=linear_grey_profile()))[0] == pytest.approx(188, abs=1)
    opaque = first(pixel((200, 100, 50, 255), "RGBA", icc_profile=display_p3_profile()))
    assert opaque == first(pixel((200, 100, 50), "RGB", icc_profile=display_p3_profile())) != (200, 100, 50)


@pytest.mark.parametrize("kind", ["JPEG", "TIFF"])
def test_cmyk_profile(kind: str) -> None:
    # This profile's cyan is the grey of L* = 50, which is 119 in sRGB; without the profile it would be (0, 255, 255).
    image = Image.new("CMYK", (16, 16), (255, 0, 0, 0))
    options = {"quality": 100} if kind == "JPEG" else {}
    assert np.abs(np.subtract(first(encode(image, kind, icc_profile=cmyk_profile(), **options)), 119)).max() <= 3


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK", "RGBA", "P"])
@pytest.mark.parametrize("profile", [b"", b"junk" * 99, display_p3_profile()[:200], cmyk_profile()[:-700]])
def test_broken_profiles_are_ignored(mode: str, profile: bytes) -> None:
    image = sample(mode=mode)
    expected = decode(image)
    image.info["icc_profile"] = profile
    np.testing.assert_array_equal(decode(image), expected)


def test_profiles_of_another_mode_are_ignored() -> None:
    assert first(pixel((1, 2, 3), "RGB", icc_profile=cmyk_profile())) == (1, 2, 3)


def test_threads_share_profiles() -> None:
    data = encode(sample(300, 200), "PNG", icc_profile=display_p3_profile())
    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(decode, [data] * 24))
    assert all(np.array_equal(result, results[0]) for result in results)
