from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vlqa.data.degradations import LEVELS, TYPES, degrade, degrade_by, find, sheet
from vlqa.errors import ConfigError
from vlqa.types import Pixels

NAMES = [  # as in the published table of KADID-10k's mean opinions
    "gaussian blur", "lens blur", "motion blur", "color diffusion", "color shift", "color quantization",
    "color saturation hsv", "color saturation lab", "jpeg2000", "jpeg", "white noise",
    "white noise color component", "impulse noise", "multiplicative noise", "denoise", "brighten", "darken",
    "mean shift", "jitter", "non-eccentricity patch", "pixelate", "quantization", "color block", "high sharpen",
    "contrast change",
]  # fmt: skip
LIQE_DISTORTIONS = {
    "jpeg2000 compression", "jpeg compression", "noise", "blur", "color", "contrast", "overexposure",
    "underexposure", "spatial", "quantization", "other",
}  # fmt: skip
UNCHANGED = {(1, 1), (3, 1), (8, 1), (18, 3), (25, 3)}  # the cells that leave an 8-bit picture (nearly) as it is
RANDOM = {3, 5, 11, 12, 13, 14, 15, 19, 20, 23}
SIZES = [(16, 16), (17, 31), (33, 500), (64, 48)]

all_types = pytest.mark.parametrize("kind", TYPES, ids=lambda kind: kind.name)


