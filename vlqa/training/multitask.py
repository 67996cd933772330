"""The multitask objective: LIQE's fidelity losses on joint prompts, and sentences that mean what they say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

from vlqa import artifacts
from vlqa.data.remembered import IDENTITY
from vlqa.functional import pixel_statistics
from vlqa.functional.similarity import antonym_probability, cosine_logits, unit
from vlqa.models.clip import ClipBackbone
from vlqa.models.quality_encoder import QualityEncoder
from vlqa.prompts import PromptSet
from vlqa.training.captions import DEGRADATIONS, caption_batch, describes, opposite_sentences
from vlqa.training.clip_objective import keep_statistics
from vlqa.training.config.multitask import ObjectiveConfig
from vlqa.training.objective import Objective
from vlqa.training.partial_labels import claim_loss, opinion_loss, type_loss
from vlqa.training.pooled_once import PooledOnce
from vlqa.training.tasks import TASKS, JointTasks
from vlqa.training.teacher import TAUGHT, MobileNetV2Teacher

_TAUGHT = 4  # every fourth picture is shown to the teacher, which costs as much as the tower


class MultitaskObjective(Objective):
    """Losses of a dual tower on a batch of labelled pictures.

    Quality, scene and distortion come from one softmax over all joint prompts (LIQE, arXiv 2303.14968) and are weighted
    by dynamic weight average. Further losses, which the paper has not, make a tower trained from nothing understand
    free sentences: opposite sentences for measured or known properties, captions, and sentences that name the type of
    damage; and what a teacher sees in every fourth picture.

    Args:
        backbone: the dual tower that is trained.
        prompts: joint prompts over quality, scene and distortion.
        contents: names of the object classes, for captions.
        config: weights of the losses.
        seed: with the step it decides the sentences.
        teacher: network whose statistics are predicted from the image features; None goes without.
        folder: where pooled features of kept pictures stay if the trunk does; None keeps them in memory.
    """

    tokens: Tensor

    def __init__(
        self,
        backbone: ClipBackbone,
        prompts: PromptSet,
        contents: Sequence[str],
        config: ObjectiveConfig,
        seed: int,
        teacher: MobileNetV2Teacher | None = None,
        folder: Path | None = None,
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.tasks = JointTasks(prompts, {task: getattr(config, task) for task in TASKS}, config.balance)
        self.contents = contents
        self.config = config
        self.seed = seed
        self.teacher = teacher
        if teacher is not None:
            self.teacher_head = nn.Linear(backbone.embed_dim, teacher.statistics_dim)
            self.standard = nn.BatchNorm1d(teacher.statistics_dim, affine=False)
        types = PromptSet.load(DEGRADATIONS)
        self.register_buffer("tokens", backbone.tokenizer([*prompts.texts, *types.texts]), persistent=False)
        self.counts = [len(prompts.texts), len(types.texts)]
        self._fixed: Tensor | None = None
        self._trunk = self._still_trunk(folder)

    def train(self, mode: bool = True) -> Self:
        """Training mode; batch norms of what is not trained, or under adapters, stay as they were."""
        super().train(mode)
        if self.backbone.adapters is not None:
            keep_statistics(self.backbone)
        for part in self.backbone.modules():
            weights = list(part.parameters())
            if weights and not any(weight.requires_grad for weight in weights):
                keep_statistics(part)
        return self

    def forward(self, batch: Mapping[str, Tensor], step: int) -> tuple[Tensor, dict[str, Tensor]]:
        """Total loss and its unweighted parts.

        Args:
            batch: `image` (n, 3, h, w) uint8, the fields of `Facts`, and perhaps `taught` (n, s) of the teacher.
            step: number of the optimisation step.
        """
        rng = np.random.default_rng([self.seed, 2, step])
        facts = {name: value for name, value in batch.items() if name not in ("image", IDENTITY, TAUGHT)}
        captions = caption_batch({name: value.cpu() for name, value in facts.items()}, self.contents, rng)
        sentences = [*opposite_sentences(rng), *captions.texts]
        raw = self._image_features(batch)
        image_features = unit(raw)
        text_features = self._text_features(self.backbone.tokenizer(sentences).to(self.tokens))
        counts = [*self.counts, len(sentences) - len(captions.texts), len(captions.texts)]
        joint_texts, type_texts, opposite_texts, caption_texts = torch.split(text_features, counts)
        scale = self.backbone.log_scale.exp()

        parts, score = self.tasks(cosine_logits(image_features, joint_texts, scale), facts)
        parts["anchor"] = opinion_loss(score, facts["mos"])
        anchors = opposite_texts.reshape(-1, 2, opposite_texts.shape[-1])
        parts["antonyms"] = claim_loss(antonym_probability(image_features, anchors, scale), facts["attributes"])
        holds, known = (mask.to(scale.device) for mask in describes(captions, {k: v.cpu() for k, v in facts.items()}))
        parts["captions"] = multi_positive_loss(cosine_logits(image_features, caption_texts, scale), holds, known)
        parts["type"] = type_loss(cosine_logits(image_features, type_texts, scale), facts["type"])
        if self.teacher is not None:
            shown = slice(None) if TAUGHT in batch else slice(None, None, _TAUGHT)
            seen = batch[TAUGHT] if TAUGHT in batch else self.teacher(batch["image"][shown])
            parts["teacher"] = F.mse_loss(self.teacher_head(raw[shown].float()), self.standard(seen.float()))

        further = (getattr(self.config, name) * loss for name, loss in parts.items() if name not in self.tasks.names)
        return sum(further, start=self.tasks.total(parts)), parts

    def _still_trunk(self, folder: Path | None) -> PooledOnce | None:
        """Pooled features of the image tower where only what stands behind them is trained."""
        tower = self.backbone.visual
        if not isinstance(tower, QualityEncoder):
            return None
        head = {id(weight) for weight in tower.head.parameters()}
        if any(weight.requires_grad and id(weight) not in head for weight in tower.parameters()):
            return None
        if folder is not None:
            still = {name: value for name, value in tower.state_dict().items() if not name.startswith("head.")}
            normal = {"mean": self.backbone.mean, "std": self.backbone.std}
            decides = [artifacts.digest_tensors(still | normal), tower.counts_pixels, pixel_statistics.VERSION]
            folder = folder / artifacts.digest_json(decides)[:16]
        return PooledOnce(
            lambda images: tower.described(self.backbone.normalized(images), images), folder, tower.described_dim
        )

    def _image_features(self, batch: Mapping[str, Tensor]) -> Tensor:
        if self._trunk is None or IDENTITY not in batch:
            return self.backbone.encode_image(batch["image"])
        head: Any = self.backbone.visual.head
        return head(self._trunk(batch["image"], batch[IDENTITY]))

    def _text_features(self, tokens: Tensor) -> Tensor:
        """Unit features of the prompts and of further sentences; of the prompts once where the text tower stays."""
        with sdpa_kernel(SDPBackend.MATH):  # on CPUs the fused backward takes twice the time for sentences this short
            if any(weight.requires_grad for weight in self.backbone.text.parameters()):
                return unit(self.backbone.encode_tokens(torch.cat([self.tokens, tokens])))
            with torch.no_grad():
                if self._fixed is None:
                    self._fixed = unit(self.backbone.encode_tokens(self.tokens))
                return torch.cat([self._fixed, unit(self.backbone.encode_tokens(tokens))])

    def count(self, parts: Mapping[str, Tensor]) -> None:
        """Remember the task losses of one step for the dynamic weight average."""
        self.tasks.count(parts)

    def end_epoch(self) -> None:
        """End an epoch of the dynamic weight average."""
        self.tasks.end_epoch()


def multi_positive_loss(
    logits: Float[Tensor, "n k"], holds: Bool[Tensor, "n k"], known: Bool[Tensor, "n k"]
) -> Float[Tensor, ""]:
    """Contrast of images with captions where several captions may describe an image, in both directions.

    −log of the share of softmax weight that falls on true captions, over the pairs whose truth is known
    (CLIP's loss, arXiv 2103.00020, with the multiple positives of supervised contrast, arXiv 2004.11362, L_in).

    Args:
        logits: scaled similarities.
        holds: whether the caption describes the image.
        known: whether that is known at all; unknown pairs take no part.
    """
    losses = []
    for scores, positive, counted in ((logits, holds, known), (logits.T, holds.T, known.T)):
        useful = positive.any(dim=1) & (counted & ~positive).any(dim=1)
        inside = scores.float().masked_fill(~positive, -torch.inf)[useful].logsumexp(dim=1)
        outside = scores.float().masked_fill(~counted, -torch.inf)[useful].logsumexp(dim=1)
        losses.append((outside - inside).mean() if useful.any() else (scores * 0).sum())
    return (losses[0] + losses[1]) / 2
