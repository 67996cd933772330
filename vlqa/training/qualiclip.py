"""QualiCLIP's task: versions of a picture under rising damage are ranked by their likeness to opposite sentences.

A picture is compared with itself alone, so that several processes give the run of one with the whole batch.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from vlqa.functional.ranking import consistency, margin_ranking
from vlqa.functional.similarity import unit
from vlqa.models.clip_backbone import ClipBackbone
from vlqa.training.clip_objective import ClipObjective
from vlqa.training.group_contrast import Sentences


class QualiClipObjective(ClipObjective):
    """QualiCLIP (arXiv 2403.11176): the good sentence fits less with each level of damage, the bad one more.

    Two crops of a picture under the same damage must fit as well as each other.

    Args:
        backbone: whose image tower is trained.
        sentences: k pairs of opposite sentences, positive first.
        margin: by which cosines differ from level to level.
    """

    def __init__(self, backbone: ClipBackbone, sentences: Sentences, margin: float) -> None:
        super().__init__(backbone)
        self.sentences = sentences
        self.margin = margin

    def forward(self, batch: Mapping[str, Tensor], step: int) -> tuple[Tensor, dict[str, Tensor]]:
        """Loss of `image` (n, 2, levels, 3, h, w) uint8: two crops, levels rising."""
        count, crops, levels = batch["image"].shape[:3]
        features = unit(self.backbone.encode_image(batch["image"].flatten(0, 2)).float())
        with torch.autocast(features.device.type, enabled=False):  # margins are finer than a cosine in bf16
            cosines = features @ self.sentences().T
        cosines = cosines.reshape(count, crops, levels, -1, 2).movedim(2, -1)
        good, bad = cosines[..., 0, :], cosines[..., 1, :]  # (n, crops, k, levels)
        parts = {
            "positive": margin_ranking(good, self.margin),
            "negative": margin_ranking(-bad, self.margin),
            "consistency": consistency(good[:, 0], good[:, 1]) + consistency(bad[:, 0], bad[:, 1]),
        }
        return sum(parts.values(), start=features.new_zeros(())), parts
