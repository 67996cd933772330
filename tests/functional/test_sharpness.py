from __future__ import annotations

import numpy as np
import torch
from scipy.ndimage import gaussian_filter

from tests.synthetic import picture
from vlqa.functional.sharpness import patch_colorfulness, patch_sharpness, select_pristine


def patches(count: int = 3, side: int = 32) -> torch.Tensor:
    pixels = np.stack([picture(side, side, seed) for seed in range(count)])
    return torch.from_numpy(pixels).permute(0, 3, 1, 2).double() / 255


def test_sharpness_is_the_sum_of_local_deviations() -> None:
    for patch in patches():
        grey = (patch * torch.tensor([0.2989, 0.587, 0.114]).view(3, 1, 1)).sum(0).numpy()
        mean = gaussian_filter(grey, 7 / 6, mode="nearest", radius=3)
        variance = gaussian_filter(grey**2, 7 / 6, mode="nearest", radius=3) - mean**2
        expected = np.sqrt(variance.clip(0)).sum()
        np.testing.assert_allclose(float(patch_sharpness(patch[None])[0]), expected, rtol=1e-6)


def test_blur_lowers_sharpness_and_a_plain_patch_has_none() -> None:
    patch = patches(1)
    blurred = torch.from_numpy(gaussian_filter(patch.numpy(), (0, 0, 2, 2)))
    assert float(patch_sharpness(blurred)) < float(patch_sharpness(patch)) / 2
    assert float(patch_sharpness(torch.full((1, 3, 32, 32), 0.7))) < 1e-3


def test_colourfulness_equals_its_formula() -> None:
    for patch in patches():
        red, green, blue = patch.numpy()
        rg, yb = np.abs(red - green), np.abs((red + green) / 2 - blue)
        expected = np.hypot(rg.std(ddof=1), yb.std(ddof=1)) + np.hypot(rg.mean(), yb.mean())
        np.testing.assert_allclose(float(patch_colorfulness(patch[None])[0]), expected, rtol=1e-6)
    assert float(patch_colorfulness(patches(1).mean(1, keepdim=True).expand(1, 3, 32, 32))) < 1e-6


def test_the_sharp_and_colourful_are_taken_and_always_one() -> None:
    sharp = patches(1)
    plain = torch.full_like(sharp, 0.5)
    grey = sharp.mean(1, keepdim=True).expand_as(sharp)
    assert select_pristine(torch.cat([plain, sharp, grey])).tolist() == [False, True, False]
    assert bool(select_pristine(torch.cat([plain, plain])).any())
    assert not len(select_pristine(sharp[:0]))
