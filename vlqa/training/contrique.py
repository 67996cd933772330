"""CONTRIQUE's pretext task: multi-class contrast of damages.

In several processes the run is that of one with the whole batch: projections are gathered with their gradient, and
batch norm sees all pictures.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from vlqa.functional.contrastive import multi_class_nt_xent
from vlqa.functional.similarity import unit
from vlqa.models.image_encoder import ImageEncoder
from vlqa.training.objective import Objective
from vlqa.training.processes import gather, gather_plain, synchronise


class ContriqueObjective(Objective):
    """CONTRIQUE (arXiv 2110.13266, eq. 1): 2×2 patches of a class lie together, over two scales and colour spaces.

    Args:
        encoder: whose cells are taken as patches.
        width: of the projections.
        temperature: τ of the cosines.
    """

    def __init__(self, encoder: ImageEncoder, width: int = 128, temperature: float = 0.1) -> None:
        super().__init__()
        dim = encoder.embed_dim
        synchronise(encoder)
        self.encoder = encoder
        projector = nn.Sequential(
            nn.Linear(dim, dim, bias=False),
            nn.BatchNorm1d(dim),
            nn.ReLU(),
            nn.Linear(dim, width, bias=False),
            nn.BatchNorm1d(width),
        )
        self.projector = synchronise(projector)
        self.temperature = temperature

    def forward(self, batch: Mapping[str, Tensor], step: int) -> tuple[Tensor, dict[str, Tensor]]:
        """Loss of `first` and `second` (n, 3, h, w) with `label` (n,)."""
        pictures = torch.cat([batch["first"], batch["second"]])
        cells = unit(self.encoder.encode_cells(pictures, 2)).flatten(0, 1)
        projections = gather(self.projector(cells))
        labels = gather_plain(batch["label"].repeat(2).repeat_interleave(4))
        loss = multi_class_nt_xent(projections, labels, self.temperature)
        return loss, {"contrast": loss}
