"""Cosine similarity between pictures and sentences, and the probabilities read from it."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor


def unit(x: Float[Tensor, "*n d"]) -> Float[Tensor, "*n d"]:
    """Scale vectors to length 1.

    A zero vector stays zero and has a finite gradient. Half precision is raised to float32: a length summed over
    hundreds of bf16 squares is wrong in the third digit, which a logit scale of 100 makes visible.

    Args:
        x: vectors along the last axis.

    Returns:
        float32 (float64 for float64 input) vectors of length 1 or 0.
    """
    x = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
    squared = x.square().sum(dim=-1, keepdim=True)
    length = torch.where(squared > 0, squared, 1.0).sqrt()  # the root's gradient at 0 is infinite
    return x / length


def cosine_logits(
    image_features: Float[Tensor, "n d"], text_features: Float[Tensor, "k d"], logit_scale: float | Tensor
) -> Float[Tensor, "n k"]:
    """Scaled cosine similarity of each image with each text (CLIP, arXiv 2103.00020, figure 3).

    Args:
        image_features: rows of length 1, one an image; a mean of such rows gives the mean of their logits.
        text_features: rows of length 1, one a text.
        logit_scale: inverse temperature, dimensionless (100 for OpenAI CLIP).

    Returns:
        Logits in [−logit_scale, logit_scale].
    """
    return logit_scale * (image_features @ text_features.T)


def label_probability(
    image_features: Float[Tensor, "n d"], text_features: Float[Tensor, "k d"], logit_scale: float | Tensor
) -> Float[Tensor, "n k"]:
    """Probability of each of k labels that exclude each other: softmax over `cosine_logits`.

    Args:
        image_features: rows of length 1, one an image.
        text_features: rows of length 1, one a label.
        logit_scale: inverse temperature, dimensionless.

    Returns:
        Probabilities in [0, 1]; rows sum to 1.
    """
    return cosine_logits(image_features, text_features, logit_scale).softmax(dim=-1)


def antonym_probability(
    image_features: Float[Tensor, "n d"], anchors: Float[Tensor, "k 2 d"], logit_scale: float | Tensor
) -> Float[Tensor, "n k"]:
    """Probability that each image matches the positive prompt of each antonym pair.

    Softmax over the two prompts of a pair (CLIP-IQA, arXiv 2207.12396, eq. 2).

    Args:
        image_features: rows of length 1, one an image.
        anchors: unit-length text features; index 0 of axis 1 is the positive prompt.
        logit_scale: inverse temperature, dimensionless (100 for OpenAI CLIP).

    Returns:
        Probabilities in [0, 1], higher is better.
    """
    logits = cosine_logits(image_features, anchors.flatten(0, 1), logit_scale)
    return logits.reshape(len(logits), len(anchors), 2).softmax(dim=-1)[..., 0]
