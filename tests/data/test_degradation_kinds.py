"""Each type does what its name says, checked on numbers that its definition fixes."""

from __future__ import annotations

import colorsys
import itertools

import numpy as np
import pytest
from scipy import ndimage

from vlqa.data.degradations import blur as blurs
from vlqa.data.degradations import degrade, degrade_by
from vlqa.data.degradations import spatial as spatials

GREY = np.full((256, 256, 3), 128, dtype=np.uint8)
RAMP = np.repeat(np.tile(np.arange(256, dtype=np.uint8), (32, 1))[..., None], 3, axis=2)


@pytest.fixture
def noise_picture() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (96, 128, 3), dtype=np.uint8)


def unit_noise(result: np.ndarray, image: np.ndarray) -> np.ndarray:
    return (result.astype(np.float64) - image) / 255


@pytest.mark.parametrize("sigma", [0.5, 2.0, 5.0, 9.0, 20.0])
def test_gaussian_filter_agrees_with_scipy(sigma) -> None:
    plane = np.random.default_rng(0).random((160, 200)).astype(np.float32)
    plane[40:90, 50:120] += 1
    expected = ndimage.gaussian_filter(plane, sigma, mode="reflect", truncate=4)
    assert np.abs(blurs.gaussian_filter(plane, sigma) - expected).max() < 0.02


@pytest.mark.parametrize("radius", [1, 2, 4, 6, 8])
def test_disc_has_its_area_and_radius(radius) -> None:
    kernel = blurs._disc(radius)
    assert kernel.sum() == pytest.approx(1, abs=1e-5)
    assert kernel.shape == (2 * radius + 1, 2 * radius + 1)
    assert 1 / kernel.max() == pytest.approx(np.pi * radius**2, rel=0.35 if radius == 1 else 0.1)


@pytest.mark.parametrize("angle", [0.0, 0.4, np.pi / 2, 2.5])
def test_motion_kernel_is_a_line_of_its_length(angle) -> None:
    kernel = blurs._line(10, angle).astype(np.float64)
    steps = np.arange(len(kernel)) - len(kernel) // 2
    x, y = steps[None, :], steps[:, None]
    along = (kernel * (x * np.cos(angle) + y * np.sin(angle)) ** 2).sum()
    across = (kernel * (y * np.cos(angle) - x * np.sin(angle)) ** 2).sum()
    assert along == pytest.approx(10**2 / 12, rel=0.15)
    assert across < 0.5


@pytest.mark.parametrize("type", [1, 2, 3, 15, 19])
def test_borders_stay_bright(type) -> None:
    white = np.full((20, 24, 3), 240, dtype=np.uint8)
    assert degrade(white, type, 5, 0).min() >= (240 if type != 15 else 200)


def test_saturation_zero_is_grey_and_below_zero_complementary() -> None:
    color = np.full((16, 16, 3), (200, 120, 80), dtype=np.uint8)
    grey = degrade_by(color, "color saturation hsv", 0)
    assert (grey == 200).all()
    hue = colorsys.rgb_to_hsv(*color[0, 0] / 255)[0]
    half = colorsys.rgb_to_hsv(*degrade_by(color, "color saturation hsv", 0.5)[0, 0] / 255)
    assert half[0] == pytest.approx(hue, abs=0.01)
    assert half[1] == pytest.approx(0.5 * 120 / 200, abs=0.01)
    complement = colorsys.rgb_to_hsv(*degrade_by(color, "color saturation hsv", -0.2)[0, 0] / 255)[0]
    assert complement == pytest.approx((hue + 0.5) % 1, abs=0.02)


def test_color_damage_keeps_grey_pictures_grey() -> None:
    for type in ("color diffusion", "color saturation hsv", "color saturation lab"):
        # cv2's a and b of greys reach 0.125, times 12
        assert np.abs(degrade(RAMP, type, 5).astype(int) - RAMP).max() <= 2


def test_color_shift_moves_only_green_and_only_near_edges() -> None:
    image = np.full((96, 96, 3), 60, dtype=np.uint8)
    image[30:60, 30:60] = 200
    result = degrade(image, "color shift", 4, 1)
    np.testing.assert_array_equal(result[..., [0, 2]], image[..., [0, 2]])
    assert (result[..., 1] != image[..., 1]).sum() > 100
    np.testing.assert_array_equal(result[:10], image[:10])


@pytest.mark.parametrize("colors", [8, 16, 64])
def test_palette_has_as_many_colors_as_asked(noise_picture, colors) -> None:
    result = degrade_by(noise_picture, "color quantization", colors)
    assert colors * 0.8 <= len(np.unique(result.reshape(-1, 3), axis=0)) <= colors


