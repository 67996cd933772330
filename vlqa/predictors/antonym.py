"""Quality as the probability of a good sentence against its opposite (CLIP-IQA, arXiv 2207.12396)."""

from __future__ import annotations

from typing import Any, ClassVar, Unpack

import torch
from jaxtyping import Float
from torch import Tensor

from vlqa import artifacts
from vlqa.errors import ConfigError
from vlqa.functional.similarity import unit
from vlqa.models.clip_backbone import ClipBackbone
from vlqa.models.learned_context import LearnedContext
from vlqa.predictors.prompted import PromptPredictor
from vlqa.predictors.reading import Reading
from vlqa.predictors.views import View
from vlqa.prompts import PromptSet


class AntonymPredictor(PromptPredictor):
    """Scores images by pairs of opposite sentences, without any training on scores.

    One pair gives the probability of its positive sentence, an ensemble the mean over its pairs, attributes the first
    pair; `assess` and `probabilities` give them all.

    Args:
        backbone: turns patches and sentences into features; put in evaluation mode by whoever builds it.
        prompts: pairs of opposite sentences.
        view: which pixels the backbone sees.
        context: learned words around the one pair of the prompts (CLIP-IQA+, arXiv 2207.12396, §4.1).
        name: of the model, for records and messages.
        reading: how pictures are read and batched; see `Reading`.
    """

    method: ClassVar[str] = "antonym"

    def __init__(
        self,
        backbone: ClipBackbone,
        prompts: PromptSet,
        view: View,
        *,
        context: LearnedContext | None = None,
        name: str = "clip-iqa",
        **reading: Unpack[Reading],
    ) -> None:
        super().__init__(backbone, prompts, view, name=name, **reading)
        if prompts.kind == "joint":
            raise ConfigError(
                f"prompts {prompts.name!r} are of kind joint; expected pairs of opposite sentences "
                "(kind antonyms, ensemble or attributes)"
            )
        self.scale = (0.0, 1.0)
        self.context = context

    def _further(self) -> list[Any]:
        return [] if self.context is None else [artifacts.digest_tensors({"vectors": self.context.vectors})]

    @torch.no_grad()
    def _texts(self, prompts: PromptSet) -> Tensor:
        if self.context is None or prompts is not self.prompts or self._held:
            return super()._texts(prompts)
        return unit(self.context(self.backbone)).cpu()

    def _score(self, features: Float[Tensor, "n d"]) -> Float[Tensor, " n"]:
        return self._mean(self._probabilities(features, self.prompts))

    def _told(self, features: Float[Tensor, "n d"]) -> list[dict[str, Any]]:
        probabilities = self._probabilities(features, self.prompts)
        scores = self._mean(probabilities)
        return [
            {"raw": score, "quality_probabilities": dict(zip(self.prompts.pair_labels, row, strict=True))}
            for score, row in zip(scores.tolist(), probabilities.tolist(), strict=True)
        ]

    def _mean(self, probabilities: Float[Tensor, "n k"]) -> Float[Tensor, " n"]:
        return probabilities[:, list(self.prompts.scored)].mean(dim=1)
