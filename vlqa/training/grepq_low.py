"""GRepQ's low-level pretext task: contrast weighted by how alike versions look.

In several processes the run is that of one with the whole batch: photographs are contrasted among themselves, and
batch norm sees all of them.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from vlqa.functional.contrastive import quality_aware_contrastive
from vlqa.models.image_encoder import ImageEncoder
from vlqa.training.objective import Objective
from vlqa.training.processes import synchronise


class GrepqLowObjective(Objective):
    """GRepQ's low-level encoder (arXiv 2312.04838, L_in): versions of a photograph lie as near as they look alike.

    Args:
        encoder: with the head whose output the method uses.
        temperature: τ of the cosines.
    """

    def __init__(self, encoder: ImageEncoder, temperature: float = 0.5) -> None:
        super().__init__()
        synchronise(encoder)
        self.encoder = encoder
        self.temperature = temperature

    def forward(self, batch: Mapping[str, Tensor], step: int) -> tuple[Tensor, dict[str, Tensor]]:
        """Loss of `image` and `augmented` (n, v, 3, h, w) under `similarity` (n, v, v)."""
        count, versions = batch["image"].shape[:2]
        pictures = torch.cat([batch["image"], batch["augmented"]]).flatten(0, 1)
        first, second = self.encoder(pictures).reshape(2, count, versions, -1)
        loss = quality_aware_contrastive(first, second, batch["similarity"], self.temperature)
        return loss, {"contrast": loss}
