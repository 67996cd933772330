"""Sentences as anchors of a run, and GRepQ's loss between the best and the worst of a batch that they tell apart."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from vlqa.functional.contrastive import group_contrastive
from vlqa.functional.similarity import antonym_probability, unit
from vlqa.models.clip_backbone import ClipBackbone
from vlqa.prompts import PromptSet


class Sentences(nn.Module):
    """Text features of fixed sentences, computed once where the text tower is not trained.

    Args:
        backbone: whose text tower is used.
        prompts: the sentences.
    """

    tokens: Tensor

    def __init__(self, backbone: ClipBackbone, prompts: PromptSet) -> None:
        super().__init__()
        self._backbone = [backbone]  # not a submodule: its weights belong to the objective
        self.register_buffer("tokens", backbone.tokenizer(list(prompts.texts)), persistent=False)
        self._known: Tensor | None = None

    def forward(self) -> Float[Tensor, "k d"]:
        """Rows of length 1."""
        (backbone,) = self._backbone
        if any(parameter.requires_grad for parameter in backbone.text.parameters()):
            return unit(backbone.encode_tokens(self.tokens))
        if self._known is None:
            with torch.no_grad():
                self._known = unit(backbone.encode_tokens(self.tokens))
        return self._known.to(self.tokens.device)


class GroupContrast(nn.Module):
    """GRepQ's high-level loss (arXiv 2312.04838, §3.2): prompts tell the best and worst of a batch, a head contrasts.

    Args:
        sentences: one pair of opposite sentences.
        temperature: of its similarities: p = softmax of cosine / temperature.
        dim: width of the image features.
        share: of the batch that each of the two groups takes; at least two pictures.
        width: of the head, which is thrown away after training.
        contrast: τ of the contrast.
    """

    def __init__(
        self, sentences: Sentences, temperature: float, dim: int, *, share: float, width: int, contrast: float
    ) -> None:
        super().__init__()
        self.sentences = sentences
        self.temperature = temperature
        self.head = nn.Sequential(nn.Linear(dim, width), nn.ReLU())
        self.share = share
        self.contrast = contrast

    def forward(self, features: Float[Tensor, "n d"]) -> Float[Tensor, ""]:
        """Loss of the features of a whole batch."""
        with torch.no_grad():
            anchors = self.sentences().reshape(1, 2, -1)
            quality = antonym_probability(unit(features), anchors, 1 / self.temperature)[:, 0]
        group = max(2, min(round(self.share * len(features)), len(features) // 2))
        return group_contrastive(self.head(features.float()), quality, group, self.contrast)
