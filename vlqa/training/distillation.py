"""An encoder learns to see what a teacher sees, position by position, and what damage looks like."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn
from torch.nn import functional as F

from vlqa.data.training_sets import PRISTINE_TYPE
from vlqa.errors import ConfigError
from vlqa.models.image_encoder import ImageEncoder
from vlqa.models.moments import Moments
from vlqa.models.trunk import Trunk
from vlqa.training.config.distillation import DistillationLosses
from vlqa.training.objective import Objective
from vlqa.training.partial_labels import opinion_loss, type_loss
from vlqa.training.teacher import MobileNetV2Teacher

_HIDDEN = 512
_MIDDLE = 3.0  # of opinions on 1–5, where the scores start


class DistillationObjective(Objective):
    """Losses of an encoder that has a teacher and damaged pictures, and no label of a real photograph.

    Maps: mean squared error between the teacher's maps and linear readings of the student's stages (FitNets, Romero et
    al., arXiv 1412.6550, eq. 3, at several depths). Every position of every picture is a sample, which teaches a small
    net from a few thousand photographs several times faster than the pooled statistics do. Type and opinion of the
    damage are read from the pooled features.

    Args:
        encoder: whose trunk is trained; it has no head.
        teacher: network whose maps are learned.
        config: weights of the losses.
    """

    def __init__(self, encoder: ImageEncoder, teacher: MobileNetV2Teacher, config: DistillationLosses) -> None:
        super().__init__()
        self.encoder = encoder
        self.teacher_maps = TeacherMaps(encoder.trunk, teacher)
        self.config = config
        self.reading = nn.Sequential(
            nn.BatchNorm1d(encoder.trunk.width), nn.Linear(encoder.trunk.width, _HIDDEN), nn.GELU()
        )
        self.type_head = nn.Linear(_HIDDEN, PRISTINE_TYPE + 1)
        self.opinion_head = nn.Linear(_HIDDEN, 1)

    def forward(self, batch: Mapping[str, Tensor], step: int) -> tuple[Tensor, dict[str, Tensor]]:
        """Total loss and its unweighted parts of `image` (n, 3, h, w) uint8, `type` and `mos` (n,)."""
        trunk = self.encoder.trunk
        stages = list(trunk.activations(self.encoder.normalized(batch["image"])))
        read = self.reading(trunk.read([Moments.of(stage) for stage in stages]))
        parts = {
            "maps": self.teacher_maps(batch["image"], stages),
            "type": type_loss(self.type_head(read), batch["type"]),
            "opinion": opinion_loss(self.opinion_head(read)[:, 0] + _MIDDLE, batch["mos"]),
        }
        total = sum((getattr(self.config, name) * loss for name, loss in parts.items()), start=torch.zeros(()))
        return total, parts


class TeacherMaps(nn.Module):
    """How far linear readings of a trunk's stages are from the maps of a teacher.

    Args:
        trunk: the student's; its stages and the teacher's maps meet by their strides.
        teacher: read, never trained or stored.

    Raises:
        ConfigError: no stage has the stride of any of the teacher's maps.
    """

    def __init__(self, trunk: Trunk, teacher: MobileNetV2Teacher) -> None:
        super().__init__()
        self.teacher = teacher
        places = dict(zip(trunk.strides, range(len(trunk.strides)), strict=True))
        self.pairs = [(number, places[stride]) for number, (stride, _) in enumerate(teacher.shown) if stride in places]
        if not self.pairs:
            raise ConfigError(f"encoder.trunk: no stage has the stride of a map of the teacher: {teacher.shown}")
        widths = [width for _, width in teacher.shown]
        self.heads = nn.ModuleList(nn.Conv2d(trunk.widths[stage], widths[number], 1) for number, stage in self.pairs)
        self.standard = nn.ModuleList(nn.BatchNorm2d(widths[number], affine=False) for number, _ in self.pairs)

    def forward(self, images: UInt8[Tensor, "n 3 h w"], stages: Sequence[Tensor]) -> Float[Tensor, ""]:
        """Mean over the maps of the squared error, in variances of each channel: 1 − R².

        Args:
            images: what both see.
            stages: of the student, (n, c, h2, w2).
        """
        shown = self.teacher.maps(images)
        losses = [
            F.mse_loss(head(stages[stage]), standard(shown[number]))
            for head, standard, (number, stage) in zip(self.heads, self.standard, self.pairs, strict=True)
        ]
        return torch.stack(losses).mean()
