"""Re-IQA's pretext tasks: momentum contrast of overlapping crops for quality, of augmented views for content.

In several processes the run is another than that of one with the whole batch, and as good: batch norm stays apart,
because keys shuffled among processes are what keeps it from telling pairs.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from vlqa.models.image_encoder import ImageEncoder, perceptron
from vlqa.training.momentum import MomentumContrast
from vlqa.training.objective import Objective


class ReIqaObjective(Objective):
    """MoCo-v2 over pairs of views, for Re-IQA's quality and its content encoder (arXiv 2304.00451, §3).

    Args:
        encoder: trained; its copy makes the keys.
        width: of the projections.
        queue: number of negatives.
        momentum: of the key encoder.
        temperature: τ of the cosines.
    """

    def __init__(
        self,
        encoder: ImageEncoder,
        *,
        width: int = 128,
        queue: int = 65536,
        momentum: float = 0.999,
        temperature: float = 0.2,
    ) -> None:
        super().__init__()
        projector = perceptron([encoder.embed_dim, encoder.embed_dim, width])
        self.moco = MomentumContrast(
            nn.Sequential(encoder, projector), width, queue=queue, momentum=momentum, temperature=temperature
        )

    def forward(self, batch: Mapping[str, Tensor], step: int) -> tuple[Tensor, dict[str, Tensor]]:
        """Loss of `query` and `key` (n, v, 3, h, w)."""
        loss = self.moco(batch["query"].flatten(0, 1), batch["key"].flatten(0, 1), step)
        return loss, {"contrast": loss}