def photo_like(height: int, width: int, seed: int) -> Pixels:
    """Colours with the 1/f spectrum of photographs, and a few hard edges."""
    rng = np.random.default_rng(seed)
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.fftfreq(width)[None, :])
    frequency[0, 0] = 1
    spectrum = np.fft.fft2(rng.standard_normal((3, height, width))) / frequency**1.2
    planes = np.fft.ifft2(spectrum).real
    planes /= planes.std(axis=(1, 2), keepdims=True)
    luminance, others = planes[0], planes[1:] * 0.4
    picture = 128 + 38 * (luminance + np.stack([others[0], -others[0] / 2 + others[1], -others[1]])).transpose(1, 2, 0)
    for _ in range(6):
        top, left = rng.integers(height * 3 // 4), rng.integers(width * 3 // 4)
        picture[top : top + height // 4, left : left + width // 4] += rng.uniform(-60, 60, 3)
    return np.clip(np.rint(picture), 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def photos() -> list[Pixels]:
    return [photo_like(144, 160, seed) for seed in range(4)]


def distance(one: Pixels, other: Pixels) -> float:
    return float(np.abs(one.astype(np.float64) - other).mean())


def test_table_is_that_of_kadid() -> None:
    assert [kind.name for kind in TYPES] == NAMES
    assert [kind.number for kind in TYPES] == list(range(1, 26))
    assert {kind.number for kind in TYPES if kind.random} == RANDOM
    assert {kind.distortion for kind in TYPES} == LIQE_DISTORTIONS
    for kind in TYPES:
        assert len(kind.levels) == LEVELS
        assert all(kind.bounds[0] <= level <= kind.bounds[1] for level in kind.levels)


@all_types
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_keeps_shape_dtype_and_input(kind, size) -> None:
    image = photo_like(*size, seed=5)
    before = image.copy()
    image.setflags(write=False)
    for level in range(1, LEVELS + 1):
        result = degrade(image, kind.number, level, 3)
        assert result.shape == image.shape
        assert result.dtype == np.uint8
        assert result.flags.writeable
        assert not np.shares_memory(result, image)
    np.testing.assert_array_equal(image, before)


@all_types
def test_is_deterministic_by_generator(kind) -> None:
    image = photo_like(64, 72, seed=1)
    state = np.random.get_state()[1].copy()
    first, again = (degrade(image, kind, 4, np.random.default_rng(11)) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    np.testing.assert_array_equal(first, degrade(image, kind, 4, 11))
    np.testing.assert_array_equal(np.random.get_state()[1], state)
    others = [degrade(image, kind, 4, seed) for seed in range(20, 24)]
    assert any((first != other).any() for other in others) == kind.random


@all_types
def test_severity_grows_with_distance_from_the_original(kind, photos) -> None:
    def damage(level: int) -> float:
        seeds = range(4) if kind.random else range(1)
        return float(np.mean([distance(photo, degrade(photo, kind, level, s)) for photo in photos for s in seeds]))

    damages = {level: damage(level) for level in range(1, LEVELS + 1)}
    for level, value in damages.items():
        assert (value < 0.3) == ((kind.number, level) in UNCHANGED | {(13, 1)})  # 0.1 % of impulses change little
    sides = [(3, 2, 1), (3, 4, 5)] if kind.number in (18, 25) else [(1, 2, 3, 4, 5)]
    for side in sides:
        values = [damages[level] for level in side]
        assert values == sorted(values)
        assert len(set(values)) == len(values)


@all_types
def test_degrade_is_degrade_by_at_the_level(kind) -> None:
    image = photo_like(40, 50, seed=2)
    for level, parameter in enumerate(kind.levels, start=1):
        np.testing.assert_array_equal(degrade(image, kind, level, 7), degrade_by(image, kind.name, parameter, 7))


@all_types
def test_neutral_parameter_leaves_the_picture(kind) -> None:
    image = photo_like(40, 50, seed=2)
    if kind.neutral is None:
        assert kind.name in {"color diffusion", "color quantization", "jpeg"}
        return
    result = degrade_by(image, kind, kind.neutral, 0)
    np.testing.assert_array_equal(result, image)
    assert not np.shares_memory(result, image)


@pytest.mark.parametrize("number", [1, 2, 3, 5, 7, 8, 11, 12, 13, 14, 15, 16, 17, 18, 19, 24, 25])
def test_damage_is_continuous_at_the_neutral_parameter(number) -> None:
    kind, image = find(number), photo_like(48, 48, seed=3)
    step = 1e-4 * (kind.levels[-1] - kind.neutral)
    assert distance(image, degrade_by(image, kind, kind.neutral + step, 0)) < 0.5


@settings(max_examples=60, deadline=None)
@given(
    number=st.integers(1, 25),
    share=st.floats(0, 1),
    height=st.integers(16, 70),
    width=st.integers(16, 70),
    seed=st.integers(0, 2**32),
)
def test_any_parameter_within_bounds_works(number, share, height, width, seed) -> None:
    kind = find(number)
    low, high = kind.bounds
    image = photo_like(height, width, seed=0)
    result = degrade_by(image, kind, low + share * (high - low), seed)
    assert result.shape == image.shape
    assert result.dtype == np.uint8


@all_types
def test_memory_order_does_not_matter(kind) -> None:
    image = photo_like(40, 48, seed=4)
    mirrored = image[::-1, ::-1]
    expected = degrade(np.ascontiguousarray(mirrored), kind, 3, 0)
    np.testing.assert_array_equal(degrade(mirrored, kind, 3, 0), expected)
    np.testing.assert_array_equal(degrade(np.asfortranarray(mirrored), kind, 3, 0), expected)


@all_types
@pytest.mark.parametrize("value", [0, 128, 255])
def test_flat_pictures_pass(kind, value) -> None:
    image = np.full((24, 40, 3), value, dtype=np.uint8)
    for level in (1, 5):
        assert degrade(image, kind, level, 0).shape == image.shape


@pytest.mark.parametrize("type", [10, "10", " jpeg ", "JPEG", np.int64(10)])
def test_find_accepts_numbers_and_names(type) -> None:
    assert find(type) is TYPES[9]


def test_find_forgives_separators() -> None:
    assert find("Non_Eccentricity-patch").number == 20
    assert find("gaussian-blur").number == 1


@pytest.mark.parametrize("type", [0, 26, -1, "blurr", "", "²"])
def test_unknown_types_are_refused_with_the_choices(type) -> None:
    with pytest.raises(ConfigError, match=r"1 gaussian blur, .*25 contrast change") as caught:
        find(type)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("level", [0, 6, -1, 2.5, "x", None])
def test_levels_out_of_range_are_refused(level) -> None:
    with pytest.raises(ConfigError, match="level must be 1 to 5"):
        degrade(photo_like(16, 16, 0), 1, level)


@pytest.mark.parametrize("parameter", [-0.1, float("nan"), float("inf"), 1e6])
def test_parameters_out_of_bounds_are_refused(parameter) -> None:
    with pytest.raises(ConfigError, match=r"gaussian blur: the parameter must lie in \[0, 100\]"):
        degrade_by(photo_like(16, 16, 0), 1, parameter)


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.zeros((15, 40, 3), np.uint8), "at least 16 px on each side, the picture has 40×15"),
        (np.zeros((40, 40), np.uint8), "H×W×3, not uint8"),
        (np.zeros((40, 40, 3), np.float32), "H×W×3, not float32"),
        (np.zeros((40, 40, 4), np.uint8), "H×W×3, not uint8"),
        ("photo.jpg", "H×W×3, not str"),
    ],
)
def test_unfit_pictures_are_refused(image, message) -> None:
    with pytest.raises(ConfigError, match=message):
        degrade(image, 1, 1)


def test_negative_seeds_are_refused() -> None:
    with pytest.raises(ConfigError, match="seed must be"):
        degrade(photo_like(16, 16, 0), "white noise", 1, -1)


def test_sheet_shows_every_cell(photos) -> None:
    page = sheet(photos[0], seed=1, tile=40)
    assert page.dtype == np.uint8
    assert page.shape[2] == 3
    np.testing.assert_array_equal(page, sheet(photos[0], seed=1, tile=40))
    assert (page != sheet(photos[0], seed=2, tile=40)).any()
    rows = np.array_split(page, 25)
    # The block of 36×40 pixels of level 5 differs from that of level 1 in every row.
    pitch = 44
    for row in rows:
        first, last = row[:36, -5 * pitch : -4 * pitch], row[:36, -pitch:]
        assert distance(first, last) > 0.05


def test_sheet_of_a_small_picture() -> None:
    assert sheet(photo_like(16, 20, 0)).shape[0] > 25 * 16
