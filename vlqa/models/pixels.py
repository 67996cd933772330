"""Pixels → what a network was trained on."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor


def normalize(
    images: Tensor, mean: Float[Tensor, "3 1 1"], std: Float[Tensor, "3 1 1"], like: Tensor
) -> Float[Tensor, "n 3 h w"]:
    """(x − mean) / std, in float32 and then in the precision of the weights.

    Args:
        images: (n, 3, h, w), uint8 or float in [0, 1].
        mean: of the channels, in [0, 1].
        std: of the channels.
        like: a weight of the network: its device and dtype are those of the result.
    """
    unit = 255.0 if images.dtype == torch.uint8 else 1.0
    pictures = images.to(like.device, torch.float32)
    pictures = pictures * (1 / (std.float() * unit))
    pictures -= mean.float() / std.float()  # in place: one copy less of a picture at native size
    return pictures.to(like.dtype)
