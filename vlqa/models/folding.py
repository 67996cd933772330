"""Convolutions that hold their batch norm: a pass over memory less for each, and half the activations at a time."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

_WORTH_PIXELS = 2**18
"""Pixels of a picture from which folding a ResNet-50's weights, some 20 ms a call on a CPU, is won back."""


def normed(conv: Any, norm: Any, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c2 h2 w2"]:
    """`norm(conv(x))`; by one convolution that holds both where nothing is learned, which saves a pass over memory."""
    plain = type(conv) is nn.Conv2d and conv.bias is None  # an adapter's layer has more than its weight
    if torch.is_grad_enabled() or norm.training or not plain or norm.running_var is None:
        return norm(conv(x))
    gain = norm.weight.float() * torch.rsqrt(norm.running_var.float() + norm.eps)
    bias = norm.bias.float() - norm.running_mean.float() * gain
    kernels = (conv.weight.float() * gain.view(-1, 1, 1, 1)).to(x.dtype)
    return F.conv2d(x, kernels, bias.to(x.dtype), conv.stride, conv.padding, conv.dilation, conv.groups)


def resnet_block(block: Any, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c2 h2 w2"]:
    """What a residual block of torchvision or of CLIP makes of activations, without gradient.

    Args:
        block: with `conv1`, `bn1` and so on, `downsample` or None, and CLIP's `avgpool` before the last convolution.
        x: activations.
    """
    *inner, last = [number for number in (1, 2, 3) if hasattr(block, f"conv{number}")]
    residual = x
    for number in inner:
        residual = _convolved(block, number, residual).relu_()
    if hasattr(block, "avgpool"):
        residual = block.avgpool(residual)
    residual = _convolved(block, last, residual)
    if block.downsample is not None:
        *pools, conv, norm = block.downsample
        for pool in pools:
            x = pool(x)
        x = normed(conv, norm, x)
    residual += x
    return residual.relu_()


def forward_clip_resnet(tower: Any, images: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "n d"]:
    """The features `tower(images)` gives, of one of CLIP's ResNets; faster where the pictures are worth it.

    Args:
        tower: open_clip's ModifiedResNet.
        images: normalised.

    Returns:
        Features as the tower gives them, not unit length.
    """
    if not worth_folding(tower, images):
        return tower(images)
    x = images
    for number in (1, 2, 3):
        x = _convolved(tower, number, x).relu_()
    x = tower.avgpool(x)
    for stage in (tower.layer1, tower.layer2, tower.layer3, tower.layer4):
        for block in stage:
            x = resnet_block(block, x)
    return tower.attnpool(x)


def worth_folding(net: nn.Module, images: Tensor) -> bool:
    """Whether a ResNet runs faster with folded weights, by the pictures' size alone; never while it learns."""
    learns = net.training or torch.is_grad_enabled()
    return not learns and images.shape[-2] * images.shape[-1] >= _WORTH_PIXELS


def _convolved(module: Any, number: int, x: Tensor) -> Tensor:
    return normed(getattr(module, f"conv{number}"), getattr(module, f"bn{number}"), x)
