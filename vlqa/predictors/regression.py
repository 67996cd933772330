"""Quality by a linear regressor on an encoder's features (CONTRIQUE, Re-IQA, ARNIQA, QPT)."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Self, Unpack

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Float
from torch import Tensor

from vlqa import artifacts
from vlqa.errors import ConfigError, VLQAError
from vlqa.models.fusion import FusionEncoder
from vlqa.models.image_encoder import ImageEncoder
from vlqa.predictors.encoded import EncoderPredictor
from vlqa.predictors.reading import Reading
from vlqa.predictors.unfitted import not_fitted
from vlqa.predictors.views import Scales
from vlqa.types import Assessment

if TYPE_CHECKING:
    from vlqa.prompts import Prompts
    from vlqa.types import ImageLike, Images


@dataclass(frozen=True)
class LinearRegressor:
    """features · coefficients + intercept.

    Attributes:
        coefficients: (d,) float64.
        intercept: added to the product.
        scale: (lowest, highest) score; higher is better.
        full_reference: whether the features are differences |h_reference − h_image| (CONTRIQUE-FR).
    """

    coefficients: Float[Tensor, " d"]
    intercept: float
    scale: tuple[float, float]
    full_reference: bool = False

    def __call__(self, features: Float[Tensor, "n d"]) -> Float[Tensor, " n"]:
        """Scores, float64."""
        return features.double() @ self.coefficients + self.intercept


class RegressionPredictor(EncoderPredictor):
    """Scores images by a linear regressor on their features; without one it only embeds.

    Args:
        encoders: by role, in the order of their features; in evaluation mode.
        view: scales and crops.
        regressor: None where none was fitted: `embed` works, `predict` raises `NotFittedError`.
        normalize: bring the features of each scale to unit length first.
        name: of the model, for records and messages.
        reading: how pictures are read and batched; see `Reading`.
    """

    method: ClassVar[str] = "regression"

    def __init__(
        self,
        encoders: Mapping[str, ImageEncoder | FusionEncoder],
        view: Scales,
        regressor: LinearRegressor | None = None,
        *,
        normalize: bool,
        name: str,
        **reading: Unpack[Reading],
    ) -> None:
        super().__init__(encoders, view, normalize=normalize, name=name, **reading)
        if regressor is not None and regressor.coefficients.shape != (self.width,):
            found = regressor.coefficients.numel()
            raise ConfigError(f"the regressor has {found} coefficients, the features of {name} are {self.width}")
        self.regressor = regressor
        self.scale = regressor.scale if regressor else (0.0, 1.0)

    def predict(self, images: Images) -> npt.NDArray[np.float64]:
        """Score of each image on `scale`; see `ImagePredictor.predict`.

        Raises:
            NotFittedError: the model has no regressor.
            ConfigError: its regressor compares with references: `predict_against`.
        """
        self._fitted(full_reference=False)
        return super().predict(images)

    def predict_against(self, images: Images, references: Images) -> npt.NDArray[np.float64]:
        """Score of each image against its undamaged reference, from |h_reference − h_image| (CONTRIQUE §III-D).

        Args:
            images: as for `predict`.
            references: as many, in the same order.

        Raises:
            NotFittedError: the model has no regressor.
            ConfigError: a regressor on plain features, or another number of references.
        """
        regressor = self._fitted(full_reference=True)
        return regressor(torch.from_numpy(self.embed_against(images, references))).numpy()

    def embed_against(self, images: Images, references: Images) -> npt.NDArray[np.float32]:
        """|h_reference − h_image| of each pair, (n, d)."""
        pair = self.embed(images), self.embed(references)
        if len(pair[0]) != len(pair[1]):
            raise ConfigError(f"{len(pair[0])} images need as many references, got {len(pair[1])}")
        return np.abs(pair[1] - pair[0])

    def assess_against(self, pairs: Iterable[tuple[ImageLike, ImageLike]]) -> Iterator[Assessment]:
        """As `assess_stream`, of (image, reference) pairs; a pair of which one fails has `error`."""
        regressor = self._fitted(full_reference=True)
        encoded = self._encoded(itertools.chain.from_iterable(pairs), self._embedding())
        for (name, image, error), (_, reference, of_reference) in zip(encoded, encoded, strict=True):
            if image is None or reference is None:
                yield self._failed(name, error or VLQAError(f"its reference: {of_reference}"))
            else:
                score = float(regressor((reference - image).abs()[None]))
                yield self._assessment(name, {"raw": score, "low": score})

    def _reader(self, explain: bool, attributes: Prompts | None) -> Self:
        self._fitted(full_reference=False)
        return super()._reader(explain, attributes)

    def _further(self) -> Any:
        if self.regressor is None:
            return None
        kind = [self.regressor.intercept, list(self.regressor.scale), self.regressor.full_reference]
        return [artifacts.digest_tensors({"coefficients": self.regressor.coefficients}), *kind]

    def _score(self, features: Float[Tensor, "n d"]) -> Float[Tensor, " n"]:
        return self._fitted(full_reference=False)(features)

    def _details(self, features: Float[Tensor, "n d"]) -> list[dict[str, Any]]:
        return [{"raw": score, "low": score} for score in self._score(features).tolist()]

    def _fitted(self, *, full_reference: bool) -> LinearRegressor:
        if self.regressor is None:
            raise not_fitted(f"{self.name} has features but no regressor yet: fit one on rated pictures with vlqa fit")
        if self.regressor.full_reference != full_reference:
            how = "with references (--reference)" if self.regressor.full_reference else "without references"
            raise ConfigError(f"the regressor of {self.name} was fitted to score pictures {how}")
        return self.regressor
