"""Blind quality: how far the patches of a picture lie from those of pristine photographs (GRepQ, arXiv 2312.04838)."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Unpack

import torch
from jaxtyping import Float
from torch import Tensor

from vlqa import artifacts
from vlqa.errors import ConfigError, ImageWarning
from vlqa.functional.gaussian import gaussian_distance, grepq_low_quality, mean_covariance
from vlqa.functional.sharpness import select_pristine
from vlqa.models.fusion import FusionEncoder
from vlqa.models.image_encoder import ImageEncoder
from vlqa.pipeline import Route, encode_images
from vlqa.predictors.base import Sight, scored_patches
from vlqa.predictors.encoded import EncoderPredictor
from vlqa.predictors.given import as_iterable
from vlqa.predictors.reading import Reading
from vlqa.predictors.unfitted import not_fitted
from vlqa.predictors.views import PatchGrid, Scales
from vlqa.types import Patch, Pixels

if TYPE_CHECKING:
    from vlqa.types import Images


@dataclass(frozen=True)
class PristineStatistics:
    """A Gaussian fitted to the features of pristine patches.

    Attributes:
        mean: (d,) float64.
        covariance: (d, d) float64, divided by n − 1.
        patches: how many there were.
    """

    mean: Float[Tensor, " d"]
    covariance: Float[Tensor, "d d"]
    patches: int

    @classmethod
    def of(cls, features: Float[Tensor, "n d"]) -> PristineStatistics:
        """Fit to the features of n ≥ 2 patches."""
        if len(features) < 2:
            raise ConfigError(f"pristine statistics need two patches or more, got {len(features)}; give more pictures")
        mean, covariance = mean_covariance(features)
        return cls(mean, covariance, len(features))


class PristinePredictor(EncoderPredictor):
    """Scores images, without any label, by the distance of their patches from pristine ones in feature space.

    With Gaussians fitted to the features of all patches of an image (μt, Σt) and of pristine patches (μr, Σr),
    d² = (μr − μt)ᵀ((Σr + Σt)/2 + 10⁻³·I)⁻¹(μr − μt) and the score is 1 − σ(d/100), in (0, ½]; higher is better.
    A picture with one patch has no covariance of its own (Σt = 0); one smaller than a patch is enlarged until one
    fits. `embed` gives the encoder's features of the whole picture, from which the score does not follow.

    Args:
        encoders: one, by its role; in evaluation mode.
        statistics: of pristine patches under the same encoder; None where there are none yet: `embed` works.
        grid: size and stride of the patches.
        name: of the model, for records and messages.
        reading: how pictures are read and batched; see `Reading`.
    """

    method: ClassVar[str] = "pristine"
    scores_from_features: ClassVar[bool] = False

    def __init__(
        self,
        encoders: Mapping[str, ImageEncoder | FusionEncoder],
        statistics: PristineStatistics | None,
        grid: PatchGrid | None = None,
        *,
        name: str,
        **reading: Unpack[Reading],
    ) -> None:
        super().__init__(encoders, Scales(), normalize=False, name=name, **reading)
        if statistics is not None and statistics.mean.shape != (self.width,):
            found = statistics.mean.numel()
            raise ConfigError(
                f"the pristine statistics are of {found} features, the encoder of {name} has {self.width}"
            )
        self.statistics = statistics
        self.grid = grid or PatchGrid()
        self.scale = (0.0, 0.5)

    def _scoring(self) -> tuple[Sight, ...]:
        if self.statistics is None:
            raise not_fitted(f"{self.name} has no pristine statistics yet: vlqa pristine PATH… makes them")
        return (Sight(self.grid, self._encode, self._distance, 1),)

    def _distance(self, rows: Float[Tensor, "p d"]) -> Float[Tensor, " one"]:
        assert self.statistics is not None
        mean, covariance = mean_covariance(rows)
        distance = gaussian_distance(self.statistics.mean, self.statistics.covariance, mean, covariance)
        return distance.reshape(1)

    def _score(self, features: Float[Tensor, "n 1"]) -> Float[Tensor, " n"]:
        return grepq_low_quality(features[:, 0])

    def _details(self, features: Float[Tensor, "n 1"]) -> list[dict[str, Any]]:
        return [{"raw": score, "low": score} for score in self._score(features).tolist()]

    def _patches(self, features: Sequence[Tensor], size: tuple[int, int]) -> tuple[Patch, ...] | None:
        distances = torch.stack([self._distance(row[None]) for row in features[-1]])
        return scored_patches(self.grid.patchwork(*size), size, self._score(distances))

    def patch_features(self, images: Images) -> Iterator[Float[Tensor, "p d"]]:
        """Features of all patches of each image that can be decoded, one image at a time."""
        for item in encode_images(as_iterable(images), [Route(self.grid, self._encode)], **self.reading):
            if item.features is not None:
                yield item.features[0]

    def _further(self) -> Any:
        if self.statistics is None:
            return None
        tensors = {"mean": self.statistics.mean, "covariance": self.statistics.covariance}
        return [artifacts.digest_tensors(tensors), self.grid.as_dict()]


def pristine_statistics(
    predictor: PristinePredictor,
    images: Images,
    *,
    sharpness_share: float = 0.75,
    colorfulness_share: float = 0.8,
) -> PristineStatistics:
    """Fit pristine statistics to the sharp and colourful patches of good photographs (GRepQ, arXiv 2312.04838).

    Of each photograph's patches, which do not overlap, those with a sharpness above a share of the sharpest one's are
    kept, and of these those with a colourfulness above a share of the most colourful one's.

    Args:
        predictor: whose encoder and size of patches are used; its own statistics are not.
        images: photographs without damage; one that fails is left out with an `ImageWarning`.
        sharpness_share: of the sharpest patch.
        colorfulness_share: of the most colourful among the sharp patches.

    Raises:
        VLQAError: every image fails.
        ConfigError: fewer than two patches are left.
    """

    def best(pixels: Pixels) -> Tensor:
        grid = dataclasses.replace(predictor.grid, stride=predictor.grid.size)
        patches = grid(pixels)
        return patches[select_pristine(patches.float() / 255, sharpness_share, colorfulness_share)]

    kept = []
    error = None
    route = Route(best, predictor._encode)
    for number, item in enumerate(encode_images(as_iterable(images), [route], **predictor.reading)):
        if item.features is None:
            error = item.error
            warnings.warn(f"left out: {item.name or f'image {number}'}: {error}", ImageWarning, stacklevel=2)
        else:
            kept.append(item.features[0])
    if not kept:
        raise error or ConfigError("pristine statistics need photographs, got none")
    return PristineStatistics.of(torch.cat(kept))
