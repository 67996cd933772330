"""Two views of a picture in one score: what its sentences say and how far its patches lie from pristine ones."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Self, Unpack

import numpy as np
import numpy.typing as npt
from jaxtyping import Float
from torch import Tensor

from vlqa import artifacts
from vlqa.errors import ConfigError
from vlqa.predictors.base import ImagePredictor, Sight, joined_row
from vlqa.predictors.encoded import EncoderPredictor
from vlqa.predictors.prompted import PromptPredictor
from vlqa.predictors.reading import Reading

if TYPE_CHECKING:
    from vlqa.models.clip_backbone import ClipBackbone
    from vlqa.prompts import Prompts, PromptSet
    from vlqa.types import Images, Patch


class EnsemblePredictor(ImagePredictor):
    """Scores images by a weighted sum of the scores of two views, each with its own encoder.

    score = w_high · q_high + w_low · q_low; GRepQ's is the plain sum q_HL + q_LL (arXiv 2312.04838, §3.3). `assess`
    tells both scores apart, and what the vision-language view names. A row of `embed` is [high | low]. A low view
    whose weight is 0 is told by `assess` all the same, and costs `predict` nothing.

    Args:
        high: the vision-language view.
        low: the low-level view.
        weights: of the scores of high and low.
        name: of the model, for records and messages.
        reading: how pictures are read and batched; see `Reading`.

    Raises:
        ConfigError: weights that are negative or both zero.
    """

    method: ClassVar[str] = "ensemble"

    def __init__(
        self,
        high: PromptPredictor,
        low: EncoderPredictor,
        *,
        weights: tuple[float, float] = (1.0, 1.0),
        name: str,
        **reading: Unpack[Reading],
    ) -> None:
        super().__init__(high.width + low.width, name=name, **reading)
        self.high = high
        self.low = low
        self.feature_slices = {"high": slice(0, high.width), "low": slice(high.width, self.width)}
        self._weigh(weights)

    def calibrated(self, images: Images, mos: npt.ArrayLike) -> Self:
        """The same views with the weights by which their sum fits opinions best; `save` keeps them.

        Least squares of opinions on both scores and a constant, without weights below 0; they are scaled to a sum of 1,
        so that the score is a mean of the two.

        Args:
            images: n pictures; those that fail are left out.
            mos: (n,) their opinions, higher is better, on any scale; NaN where unknown, which leaves a picture out.

        Raises:
            ConfigError: other than one opinion a picture, fewer than three scored and rated pictures, or neither view
                rises with the opinions.
        """
        opinions = np.asarray(mos, dtype=np.float64)
        told = self.assess(images)
        if opinions.shape != (len(told),):
            raise ConfigError(f"expected one opinion for each of {len(told)} pictures, found shape {opinions.shape}")
        rows = [(record.high, record.low) for record in told]
        scores = np.array([(np.nan, np.nan) if None in row else row for row in rows], dtype=np.float64)
        known = np.isfinite(np.column_stack([scores, opinions])).all(axis=1)
        if known.sum() < 3:
            raise ConfigError(f"{known.sum()} scored and rated pictures are too few to weigh two views; give 3 or more")
        from scipy.optimize import nnls

        middle = scores[known].mean(axis=0)
        centred = scores[known] - middle
        centred[:, np.ptp(centred, axis=0) < 1e-9 * np.maximum(1, np.abs(middle))] = 0  # one value for all: rounding
        found, _ = nnls(centred, opinions[known] - opinions[known].mean())
        if not found.sum() > 0:
            raise ConfigError("neither view rises with these opinions; check that higher is better in them")
        high, low = (found / found.sum()).tolist()
        calibrated = copy.copy(self)
        calibrated._weigh((high, low))
        return calibrated

    def _weigh(self, weights: tuple[float, float]) -> None:
        if not np.isfinite(weights).all() or min(weights) < 0 or max(weights) <= 0:
            raise ConfigError(f"the weights of {self.name} must be positive or 0, and not both 0; they are {weights}")
        self.weights = weights
        high, low = self.high.scale, self.low.scale
        self.scale = (weights[0] * high[0] + weights[1] * low[0], weights[0] * high[1] + weights[1] * low[1])
        scored = [part for part, weight in zip((self.high, self.low), weights, strict=True) if weight]
        self.scores_from_features = all(part.scores_from_features for part in scored)  # type: ignore[misc]

    @property
    def backbone(self) -> ClipBackbone:
        """Both towers of the vision-language view."""
        return self.high.backbone

    @property
    def prompts(self) -> PromptSet:
        """The sentences that the vision-language view reads."""
        return self.high.prompts

    @property
    def digest(self) -> str:
        """SHA-256 (hex) of all that decides a score: both views and their weights."""
        return artifacts.digest_json([self.method, self.high.digest, self.low.digest, list(self.weights)])

    @property
    def features_digest(self) -> str:
        """SHA-256 (hex) of all that decides a row of `embed`: both views, not their weights."""
        return artifacts.digest_json([source.features_digest for source in self.feature_sources])

    @property
    def feature_sources(self) -> tuple[ImagePredictor, ...]:
        """Both views, so that features stored of one serve where it stands alone."""
        return (self.high, self.low)

    def probabilities(self, images: Images, prompts: Prompts | None = None) -> npt.NDArray[np.float64]:
        """Probability of each sentence's claim, from the vision-language view; see `PromptPredictor`."""
        return self.high.probabilities(images, prompts)

    def probabilities_features(
        self, features: npt.ArrayLike, prompts: Prompts | None = None
    ) -> npt.NDArray[np.float64]:
        """The probabilities `probabilities` gives, from stored features (n, d)."""
        return self.high.probabilities_features(self._rows(features)[:, : self.high.width], prompts)

    def _reader(self, explain: bool, attributes: Prompts | None) -> Self:
        reader = copy.copy(self)
        reader.explains = explain
        reader.high = self.high._reader(explain, attributes)
        return reader

    def _embedding(self) -> tuple[Sight, ...]:
        return self.high._embedding() + self.low._embedding()

    def _scoring(self) -> tuple[Sight, ...]:
        return self.high._scoring() if self.weights[1] == 0 else self._assessing()

    def _assessing(self) -> tuple[Sight, ...]:
        return self.high._scoring() + self.low._scoring()

    def _patches(self, features: Sequence[Tensor], size: tuple[int, int]) -> tuple[Patch, ...] | None:
        sights = self.high._scoring()
        patches = self.high._patches(features[: len(sights)], size)
        if patches is None:
            return None
        whole = 0.0  # what the low view says of the picture, which has other patches
        if self.weights[1]:
            row = joined_row(self.low._scoring(), features[len(sights) :])
            whole = self.weights[1] * float(self.low._score(row[None]))
        return tuple(dataclasses.replace(patch, score=self.weights[0] * patch.score + whole) for patch in patches)

    def _score(self, features: Float[Tensor, "n d"]) -> Float[Tensor, " n"]:
        high, low = self._split(features)
        score = self.weights[0] * self.high._score(high)
        return score if self.weights[1] == 0 else score + self.weights[1] * self.low._score(low)

    def _details(self, features: Float[Tensor, "n d"]) -> list[dict[str, Any]]:
        high, low = self._split(features)
        told = [
            {**of_high, "raw": score, "high": of_high["raw"]}
            for score, of_high in zip(self._score(features).tolist(), self.high._details(high), strict=True)
        ]
        if low.shape[1] == sum(sight.width for sight in self.low._scoring()):  # else features it does not score by
            for row, score in zip(told, self.low._score(low).tolist(), strict=True):
                row["low"] = score
        if self.explains:
            for row in told:
                row["shares"] = self._shares(row["high"], row.get("low"))
        return told

    def _shares(self, high: float, low: float | None) -> dict[str, float] | None:
        if self.weights[1] and low is None:
            return None
        above = [
            weight * max((score or 0.0) - part.scale[0], 0.0) if weight else 0.0
            for weight, score, part in zip(self.weights, (high, low), (self.high, self.low), strict=True)
        ]
        return {name: part / (sum(above) or 1.0) for name, part in zip(("high", "low"), above, strict=True)}

    def _split(self, features: Float[Tensor, "n d"]) -> tuple[Tensor, Tensor]:
        return features[:, : self.high.width].float(), features[:, self.high.width :]  # beside distances in float64


def vision_language_view(predictor: object) -> PromptPredictor | None:
    """The view of a predictor that compares images with sentences: itself, one of two, or None."""
    high = predictor.high if isinstance(predictor, EnsemblePredictor) else predictor
    return high if isinstance(high, PromptPredictor) else None