def test_palette_of_few_colors_is_exact() -> None:
    image = np.zeros((32, 32, 3), dtype=np.uint8)
    image[:, 8:] = (200, 30, 40)
    image[20:] = (10, 240, 90)
    np.testing.assert_array_equal(degrade(image, "color quantization", 5), image)


def test_compression_is_coarser_than_the_picture(noise_picture) -> None:
    smooth = ndimage.gaussian_filter(noise_picture, (3, 3, 0))
    for type in ("jpeg", "jpeg2000"):
        assert 0 < np.abs(unit_noise(degrade(smooth, type, 1), smooth)).mean() < 0.03


def test_jpeg_blocks_show() -> None:
    """At quality 4 steps at the borders of 8×8 blocks exceed those inside."""
    noise = np.random.default_rng(3).normal(0, 60, (128, 128, 3))
    smooth = np.clip(128 + 6 * ndimage.gaussian_filter(noise, (5, 5, 0)), 0, 255).astype(np.uint8)
    steps = np.abs(np.diff(degrade(smooth, "jpeg", 5)[..., 1].astype(float), axis=1)).mean(axis=0)
    assert steps[7::8].mean() > 3 * np.delete(steps, np.s_[7::8]).mean()


@pytest.mark.parametrize("level", [1, 3, 5])
def test_white_noise_has_its_variance(level) -> None:
    variance = (0.001, 0.002, 0.003, 0.005, 0.01)[level - 1]
    noise = unit_noise(degrade(GREY, "white noise", level, 2), GREY)
    assert noise.var() == pytest.approx(variance, rel=0.03)
    assert np.abs(np.corrcoef(noise.reshape(-1, 3).T) - np.eye(3)).max() < 0.02


def test_color_component_noise_has_its_variance_in_ycbcr() -> None:
    noise = unit_noise(degrade(GREY, "white noise color component", 5, 2), GREY)
    luminance = noise @ (0.257, 0.504, 0.098)  # BT.601, studio range
    blue = noise @ (-0.148, -0.291, 0.439)
    assert luminance.var() == pytest.approx(0.003, rel=0.05)
    assert blue.var() == pytest.approx(0.003, rel=0.05)


def test_multiplicative_noise_grows_with_the_signal() -> None:
    dark, light = np.full_like(GREY, 40), np.full_like(GREY, 120)
    deviations = [unit_noise(degrade(image, "multiplicative noise", 2, 0), image).std() for image in (dark, light)]
    assert deviations[1] / deviations[0] == pytest.approx(3, rel=0.03)
    assert deviations[1] == pytest.approx(120 / 255 * 0.005**0.5, rel=0.03)


def test_impulse_noise_has_its_density() -> None:
    result = degrade(GREY, "impulse noise", 5, 0)
    assert (result != GREY).mean() == pytest.approx(0.03, rel=0.05)
    assert set(np.unique(result)) == {0, 128, 255}
    assert (result == 255).sum() == pytest.approx((result == 0).sum(), rel=0.1)


def test_denoising_leaves_less_noise_and_less_texture() -> None:
    residue = unit_noise(degrade(GREY, "denoise", 5, 0), GREY)
    assert residue.std() < 0.25 * 0.1
    texture = np.where(np.indices((128, 128)).sum(0)[..., None] % 2, 118, 138).repeat(3, axis=2).astype(np.uint8)
    assert degrade(texture, "denoise", 5, 0).std() < 0.5 * texture.std()


def test_tone_curves_are_monotone_and_point_the_right_way() -> None:
    ramp = RAMP[0, :, 0].astype(int)
    for level in range(1, 6):
        brighter, darker = (degrade(RAMP, type, level)[0, :, 0].astype(int) for type in ("brighten", "darken"))
        assert (np.diff(brighter) >= 0).all()
        assert (np.diff(darker) >= 0).all()
        assert (brighter >= ramp).all()
        assert (darker <= ramp).all()
        shifted = degrade(RAMP, "mean shift", level)[0, :, 0]
        shift = (0.15, 0.08, 0, -0.08, -0.15)[level - 1]
        np.testing.assert_array_equal(shifted, np.clip(np.rint(ramp + 255 * shift), 0, 255))


