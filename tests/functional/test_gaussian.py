from __future__ import annotations

import numpy as np
import pytest
import torch

from vlqa.functional.gaussian import gaussian_distance, grepq_low_quality, mean_covariance


def test_mean_and_covariance_are_those_of_numpy() -> None:
    features = torch.randn(30, 5)
    mean, covariance = mean_covariance(features)
    assert mean.dtype == covariance.dtype == torch.float64
    np.testing.assert_allclose(mean, features.double().numpy().mean(0))
    np.testing.assert_allclose(covariance, np.cov(features.double().numpy(), rowvar=False))


def test_one_vector_has_no_spread_and_none_no_mean() -> None:
    mean, covariance = mean_covariance(torch.ones(1, 3))
    assert mean.tolist() == [1, 1, 1] and not covariance.any()
    with pytest.raises(ValueError, match="got none"):
        mean_covariance(torch.ones(0, 3))


def test_distance_equals_its_formula_and_grows_with_the_means() -> None:
    numbers = np.random.default_rng(0)
    a, b = numbers.normal(size=(20, 4)), numbers.normal(1, 2, size=(9, 4))
    one, other = mean_covariance(torch.from_numpy(a)), mean_covariance(torch.from_numpy(b))
    spread = (np.cov(a, rowvar=False) + np.cov(b, rowvar=False)) / 2 + 1e-3 * np.eye(4)
    difference = a.mean(0) - b.mean(0)
    expected = np.sqrt(difference @ np.linalg.inv(spread) @ difference)
    found = gaussian_distance(*one, *other)
    assert float(found) == pytest.approx(expected, rel=1e-9)
    assert float(gaussian_distance(*other, *one)) == pytest.approx(expected, rel=1e-9)
    further = gaussian_distance(one[0], one[1], other[0] + 10, other[1])
    assert float(further) > expected


def test_singular_covariances_and_batches() -> None:
    mean, covariance = mean_covariance(torch.randn(3, 128))  # rank 2
    single = mean_covariance(torch.randn(1, 128))
    assert torch.isfinite(gaussian_distance(mean, covariance, *single))
    several = gaussian_distance(mean, covariance, torch.stack([mean, single[0]]), torch.stack([covariance, single[1]]))
    assert several.shape == (2,) and several[0] == 0 and several[1] > 0


def test_quality_falls_with_the_distance() -> None:
    quality = grepq_low_quality(torch.tensor([0.0, 1.0, 100.0, 1e4], dtype=torch.float64))
    assert quality[0] == 0.5 and bool((quality.diff() < 0).all()) and quality[-1] > 0
    assert float(quality[2]) == pytest.approx(1 - 1 / (1 + np.exp(-1)))
