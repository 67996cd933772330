"""Fine-tuning of an encoder with a regression head."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from vlqa.models.fusion import FusionEncoder
from vlqa.models.image_encoder import ImageEncoder
from vlqa.training.objective import Objective


class RegressionObjective(Objective):
    """End-to-end fine-tuning with a linear head on opinions (QPT's downstream stage, arXiv 2303.00521, §3.4).

    Args:
        encoder: fine-tuned as a whole.
        middle: of the opinions, where the head starts.
        spread: deviation of the opinions, in which the loss is measured.
    """

    def __init__(self, encoder: ImageEncoder | FusionEncoder, middle: float, spread: float) -> None:
        super().__init__()
        self.encoder = encoder
        self.head = nn.Linear(encoder.embed_dim, 1)
        self.middle = middle
        self.spread = spread

    def forward(self, batch: Mapping[str, Tensor], step: int) -> tuple[Tensor, dict[str, Tensor]]:
        """Smooth L1 loss of `image` (n, 3, h, w) on `mos` (n,), in deviations of the opinions."""
        found = self.head(self.encoder(batch["image"]).float())[:, 0]
        wanted = (batch["mos"].float() - self.middle) / self.spread
        loss = nn.functional.smooth_l1_loss(found, wanted)
        return loss, {"regression": loss}
