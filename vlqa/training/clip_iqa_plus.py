"""CLIP-IQA+: words around a pair of sentences, learned from opinions; the backbone stays as it is.

A loss is a mean over pictures, so that several processes give the run of one with the whole batch.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional as F

from vlqa.functional.similarity import antonym_probability, unit
from vlqa.models.clip_backbone import ClipBackbone
from vlqa.models.learned_context import LearnedContext
from vlqa.training.clip_objective import ClipObjective


class ClipIqaPlusObjective(ClipObjective):
    """CLIP-IQA+ (arXiv 2207.12396, §4.1): mean squared error of the good sentence's probability, learned by its words.

    Args:
        backbone: frozen.
        context: whose vectors are trained.
    """

    def __init__(self, backbone: ClipBackbone, context: LearnedContext) -> None:
        super().__init__(backbone.requires_grad_(False))
        self.context = context

    def forward(self, batch: Mapping[str, Tensor], step: int) -> tuple[Tensor, dict[str, Tensor]]:
        """Loss of `image` (n, 3, h, w) uint8 on `mos` (n,) in [0, 1]."""
        features = unit(self.backbone.encode_image(batch["image"]).float())
        with torch.autocast(features.device.type, enabled=False):
            anchors = unit(self.context(self.backbone))[None]
            found = antonym_probability(features, anchors, self.backbone.log_scale.exp())[:, 0]
            loss = F.mse_loss(found, batch["mos"].float())
        return loss, {"regression": loss}
