"""Quality, scene and distortion from one softmax over sentences that name all three (LIQE, arXiv 2303.14968)."""

from __future__ import annotations

from typing import Any, ClassVar, Unpack

from jaxtyping import Float
from torch import Tensor

from vlqa.errors import ConfigError
from vlqa.functional.multitask import expected_quality, joint_probabilities, marginal
from vlqa.models.clip_backbone import ClipBackbone
from vlqa.predictors.prompted import PromptPredictor
from vlqa.predictors.reading import Reading
from vlqa.predictors.views import View
from vlqa.prompts import PromptSet


class MultitaskPredictor(PromptPredictor):
    """Scores images by the mean worth of the quality words under a joint distribution of sentences.

    The scale runs from the least to the greatest worth, 1 to 5 with LIQE's words. Scene and distortion are named where
    the prompts have such labels.
    """

    method: ClassVar[str] = "multitask"

    def __init__(
        self,
        backbone: ClipBackbone,
        prompts: PromptSet,
        view: View,
        *,
        name: str = "liqe",
        **reading: Unpack[Reading],
    ) -> None:
        super().__init__(backbone, prompts, view, name=name, **reading)
        if prompts.kind != "joint" or len(dict(prompts.axes).get("quality", ())) < 2:
            raise ConfigError(
                f"prompts {prompts.name!r} are no joint prompts with labels of 'quality'; "
                "expected kind joint with a list of two quality words or more"
            )
        self.scale = (min(prompts.values), max(prompts.values))

    def _score(self, features: Float[Tensor, "n d"]) -> Float[Tensor, " n"]:
        return expected_quality(self._marginals(features)["quality"], self.prompts.values)

    def _told(self, features: Float[Tensor, "n d"]) -> list[dict[str, Any]]:
        marginals = self._marginals(features)
        scores = expected_quality(marginals["quality"], self.prompts.values).tolist()
        details: list[dict[str, Any]] = [{"raw": score} for score in scores]
        for axis, labels in self.prompts.axes:
            if axis not in ("quality", "scene", "distortion"):
                continue
            for row, probabilities in zip(details, marginals[axis].tolist(), strict=True):
                row[f"{axis}_probabilities"] = dict(zip(labels, probabilities, strict=True))
                if axis != "quality":
                    row[axis] = labels[probabilities.index(max(probabilities))]
        return details

    def _marginals(self, features: Float[Tensor, "n d"]) -> dict[str, Float[Tensor, "n k"]]:
        joint = joint_probabilities(self._logits(features, self.prompts), self.prompts.shape)
        return {axis: marginal(joint, number) for number, (axis, _) in enumerate(self.prompts.axes)}
