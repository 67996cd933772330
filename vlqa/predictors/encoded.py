"""What predictors on image encoders without a text tower share: encoders side by side, a picture at several sizes."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any, ClassVar, Unpack

import torch
from jaxtyping import Float
from torch import Tensor

from vlqa import artifacts
from vlqa.functional.similarity import unit
from vlqa.models.fusion import FusionEncoder
from vlqa.models.image_encoder import ImageEncoder
from vlqa.predictors.base import ImagePredictor, Sight
from vlqa.predictors.reading import Reading
from vlqa.predictors.views import Scales


class EncoderPredictor(ImagePredictor):
    """Features of one or several encoders at the scales of a view, joined as the papers join them.

    A row is [first encoder: first scale, second scale, … | second encoder: …]; where the view cuts several crops a
    scale, the mean over the crops.

    Args:
        encoders: by role, in the order of their features; in evaluation mode.
        view: scales and crops.
        normalize: bring the features of each scale to unit length first (CONTRIQUE, ARNIQA; Re-IQA does not).
        name: of the model, for records and messages.
        reading: how pictures are read and batched; see `Reading`.
    """

    method: ClassVar[str]

    def __init__(
        self,
        encoders: Mapping[str, ImageEncoder | FusionEncoder],
        view: Scales,
        *,
        normalize: bool,
        name: str,
        **reading: Unpack[Reading],
    ) -> None:
        widths = [encoder.embed_dim * len(view.factors) for encoder in encoders.values()]
        super().__init__(sum(widths), name=name, **reading)
        self.view = view
        self.encoders = dict(encoders)
        self.normalize = normalize
        ends = [sum(widths[: number + 1]) for number in range(len(widths))]
        slices = {role: slice(end - width, end) for role, end, width in zip(encoders, ends, widths, strict=True)}
        self.feature_slices = {"low": slice(0, self.width), **(slices if len(slices) > 1 else {})}
        for encoder in encoders.values():
            if isinstance(encoder, FusionEncoder) and encoder.embed_dim == self.width:  # alone, at one scale
                self.feature_slices = encoder.feature_slices

    @functools.cached_property
    def digest(self) -> str:
        """SHA-256 (hex) of all that decides a score: method, weights, view, and what follows the features."""
        encoders = {role: encoder.digest for role, encoder in self.encoders.items()}
        return artifacts.digest_json([self.method, encoders, self.view.as_dict(), self.normalize, self._further()])

    @property
    def features_digest(self) -> str:
        """SHA-256 (hex) of all that decides a row of `embed`: encoders in their order, scales, and whether unit."""
        encoders = [encoder.digest for encoder in self.encoders.values()]
        return artifacts.digest_json(["encoders", encoders, self.view.as_dict(), self.normalize])

    def check_fitted(self) -> None:
        """Raise the NotFittedError that a score would: of a model that embeds, but has nothing to score by yet."""
        self._reader(False, None)._scoring()

    def _further(self) -> Any:
        """What decides a score besides the features, JSON-able."""
        return None

    def _embedding(self) -> tuple[Sight, ...]:
        return (Sight(self.view, self._encode, self._pool, self.width),)

    @torch.inference_mode()
    def _encode(self, patches: Tensor) -> Float[Tensor, "n d"]:
        return torch.cat([encoder.encode_image(patches) for encoder in self.encoders.values()], dim=1)

    def _pool(self, rows: Float[Tensor, "p d"]) -> Float[Tensor, " width"]:
        scales = rows.reshape(len(self.view.factors), -1, rows.shape[1])  # scale, crop, feature
        parts = torch.split(scales, [encoder.embed_dim for encoder in self.encoders.values()], dim=2)
        joined = [unit(part) if self.normalize else part for part in parts]
        return torch.cat([part.mean(dim=1).flatten() for part in joined])


def only_encoder(predictor: object) -> ImageEncoder | None:
    """The encoder of a predictor that has one view and one encoder; None where it has others."""
    encoders = list(predictor.encoders.values()) if isinstance(predictor, EncoderPredictor) else []
    return encoders[0] if len(encoders) == 1 and isinstance(encoders[0], ImageEncoder) else None
