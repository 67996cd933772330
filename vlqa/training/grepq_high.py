"""GRepQ's high-level task: a CLIP image tower tuned without labels by contrast of groups that prompts tell apart.

In several processes the run is that of one with the whole batch: features are gathered with their gradient.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from vlqa.models.clip_backbone import ClipBackbone
from vlqa.training.clip_objective import ClipObjective
from vlqa.training.group_contrast import GroupContrast
from vlqa.training.processes import gather


class GrepqHighObjective(ClipObjective):
    """GRepQ's high level (arXiv 2312.04838, §3.2): the best and the worst of a batch, told by prompts, drawn apart.

    Args:
        backbone: whose image tower is trained.
        group: the loss.
    """

    def __init__(self, backbone: ClipBackbone, group: GroupContrast) -> None:
        super().__init__(backbone)
        self.group = group

    def forward(self, batch: Mapping[str, Tensor], step: int) -> tuple[Tensor, dict[str, Tensor]]:
        """Loss of `image` (n, 3, h, w) uint8."""
        features = gather(self.backbone.encode_image(batch["image"]).float())
        with torch.autocast(features.device.type, enabled=False):
            loss = self.group(features)
        return loss, {"group": loss}
