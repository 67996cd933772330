"""LIQE on a pretrained backbone: fidelity losses on joint prompts, and GRepQ's group contrast beside them.

In several processes the run is that of one with the whole batch: features and labels are gathered, features with
their gradient. The network stays in evaluation mode, so that no statistics of batch norm change (LIQE a64655f).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Self

import torch
from jaxtyping import Float
from torch import Tensor, nn

from vlqa.functional.contrastive import group_contrastive
from vlqa.functional.similarity import antonym_probability, cosine_logits, unit
from vlqa.models.clip_backbone import ClipBackbone
from vlqa.prompts import PromptSet
from vlqa.training.objective import Objective
from vlqa.training.processes import gather, gather_plain
from vlqa.training.tasks import JointTasks

_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d)


class Sentences(nn.Module):
    """Text features of fixed sentences, computed once where the text tower is not trained.

    Args:
        backbone: whose text tower is used.
        prompts: the sentences.
    """

    tokens: Tensor

    def __init__(self, backbone: ClipBackbone, prompts: PromptSet) -> None:
        super().__init__()
        self._backbone = [backbone]  # not a submodule: its weights belong to the objective
        self.register_buffer("tokens", backbone.tokenizer(list(prompts.texts)), persistent=False)
        self._known: Tensor | None = None

    def forward(self) -> Float[Tensor, "k d"]:
        """Rows of length 1."""
        (backbone,) = self._backbone
        if any(parameter.requires_grad for parameter in backbone.text.parameters()):
            return unit(backbone.encode_tokens(self.tokens))
        if self._known is None:
            with torch.no_grad():
                self._known = unit(backbone.encode_tokens(self.tokens))
        return self._known.to(self.tokens.device)


class GroupContrast(nn.Module):
    """GRepQ's high-level loss (arXiv 2312.04838, §3.2): prompts tell the best and worst of a batch, a head contrasts.

    Args:
        sentences: one pair of opposite sentences.
        temperature: of its similarities: p = softmax of cosine / temperature.
        dim: width of the image features.
        share: of the batch that each of the two groups takes; at least two pictures.
        width: of the head, which is thrown away after training.
        contrast: τ of the contrast.
    """

    def __init__(
        self, sentences: Sentences, temperature: float, dim: int, *, share: float, width: int, contrast: float
    ) -> None:
        super().__init__()
        self.sentences = sentences
        self.temperature = temperature
        self.head = nn.Sequential(nn.Linear(dim, width), nn.ReLU())
        self.share = share
        self.contrast = contrast

    def forward(self, features: Float[Tensor, "n d"]) -> Float[Tensor, ""]:
        """Loss of the features of a whole batch."""
        with torch.no_grad():
            anchors = self.sentences().reshape(1, 2, -1)
            quality = antonym_probability(unit(features), anchors, 1 / self.temperature)[:, 0]
        group = max(2, round(self.share * len(features)))
        return group_contrastive(self.head(features.float()), quality, group, self.contrast)


class LiqeObjective(Objective):
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
        super().__init__()
        backbone.log_scale.requires_grad_(False)
        self.backbone = backbone
        self.sentences = Sentences(backbone, prompts)
        self.tasks = tasks
        self.group = group
        self.group_weight = group_weight

    def train(self, mode: bool = True) -> Self:
        """Training mode for what has none of its own statistics: batch norms of the backbone stay as they are."""
        super().train(mode)
        for module in self.backbone.modules():
            if isinstance(module, _NORMS):
                module.eval()
        return self

    def forward(self, batch: Mapping[str, Tensor], step: int) -> tuple[Tensor, dict[str, Tensor]]:
        """Loss of `image` (n, windows, 3, h, w) uint8 and the fields of `Facts`."""
        windows = batch["image"].shape[1]
        raw = gather(self.backbone.encode_image(batch["image"].flatten(0, 1)).float())
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
