"""ARNIQA's pretext task: SimCLR over equally degraded crops.

In several processes the run is that of one with the whole batch, as CONTRIQUE's.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from vlqa.functional.contrastive import nt_xent
from vlqa.functional.similarity import unit
from vlqa.models.image_encoder import ImageEncoder, perceptron
from vlqa.training.objective import Objective
from vlqa.training.processes import gather, synchronise


class ArniqaObjective(Objective):
    """ARNIQA (arXiv 2310.14918, eq. 1): crops of two photographs under one damage are a pair among all others.

    Args:
        encoder: its features are brought to unit length before the projector, as published.
        width: of the projections.
        temperature: τ of the cosines.
    """

    def __init__(self, encoder: ImageEncoder, width: int = 128, temperature: float = 0.1) -> None:
        super().__init__()
        synchronise(encoder)
        self.encoder = encoder
        self.projector = perceptron([encoder.embed_dim, width, width])
        self.temperature = temperature

    def forward(self, batch: Mapping[str, Tensor], step: int) -> tuple[Tensor, dict[str, Tensor]]:
        """Loss of `first` and `second` (n, scales, 3, h, w)."""
        pictures = torch.cat([batch["first"], batch["second"]]).flatten(0, 1)
        first, second = self.projector(unit(self.encoder(pictures))).chunk(2)
        loss = nt_xent(gather(first), gather(second), self.temperature)
        return loss, {"contrast": loss}
