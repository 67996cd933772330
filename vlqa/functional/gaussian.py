"""Distance between Gaussians fitted to features, and the blind quality read from it (GRepQ, arXiv 2312.04838).

All in float64: a covariance of 128 features from a few patches is singular, and float32 loses the distance's digits.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor


def mean_covariance(features: Float[Tensor, "n d"]) -> tuple[Float[Tensor, " d"], Float[Tensor, "d d"]]:
    """Mean and covariance of feature vectors.

    Args:
        features: n ≥ 1 rows.

    Returns:
        float64 mean, and covariance divided by n − 1: symmetric, of rank below n, and all 0 for a single row.

    Raises:
        ValueError: there are no rows.
    """
    if not len(features):
        raise ValueError("a mean needs one feature vector or more, got none")
    features = features.double()
    mean = features.mean(dim=0)
    centred = features - mean
    return mean, centred.T @ centred / max(len(features) - 1, 1)


def gaussian_distance(
    mean: Float[Tensor, "*#b d"],
    covariance: Float[Tensor, "*#b d d"],
    other_mean: Float[Tensor, "*#b d"],
    other_covariance: Float[Tensor, "*#b d d"],
    ridge: float = 1e-3,
) -> Float[Tensor, "*b"]:
    """Distance d between two Gaussians: d² = (μ−μ')ᵀ((Σ+Σ')/2 + ridge·I)⁻¹(μ−μ') (GRepQ, arXiv 2312.04838).

    NIQE's distance (Mittal et al. 2013, eq. 10) with a ridge in place of a pseudo-inverse, so that singular
    covariances, of fewer patches than features or of one patch, need nothing else. Symmetric in its two Gaussians.

    Args:
        mean: of the pristine Gaussian.
        covariance: of the pristine Gaussian.
        other_mean: of the test Gaussian, or of several along leading axes; these broadcast.
        other_covariance: of the test Gaussian or Gaussians.
        ridge: added to each variance, in squared units of the features; > 0 where the covariances may be singular.

    Returns:
        float64 distance ≥ 0, one for each test Gaussian; 0 where the means agree.
    """
    difference = mean.double() - other_mean.double()
    spread = (covariance.double() + other_covariance.double()) / 2
    spread.diagonal(dim1=-2, dim2=-1).add_(ridge)
    factor, failed = torch.linalg.cholesky_ex(spread)  # half the operations of a solution by LU
    if failed.any():  # without a ridge, by rounding
        solved = torch.linalg.solve(spread, difference.unsqueeze(-1)).squeeze(-1)
        return (difference * solved).sum(dim=-1).clamp_min(0).sqrt()
    return torch.linalg.solve_triangular(factor, difference.unsqueeze(-1), upper=False).squeeze(-1).norm(dim=-1)


def grepq_low_quality(distance: Float[Tensor, "*b"]) -> Float[Tensor, "*b"]:
    """Quality 1 − σ(d/100) of a distance from pristine features (GRepQ, arXiv 2312.04838, low-level q).

    Args:
        distance: d ≥ 0 from `gaussian_distance`.

    Returns:
        Quality in [0, ½], higher is better; ½ at a distance of 0.
    """
    return torch.sigmoid(-distance / 100)  # 1 − σ(x), without the rounding to 0 of a far distance
