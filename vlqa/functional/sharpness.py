"""Which patches of a photograph show it at its best: the sharp and the colourful ones (GRepQ, arXiv 2312.04838)."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn.functional import conv2d, pad

_LUMA = (0.2989, 0.587, 0.114)
"""ITU-R BT.601 as torchvision's Grayscale rounds it, which the reference uses."""

_WINDOW_PX = 7
_WINDOW_SIGMA_PX = 7 / 6


def patch_sharpness(patches: Float[Tensor, "p 3 h w"]) -> Float[Tensor, " p"]:
    """Sum over pixels of the local standard deviation of the grey patch (GRepQ, arXiv 2312.04838; NIQE, eq. 3 and 5).

    The local window is a 7×7 Gaussian with σ = 7/6 px. A border pixel is repeated beyond the border, as in NIQE. The
    reference (GRepQ 61dd615, zeroshot_ll_model.py) pads with zeros: there the frame of a bright patch counts as
    sharp, and a plain grey one of 96×96 px is "sharper" than half of a photograph's patches.

    Args:
        patches: RGB in [0, 1].

    Returns:
        Sharpness ≥ 0 in units of grey value times pixels; 0 for a plain patch. It grows with the patch's area.
    """
    patches = _exact(patches)
    grey = (patches * patches.new_tensor(_LUMA).reshape(1, 3, 1, 1)).sum(dim=1, keepdim=True)
    if not grey.numel():
        return grey.sum(dim=(1, 2, 3))
    # a deviation does not change with the mean, and E[x²] − E[x]² of small numbers loses fewer digits
    grey = grey - grey.mean(dim=(2, 3), keepdim=True)
    variance = _blurred(grey.square()) - _blurred(grey).square()
    return variance.clamp_min(0).sqrt().sum(dim=(1, 2, 3))


def patch_colorfulness(patches: Float[Tensor, "p 3 h w"]) -> Float[Tensor, " p"]:
    """Colourfulness √(σ_rg² + σ_yb²) + √(μ_rg² + μ_yb²) (GRepQ, arXiv 2312.04838; cf. Hasler and Süsstrunk 2003, M1).

    rg = |R − G| and yb = |½(R + G) − B| of each pixel; σ are unbiased standard deviations over the patch, μ means.
    Hasler and Süsstrunk take the differences with their sign; GRepQ takes the absolute values.

    Args:
        patches: RGB in [0, 1], two pixels or more each.

    Returns:
        Colourfulness ≥ 0 in units of colour value; 0 for a grey patch.
    """
    red, green, blue = _exact(patches).flatten(2).unbind(dim=1)
    opponents = torch.stack([(red - green).abs(), (0.5 * (red + green) - blue).abs()])
    deviation, mean = opponents.std(dim=-1), opponents.mean(dim=-1)
    return deviation.square().sum(dim=0).sqrt() + mean.square().sum(dim=0).sqrt()


def select_pristine(
    patches: Float[Tensor, "p 3 h w"], sharpness_share: float = 0.75, colorfulness_share: float = 0.80
) -> Bool[Tensor, " p"]:
    """Which patches of one photograph stand for undamaged ones (GRepQ, arXiv 2312.04838).

    Those sharper than a share of the sharpest; among these, those more colourful than a share of the most colourful.

    Args:
        patches: RGB in [0, 1], all of one photograph.
        sharpness_share: in [0, 1], of the largest sharpness.
        colorfulness_share: in [0, 1], of the largest colourfulness among the sharp patches.

    Returns:
        True for a patch that is taken. Of one patch or more at least one is: where no patch exceeds the share, as in a
        plain or grey photograph, those that equal the maximum.
    """
    if not len(patches):
        return torch.zeros(0, dtype=torch.bool, device=patches.device)
    taken = _near_best(patch_sharpness(patches), sharpness_share)
    colorful = _near_best(patch_colorfulness(patches[taken]), colorfulness_share)
    taken[taken.clone()] = colorful
    return taken


def _near_best(values: Float[Tensor, " p"], share: float) -> Bool[Tensor, " p"]:
    best = values.max()
    near = values > share * best
    return near if near.any() else values == best


def _blurred(x: Float[Tensor, "p 1 h w"]) -> Float[Tensor, "p 1 h w"]:
    offsets = torch.arange(_WINDOW_PX, dtype=x.dtype, device=x.device) - _WINDOW_PX // 2
    window = torch.exp(-(offsets**2) / (2 * _WINDOW_SIGMA_PX**2))
    window = window / window.sum()
    x = pad(x, [_WINDOW_PX // 2] * 4, mode="replicate")
    return conv2d(conv2d(x, window.reshape(1, 1, 1, -1)), window.reshape(1, 1, -1, 1))


def _exact(x: Tensor) -> Tensor:
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
