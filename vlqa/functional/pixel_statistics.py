"""What can be counted in the pixels themselves: grey levels and colours, the spectrum, and the finest residual.

A convolution that is pooled by mean and deviation hears little of these: missing grey levels tell a stretched contrast,
the shape of the spectrum one blur from another, the colour of the noise one noise from another.
"""

from __future__ import annotations

import functools
import math

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

_GREYS = 256
_COARSE = 16
_QUANTILES = (1e-6, 0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99, 1 - 1e-6)
_DIFFERENCES = (-96, -64, -40, -24, -12, -4, 4, 12, 24, 40, 64, 96)  # bounds of bins of R − G and B − G
_CHROMAS = (1, 4, 8, 16, 32, 64, 128)  # bounds of bins of the largest minus the smallest channel
_BANDS = 20
_SECTORS = 3
_STEP = 2  # of the pixels that are counted: a quarter of them tells the same
_SMALL = 0.5 / 255 / 6  # half of the smallest residual that is not 0
_LUMA = (0.299, 0.587, 0.114)

_GREY_WIDTH = 4 * (_COARSE + len(_QUANTILES) + 6)
_COLOUR_WIDTH = 2 * (len(_DIFFERENCES) + 1) + len(_CHROMAS) + 1
_SPECTRUM_WIDTH = (_BANDS + 1) * (_SECTORS + 1)
_RESIDUAL_WIDTH = 2 * 8 + 2

WIDTH = _GREY_WIDTH + _COLOUR_WIDTH + _SPECTRUM_WIDTH + _RESIDUAL_WIDTH
"""Statistics a picture."""

VERSION = 1
"""Of what is counted; another one makes other numbers of the same picture."""


@torch.no_grad()
def pixel_statistics(images: Tensor) -> Float[Tensor, "n width"]:
    """Statistics of pictures of any size, float32 of the order of 1, without gradient.

    Args:
        images: (n, 3, h, w), uint8 or float in [0, 1], sRGB.
    """
    values = images.float() if images.dtype == torch.uint8 else images.float().mul(255).round().clamp_(0, 255)
    luma = (values * values.new_tensor(_LUMA).view(3, 1, 1)).sum(dim=1, keepdim=True)
    counted = torch.cat([values, luma.round()], dim=1)[:, :, ::_STEP, ::_STEP].long()
    return torch.cat([_greys(counted), _colours(counted), _spectrum(luma[:, 0] / 255), _residual(values / 255)], dim=1)


def _counts(values: Tensor, bins: int) -> Float[Tensor, "k bins"]:
    """Shares of the integers 0 … bins − 1 in each row."""
    return _sums(values, bins).float() / values.shape[1]


def _sums(values: Tensor, bins: int, weights: Tensor | None = None) -> Tensor:
    """How often each of the integers 0 … bins − 1 stands in each row, or the sum of its weights."""
    rows = torch.arange(len(values), device=values.device).unsqueeze(1) * bins
    # bincount takes a thirtieth of index_add's time on a CPU
    counts = torch.bincount(
        (values + rows).flatten(), None if weights is None else weights.flatten(), minlength=len(values) * bins
    )
    return counts.view(len(values), bins)


