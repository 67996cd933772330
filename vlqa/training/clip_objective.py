"""What objectives on a pretrained backbone share."""

from __future__ import annotations

from typing import Self

from torch import nn

from vlqa.models.clip_backbone import ClipBackbone
from vlqa.training.objective import Objective

_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d)


class ClipObjective(Objective):
    """Tunes a backbone whose temperature and statistics of batch norm stay as they were.

    Args:
        backbone: whose parameters that require a gradient are trained.
    """

    def __init__(self, backbone: ClipBackbone) -> None:
        super().__init__()
        backbone.log_scale.requires_grad_(False)
        self.backbone = backbone

    def train(self, mode: bool = True) -> Self:
        """Training mode for all but the backbone's batch norms."""
        super().train(mode)
        keep_statistics(self.backbone)
        return self


def keep_statistics(module: nn.Module) -> None:
    """Put batch norms in evaluation mode, so that training does not change their statistics."""
    for part in module.modules():
        if isinstance(part, _NORMS):
            part.eval()