@pytest.mark.parametrize("mean", [30, 128, 220])
@pytest.mark.parametrize("amount", [-0.9, -0.6, -0.15, 0.3, 0.9])
def test_contrast_curve_is_monotone_around_the_mean(mean, amount) -> None:
    image = np.full((64, 256, 3), mean, dtype=np.uint8)
    image[0] = RAMP[0]
    curve = degrade_by(image, "contrast change", amount)[0, :, 0].astype(int)
    assert (np.diff(curve) >= 0).all()
    assert (curve[0], curve[255]) == (0, 255)
    pivot = round(image.mean())
    assert abs(curve[pivot] - pivot) <= 3  # the mean lies between two values
    assert (curve[pivot + 16] - curve[pivot - 16] > 32) == (amount > 0)


def test_jitter_scatters_by_its_amount() -> None:
    """The picture x ↦ x carries the position each pixel came from: five warps add variances."""
    result = degrade(RAMP.repeat(4, axis=0), "jitter", 5, 0)[:, 40:-40, 0].astype(float)
    # Neighbours are averaged on the way (bilinear), which takes out part of the later moves.
    assert 1.0 < (result - np.arange(40, 216)).std() < 5**0.5


def test_jitter_in_tiles_has_no_seams(monkeypatch) -> None:
    monkeypatch.setattr(spatials, "_TILE_PX", 16)
    smooth = np.tile(np.linspace(0, 255, 80).round().astype(np.uint8)[:, None, None], (1, 60, 3))
    error = np.abs(degrade(smooth, "jitter", 5, 0).astype(float) - smooth)[8:-8]
    assert error.max() < 40
    assert error[7::16].mean() == pytest.approx(error.mean(), rel=0.25)


def test_longer_than_opencv_can_remap() -> None:
    image = np.zeros((16, 33_000, 3), dtype=np.uint8)
    assert degrade(image, "jitter", 1).shape == image.shape


def test_patches_are_copies_of_the_neighbourhood(noise_picture) -> None:
    result = degrade_by(noise_picture, "non-eccentricity patch", 1, 4)
    rows, columns = np.nonzero((result != noise_picture).any(axis=2))
    top, left = rows.min(), columns.min()
    assert (rows.max() - top, columns.max() - left) == (15, 15)
    patch = result[top : top + 16, left : left + 16]
    moves = [
        (dy, dx)
        for dy, dx in itertools.product(range(-20, 21), repeat=2)
        if top + dy >= 0
        and left + dx >= 0
        and np.array_equal(patch, noise_picture[top + dy : top + dy + 16, left + dx : left + dx + 16])
    ]
    assert len(moves) == 1
    assert np.hypot(*moves[0]) == pytest.approx(16, abs=1)


def test_pixelate_repeats_rows_and_columns(noise_picture) -> None:
    result = degrade(noise_picture, "pixelate", 5)
    share = 0.95 - 0.5**0.6
    assert len(np.unique(result.reshape(96, -1), axis=0)) == round(96 * share)
    assert len(np.unique(result.transpose(1, 0, 2).reshape(128, -1), axis=0)) == round(128 * share)


@pytest.mark.parametrize("levels", [1, 2, 7, 20])
def test_quantization_leaves_its_number_of_values(noise_picture, levels) -> None:
    assert len(np.unique(degrade_by(noise_picture, "quantization", levels))) == levels


def test_quantization_levels_are_optimal() -> None:
    values = np.random.default_rng(1).choice(256, 12, replace=False).repeat(np.arange(1, 13))
    histogram = np.bincount(values, minlength=256).astype(float)
    table = spatials._least_squares_levels(histogram, 3)
    used = np.unique(values)

    def error(cuts: tuple[int, ...]) -> float:
        parts = np.split(np.sort(values), np.searchsorted(np.sort(values), used[list(cuts)]))
        return sum(((part - part.mean()) ** 2).sum() for part in parts)

    best = min(error(cuts) for cuts in itertools.combinations(range(1, len(used)), 2))
    reached = ((values - table[values].astype(float)) ** 2).sum()
    assert reached == pytest.approx(best, abs=0.25 * len(values))  # levels are rounded to 8 bits


def test_color_blocks_are_flat_and_32_px_wide() -> None:
    changed = (degrade_by(GREY, "color block", 1, 3) != GREY).any(axis=2)
    rows, columns = np.nonzero(changed)
    assert changed.sum() == 32 * 32
    assert (np.ptp(rows), np.ptp(columns)) == (31, 31)


def test_sharpening_overshoots_at_edges_only() -> None:
    image = np.full((64, 64, 3), 100, dtype=np.uint8)
    image[:, 32:] = 150
    result = degrade(image, "high sharpen", 1)
    assert result.max() > 160
    assert result.min() < 90
    np.testing.assert_array_equal(result[:, :20], image[:, :20])