def _greys(counted: Tensor) -> Tensor:
    """Of R, G, B and luma: coarse histogram, quantiles, levels that are missing between others, and clipped ones."""
    shares = _counts(counted.flatten(0, 1).flatten(1), _GREYS)
    coarse = shares.view(-1, _COARSE, _GREYS // _COARSE).sum(dim=2).sqrt()
    levels = shares.new_tensor(_QUANTILES).view(1, -1, 1)
    quantiles = (shares.cumsum(dim=1).unsqueeze(1) < levels).sum(dim=2) / (_GREYS - 1)
    grey = torch.arange(_GREYS, device=shares.device) / (_GREYS - 1)
    inside = (grey >= quantiles[:, 1:2]) & (grey <= quantiles[:, -2:-1])
    missing = ((shares == 0) & inside).sum(dim=1) / inside.sum(dim=1)
    rough = (shares.diff(n=2, dim=1).abs() * (inside[:, :-2] & inside[:, 2:])).sum(dim=1)
    clipped = shares[:, [0, 1, -2, -1]].sqrt()
    told = torch.cat([coarse, quantiles, missing.unsqueeze(1), rough.unsqueeze(1), clipped], dim=1)
    return told.view(len(counted), -1)


def _colours(counted: Tensor) -> Tensor:
    """Histograms of R − G, of B − G and of the chroma."""
    red, green, blue = (channel.flatten(1) for channel in counted[:, :3].unbind(dim=1))
    chroma = torch.maximum(torch.maximum(red, green), blue) - torch.minimum(torch.minimum(red, green), blue)
    told = []
    for values, lowest, bounds in (
        (red - green, 1 - _GREYS, _DIFFERENCES),
        (blue - green, 1 - _GREYS, _DIFFERENCES),
        (chroma, 0, _CHROMAS),
    ):
        below = _counts(values - lowest, _GREYS - lowest).cumsum(dim=1)[:, [bound - lowest - 1 for bound in bounds]]
        told.append(F.pad(F.pad(below, (1, 0)), (0, 1), value=1.0).diff(dim=1).clamp_min(0).sqrt())
    return torch.cat(told, dim=1)


def _spectrum(luma: Tensor) -> Tensor:
    """Logarithm of the power in bands from 0 to half a cycle a pixel, and how it differs between three directions."""
    height, width = luma.shape[-2:]
    cells, sizes = _cells(height, width, luma.device)
    down, across = (torch.hann_window(side, periodic=False, device=luma.device) for side in (height, width))
    seen = (luma - luma.mean(dim=(1, 2), keepdim=True)) * down.unsqueeze(1) * across
    power = torch.view_as_real(torch.fft.rfft2(seen)).square().sum(dim=-1)
    summed = _sums(cells.expand(len(luma), -1), len(sizes), power.flatten(1))
    scale = (down.square().sum() * across.square().sum()).clamp_min(1e-5)
    level = (summed / sizes.clamp_min(1) / scale + 1e-9).log().view(len(luma), _BANDS + 1, _SECTORS)
    there = (sizes > 0).view(_BANDS + 1, _SECTORS)  # small pictures have not all of them
    mean = (level * there).sum(dim=2, keepdim=True) / there.sum(dim=1, keepdim=True).clamp_min(1)
    return torch.cat([mean[:, :, 0], ((level - mean) * there).flatten(1)], dim=1)


@functools.lru_cache(maxsize=8)
def _cells(height: int, width: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """The cell of each frequency, and the number of frequencies in each cell."""
    rows, columns = torch.fft.fftfreq(height).abs().unsqueeze(1), torch.fft.rfftfreq(width).unsqueeze(0)
    band = ((rows.square() + columns.square()).sqrt() * 2 * _BANDS).long().clamp_max(_BANDS)
    sector = (torch.atan2(columns, rows) / (math.pi / 2) * _SECTORS).long().clamp_max(_SECTORS - 1)
    cells = (band * _SECTORS + sector).flatten()
    sizes = torch.bincount(cells, minlength=(_BANDS + 1) * _SECTORS)
    return cells.int().to(device), sizes.float().to(device)


def _residual(values: Tensor) -> Tensor:
    """Second differences both ways, everywhere and where they are small: strength, colour, peaks, and flatness."""
    if min(values.shape[-2:]) > 2:
        rows = values[..., :-2:_STEP, :] - 2 * values[..., 1:-1:_STEP, :] + values[..., 2::_STEP, :]
        fine = rows.diff(n=2, dim=-1).flatten(2) / 6
    else:
        fine = values.new_zeros(*values.shape[:2], 1)
    red, green, blue = fine.unbind(dim=1)
    products = torch.stack([red * red, green * green, blue * blue, red * green, red * blue, green * blue], dim=1)
    size = red.abs() + green.abs() + blue.abs()
    flat = (size <= size.mean(dim=1, keepdim=True) * (1 + 1e-5)).to(size)  # all of a regular pattern
    peaks = products[:, :3].sum(dim=1).square().mean(dim=1)
    told = []
    of_flat = (products * flat.unsqueeze(1)).sum(dim=2) / flat.sum(dim=1, keepdim=True)
    for covariance in (products.mean(dim=2), of_flat):
        r, g, b = (covariance[:, :3].clamp_min(0).sqrt() + _SMALL).unbind(dim=1)
        told += [r.log(), g.log(), b.log(), 4 * (r / g).log(), 4 * (b / g).log()]
        told += [covariance[:, 3] / (r * g), covariance[:, 4] / (r * b), covariance[:, 5] / (g * b)]
    variance = products[:, :3].mean(dim=2).sum(dim=1) + _SMALL**2
    told += [(peaks / variance.square() + _SMALL).log(), (flat.mean(dim=1) + _SMALL).log()]
    return torch.stack(told, dim=1)
