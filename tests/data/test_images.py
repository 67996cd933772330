from __future__ import annotations

import builtins
import io
import os
import struct
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image, features

from tests.hostile import encode, grey_tiff, png, sample, write_hostile_files
from tests.profiles import cmyk_profile, display_p3_profile, linear_grey_profile
from vlqa.data.images import decode, source_name
from vlqa.errors import ConfigError, ImageDecodeError

HAS_AVIF = features.check("avif")
LOSSLESS = {"PNG": {}, "WEBP": {"lossless": True}, "BMP": {}, "TIFF": {}}


def pixel(value: object, mode: str, **info: object) -> Image.Image:
    image = Image.new(mode, (3, 2), value)
    image.info.update(info)
    return image


def first(image: object, **options: object) -> tuple[int, ...]:
    return tuple(int(v) for v in decode(image, **options)[0, 0])


# --- what goes in -----------------------------------------------------------------------------------------------------


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


# --- colour -----------------------------------------------------------------------------------------------------------


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


# --- profiles ---------------------------------------------------------------------------------------------------------


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


# --- orientation ------------------------------------------------------------------------------------------------------


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


# --- limits, damage, hostility ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF", *(["AVIF"] if HAS_AVIF else [])])
def test_max_pixels_is_checked_before_decoding(kind: str) -> None:
    data = encode(sample(40, 30), kind)
    assert decode(data, max_pixels=1200).shape == (30, 40, 3)
    # Were the pixels read first, the cut file would be called truncated.
    cut = data if kind in ("WEBP", "AVIF", "TIFF") else data[: len(data) - 60]
    with pytest.raises(ImageDecodeError, match="40×30 pixels, more than the 1199 allowed; .*max_pixels"):
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
