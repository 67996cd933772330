"""Feature similarity (FSIMc) of all versions of a picture (Zhang et al., IEEE TIP 20(8), 2011).

Written here, not taken from piq: what FSIM compares, phase congruency and gradient, belongs to one picture. Computed
once a version instead of once a pair it takes an eighth of the time for nine versions.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import avg_pool2d, conv2d

_SCALES = 4
_ORIENTATIONS = 4
_SHORTEST_WAVE_PX = 6
_SCALE_STEP = 2
_BANDWIDTH = 0.55  # σ of a log-Gabor filter over its centre frequency
_ANGLE_SIGMA = math.pi / _ORIENTATIONS / 1.2
_NOISE_DEVIATIONS = 2.0
_NOISE_RESCALING = 1.7  # Kovesi: the estimate of noise is too high by this for these filters

_PHASE, _GRADIENT, _CHROMA, _CHROMA_POWER = 0.85, 160.0, 200.0, 0.03  # T1, T2, T3 = T4 and λ of the paper

_YIQ = ((0.299, 0.587, 0.114), (0.5959, -0.2746, -0.3213), (0.2115, -0.5227, 0.3112))


def fsim_matrix(versions: Float[Tensor, "v 3 h w"]) -> Float[Tensor, "v v"]:
    """FSIMc of every pair of versions of one picture.

    Of two versions, Σ S_PC·S_G·|S_I·S_Q|^0.03·PC_m / Σ PC_m over pixels (Zhang et al. 2011, eq. 3 to 10): similarity
    of phase congruency, of gradient and of chroma, weighted by the larger phase congruency. Where neither has any,
    as in a plain picture, all pixels weigh the same.

    Reduce pictures to about 256 px on the shorter side first: time grows with the area. Like the authors' code the
    function averages blocks of round(shorter/256) px, so sides beyond 384 px lose resolution in steps.

    Args:
        versions: RGB in [0, 1], all of one size.

    Returns:
        Symmetric matrix in [0, 1] with a diagonal of 1; float32 (float64 for float64 versions).
    """
    pictures = versions.float() if versions.dtype in (torch.float16, torch.bfloat16) else versions
    pictures = avg_pool2d(255 * pictures, max(1, round(min(pictures.shape[-2:]) / 256)))
    luma, in_phase, quadrature = torch.einsum("cr,vrhw->cvhw", pictures.new_tensor(_YIQ), pictures)
    phase = phase_congruency(luma)
    slope = _gradient(luma)
    matrix = torch.eye(len(versions), dtype=pictures.dtype, device=pictures.device)
    for i in range(len(versions) - 1):
        one, others = slice(i, i + 1), slice(i + 1, None)
        likeness = _likeness(phase[one], phase[others], _PHASE) * _likeness(slope[one], slope[others], _GRADIENT)
        chroma = _likeness(in_phase[one], in_phase[others], _CHROMA)
        chroma = chroma * _likeness(quadrature[one], quadrature[others], _CHROMA)
        likeness = likeness * chroma.abs() ** _CHROMA_POWER
        weight = torch.maximum(phase[one], phase[others]) + torch.finfo(phase.dtype).tiny
        matrix[i, i + 1 :] = (likeness * weight).sum(dim=(-2, -1)) / weight.sum(dim=(-2, -1))
    return torch.maximum(matrix, matrix.T)


def phase_congruency(luma: Float[Tensor, "v h w"]) -> Float[Tensor, "v h w"]:
    """How far the waves of all lengths are in step at each pixel: high at edges and lines of any contrast.

    Kovesi's measure PC₂ (Videre 1(3), 1999) with the filters and the noise threshold of FSIM's code: 4 scales, 4
    orientations, shortest wave 6 px, σ/f = 0.55.

    Args:
        luma: in [0, 255].

    Returns:
        Phase congruency in [0, 1]; 0 in a plain picture.
    """
    spectrum = torch.fft.fft2(luma - luma.mean(dim=(-2, -1), keepdim=True))  # no filter passes the mean
    energy, amplitude = torch.zeros_like(luma), torch.zeros_like(luma)
    for filters in _log_gabor(luma):
        responses = torch.fft.ifft2(spectrum.unsqueeze(1) * filters)
        strength = responses.abs()
        total = responses.sum(dim=1)
        in_step = total.abs()
        direction = total / (in_step + _tiny(luma))
        out_of_step = (responses * direction.conj().unsqueeze(1)).imag.abs().sum(dim=1)
        threshold = _noise(strength[:, 0], filters)
        energy += (in_step - out_of_step - threshold[:, None, None]).clamp_min(0)
        amplitude += strength.sum(dim=1)
    return energy / (amplitude + _tiny(luma))


def _noise(finest: Float[Tensor, "v h w"], filters: Float[Tensor, "s h w"]) -> Float[Tensor, " v"]:
    """Energy that noise alone would give: its power is read from the median response at the finest scale."""
    power = finest.flatten(1).median(dim=1).values.square() / math.log(2) / filters[0].square().sum()
    # by Parseval the sums of the reference over even filters in space are those over their symmetric parts in frequency
    mirrored = filters.flip((-2, -1)).roll((1, 1), (-2, -1))
    even = ((filters + mirrored) / 2).sum(dim=0).square().sum()
    rayleigh = (power * even).sqrt()
    deviation = rayleigh * math.sqrt(2 - math.pi / 2)
    return (rayleigh * math.sqrt(math.pi / 2) + _NOISE_DEVIATIONS * deviation) / _NOISE_RESCALING


def _log_gabor(like: Float[Tensor, "v h w"]) -> Float[Tensor, "o s h w"]:
    height, width = like.shape[-2:]
    rows, columns = (_frequencies(side, like) for side in (height, width))
    radius = (rows[:, None] ** 2 + columns**2).sqrt()
    angle = torch.atan2(-rows[:, None].expand_as(radius), columns.expand_as(radius))
    passed = 1 / (1 + (radius / 0.45) ** 30)  # no corners: they upset the normalisation
    radius[0, 0] = 1
    centres = [1 / (_SHORTEST_WAVE_PX * _SCALE_STEP**scale) for scale in range(_SCALES)]
    radial = [torch.exp(-((radius / centre).log() ** 2) / (2 * math.log(_BANDWIDTH) ** 2)) for centre in centres]
    bands = torch.stack(radial) * passed
    bands[:, 0, 0] = 0
    turns = [angle - math.pi * k / _ORIENTATIONS for k in range(_ORIENTATIONS)]
    spread = [torch.exp(-(torch.atan2(turn.sin(), turn.cos()) ** 2) / (2 * _ANGLE_SIGMA**2)) for turn in turns]
    return torch.stack(spread).unsqueeze(1) * bands


def _frequencies(side: int, like: Tensor) -> Float[Tensor, " side"]:
    # Kovesi divides by n − 1 for an odd n, so that the highest frequency is always ½
    scale = side / max(1, side - side % 2)
    return torch.fft.fftfreq(side, dtype=like.dtype, device=like.device) * scale


def _gradient(luma: Float[Tensor, "v h w"]) -> Float[Tensor, "v h w"]:
    scharr = luma.new_tensor([[3.0, 0, -3], [10, 0, -10], [3, 0, -3]]) / 16
    slopes = conv2d(luma.unsqueeze(1), torch.stack([scharr, scharr.T]).unsqueeze(1), padding=1)
    return slopes.square().sum(dim=1).sqrt()


def _likeness(a: Tensor, b: Tensor, constant: float) -> Tensor:
    return (2 * a * b + constant) / (a.square() + b.square() + constant)


def _tiny(x: Tensor) -> float:
    return torch.finfo(x.dtype).eps
