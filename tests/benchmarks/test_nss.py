from __future__ import annotations

import nss
import numpy as np
import pytest
from scipy import stats

from tests.synthetic import picture
from vlqa.data.degradations import degrade


@pytest.mark.parametrize("shape", [0.6, 1.0, 2.0, 4.0])
def test_the_shape_of_a_generalised_gaussian_is_found(shape: float) -> None:
    values = stats.gennorm.rvs(shape, scale=3, size=200_000, random_state=np.random.default_rng(0))
    found, variance = nss.generalised_gaussian(values)
    assert found == pytest.approx(shape, rel=0.03)
    assert variance == pytest.approx(stats.gennorm.var(shape, scale=3), rel=0.03)


@pytest.mark.parametrize(("shape", "left", "right"), [(1.0, 1.0, 2.0), (2.0, 1.5, 1.0), (0.8, 1.0, 1.0)])
def test_both_sides_of_an_asymmetric_one_are_found(shape: float, left: float, right: float) -> None:
    generator = np.random.default_rng(1)
    sizes = np.abs(stats.gennorm.rvs(shape, size=300_000, random_state=generator))
    sizes /= np.sqrt(stats.gennorm.var(shape))
    below = generator.random(len(sizes)) < left / (left + right)
    values = np.where(below, -left * sizes, right * sizes)
    found = nss.asymmetric_gaussian(values)
    assert found[0] == pytest.approx(shape, rel=0.05)
    assert found[1] == pytest.approx(values.mean(), abs=0.02)
    assert found[2:] == pytest.approx((left**2, right**2), rel=0.05)


def test_symmetric_values_have_no_mean() -> None:
    values = np.random.default_rng(0).normal(size=100_000)
    shape, mean, left, right = nss.asymmetric_gaussian(np.concatenate([values, -values]))
    assert (mean, left) == pytest.approx((0, right))
    assert shape == pytest.approx(nss.generalised_gaussian(values)[0], rel=0.01)


def test_features_of_a_picture() -> None:
    pixels = picture(120, 160, 0)
    found = nss.features(pixels)
    assert found.shape == (nss.WIDTH,) and np.isfinite(found).all()
    np.testing.assert_array_equal(found, nss.features(pixels))
    turned = nss.features(pixels.transpose(1, 0, 2).copy())  # across and down change places
    np.testing.assert_allclose(turned[[2, 3, 4, 5]], found[[6, 7, 8, 9]], rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(turned[:2], found[:2], rtol=1e-6)


def test_a_picture_without_structure_has_numbers_too() -> None:
    assert np.isfinite(nss.features(np.full((64, 64, 3), 77, np.uint8))).all()
    np.testing.assert_allclose(nss.mscn(np.full((20, 20), 200.0)), 0, atol=1e-4)


def test_damage_moves_the_shape_as_the_paper_says() -> None:
    pixels = picture(200, 200, 3)
    noisy, blurred = (degrade(pixels, kind, 5, 0) for kind in ("white noise", "gaussian blur"))
    variance, of_noise, of_blur = (nss.features(image)[1] for image in (pixels, noisy, blurred))
    assert of_blur < variance < of_noise


def test_embed(tmp_path: object) -> None:
    assert nss.embed([]).shape == (0, 36)
