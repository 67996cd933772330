"""LIQE on a pretrained backbone: fidelity losses on joint prompts, and GRepQ's group contrast beside them.

In several processes the run is that of one with the whole batch: features and labels are gathered, features with
their gradient. Statistics of batch norm stay as they are (LIQE a64655f trains in evaluation mode).
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from vlqa.functional.similarity import cosine_logits, unit
from vlqa.models.clip_backbone import ClipBackbone
from vlqa.prompts import PromptSet
from vlqa.training.clip_objective import ClipObjective
from vlqa.training.group_contrast import GroupContrast, Sentences
from vlqa.training.processes import gather, gather_plain
from vlqa.training.tasks import JointTasks


class LiqeObjective(ClipObjective):
    """LIQE's losses (arXiv 2303.14968) on windows of rated pictures; the temperature stays as it was.

    Args:
        backbone: whose parameters that require a gradient are trained.
        prompts: joint prompts.
        tasks: their losses.
        group: group contrast beside them.
        group_weight: of its loss.
    """

    def __init__(
        self,
        backbone: ClipBackbone,
        prompts: PromptSet,
        tasks: JointTasks,
        group: GroupContrast | None = None,
        group_weight: float = 1.0,
    ) -> None:
        super().__init__(backbone)
        self.sentences = Sentences(backbone, prompts)
        self.tasks = tasks
        self.group = group
        self.group_weight = group_weight

    def forward(self, batch: Mapping[str, Tensor], step: int) -> tuple[Tensor, dict[str, Tensor]]:
        """Loss of `image` (n, windows, 3, h, w) uint8 and the fields of `Facts`."""
        raw = gather(self.backbone.encode_image(batch["image"].flatten(0, 1)).float())
        with torch.autocast(raw.device.type, enabled=False):  # at a scale of 100 a cosine in bf16 is wrong in the logit
            return self._losses(raw, batch)

    def _losses(self, raw: Tensor, batch: Mapping[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        windows = batch["image"].shape[1]
        features = unit(raw).reshape(-1, windows, raw.shape[1])
        facts = {name: gather_plain(value) for name, value in batch.items() if name != "image"}
        # a mean of unit vectors: its logits are the mean of the windows' logits
        logits = cosine_logits(features.mean(dim=1), self.sentences(), self.backbone.log_scale.exp())
        parts, _ = self.tasks(logits, facts)
        total = self.tasks.total(parts)
        if self.group is not None:
            parts["group"] = self.group(raw.reshape(-1, windows, raw.shape[1]).mean(dim=1))
            total = total + self.group_weight * parts["group"]
        return total, parts

    def count(self, parts: Mapping[str, Tensor]) -> None:
        """Remember the task losses of one step for the dynamic weight average."""
        self.tasks.count(parts)

    def end_epoch(self) -> None:
        """End an epoch of the dynamic weight average."""
        self.tasks.end_epoch()
