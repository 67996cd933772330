"""FSIMc against piq 0.8.0 (`piq.fsim(…, chromatic=True)`), whose figures for reproducible pictures stand here."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.synthetic import picture
from vlqa.functional.fsim import fsim_matrix, phase_congruency

# upper triangles, row by row, of the matrix over the five versions below
PIQ = {
    (200, 256, 1): [
        *(0.85867189, 0.92838328, 0.62271753, 0.7530698, 0.88249471),
        *(0.50085263, 0.75388845, 0.49902271, 0.7286083, 0.51367567),
    ],
    (255, 301, 2): [
        *(0.90595229, 0.93103866, 0.59777563, 0.77614227, 0.91570999),
        *(0.48299589, 0.75195589, 0.47637873, 0.75222497, 0.55075069),
    ],
    (600, 520, 3): [
        *(0.98244779, 0.89457983, 0.88006717, 0.74187656, 0.89393076),
        *(0.86549808, 0.74038043, 0.75716241, 0.71479292, 0.70832609),
    ],
}


def versions(height: int, width: int, seed: int) -> Tensor:
    """A picture; blurred; at half its brightness; with noise; and another picture."""
    image, other = (
        torch.from_numpy(picture(height, width, s)).permute(2, 0, 1).double() / 255 for s in (seed, seed + 1)
    )
    blurred = torch.nn.functional.avg_pool2d(image[None], 5, 1, 2)[0]
    noise = 0.1 * torch.from_numpy(np.random.default_rng(seed).normal(size=image.shape))
    return torch.stack([image, blurred, image * 0.5, (image + noise).clamp(0, 1), other])


@pytest.mark.parametrize("key", PIQ)
def test_every_pair_equals_piq(key: tuple[int, int, int]) -> None:
    matrix = fsim_matrix(versions(*key))
    rows, columns = np.triu_indices(5, 1)
    np.testing.assert_allclose(matrix[rows, columns], PIQ[key], atol=2e-4)
    assert torch.equal(matrix, matrix.T) and bool((matrix.diagonal() == 1).all())


def test_single_precision_is_near() -> None:
    exact = versions(120, 160, 4)
    np.testing.assert_allclose(fsim_matrix(exact.float()), fsim_matrix(exact), atol=1e-3)


def test_plain_pictures_are_alike_as_far_as_their_colours_are() -> None:
    plain = torch.full((3, 3, 64, 64), 0.5)
    plain[2, 0] = 0.9
    matrix = fsim_matrix(plain)
    assert float(matrix[0, 1]) == pytest.approx(1) and 0.5 < float(matrix[0, 2]) < 1


def test_phase_congruency_is_high_at_edges_of_any_contrast() -> None:
    step = torch.zeros(2, 64, 64)
    step[0, :, 32:], step[1, :, 32:] = 200, 20
    strong, weak = phase_congruency(step)
    assert float(strong[32, 31:33].max()) > 0.6
    assert float(strong[32, 31:33].max()) == pytest.approx(float(weak[32, 31:33].max()), abs=0.05)
    assert not phase_congruency(torch.full((1, 32, 32), 80.0)).any()
