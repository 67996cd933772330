"""What predictors that compare images with sentences share."""

from __future__ import annotations

import copy
import functools
from abc import abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Self, Unpack

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Float
from torch import Tensor

from vlqa import artifacts
from vlqa.functional.multitask import joint_probabilities
from vlqa.functional.similarity import antonym_probability, cosine_logits, unit
from vlqa.models.clip_backbone import ClipBackbone
from vlqa.predictors.base import ImagePredictor, Sight, scored_patches
from vlqa.predictors.reading import Reading
from vlqa.predictors.views import LiqePatches, View
from vlqa.prompts import Prompts, PromptSet

if TYPE_CHECKING:
    from vlqa.types import Images, Patch


class PromptPredictor(ImagePredictor):
    """Scores images by comparing their features with sentences.

    The features of an image are the backbone's raw output; where the view cuts several patches, the mean of their
    unit-length features.

    Args:
        backbone: turns patches and sentences into features; put in evaluation mode by whoever builds it.
        prompts: the sentences.
        view: which pixels the backbone sees.
        name: of the model, for records and messages.
        reading: how pictures are read and batched; see `Reading`.
    """

    method: ClassVar[str]

    def __init__(
        self,
        backbone: ClipBackbone,
        prompts: PromptSet,
        view: View,
        *,
        name: str,
        **reading: Unpack[Reading],
    ) -> None:
        super().__init__(backbone.embed_dim, name=name, **reading)
        self.view = view
        self.backbone = backbone
        self.prompts = prompts
        self.feature_slices = {"high": slice(0, backbone.embed_dim)}
        self._held: list[tuple[PromptSet, Tensor]] = []
        self._attributes: PromptSet | None = None
        self._digests: dict[tuple[int, str | None], str] = {}

    @property
    def digest(self) -> str:
        """SHA-256 (hex) of all that decides a score: method, weights, adapter, prompts and view."""
        state = self.backbone.merges, self.backbone.adapters.active if self.backbone.adapters else None
        if state not in self._digests:
            self._digests[state] = artifacts.digest_json(
                [self.method, self.backbone.digest, self.prompts.digest, self.view.as_dict(), *self._further()]
            )
        return self._digests[state]

    @property
    def features_digest(self) -> str:
        """SHA-256 (hex) of all that decides a row of `embed`: weights, adapter in use and view."""
        return artifacts.digest_json(["clip", self.backbone.digest, self.view.as_dict()])

    def _further(self) -> list[Any]:
        """What decides a score besides, JSON-able."""
        return []

    def probabilities(self, images: Images, prompts: Prompts | None = None) -> npt.NDArray[np.float64]:
        """Probability of each sentence's claim, for any sentences.

        Args:
            images: as for `predict`.
            prompts: pairs of opposite sentences, each with a probability of its own; or labels, which share one
                softmax; or a PromptSet, its bundled name or path. The predictor's own when left out.

        Returns:
            (n, k) in [0, 1]: of the positive sentence of each of k pairs, or of each of k labels (rows sum to 1).
            NaN, with an `ImageWarning`, for an image that fails.
        """
        chosen = self.prompts if prompts is None else PromptSet.of(prompts)
        width = len(chosen.texts) if chosen.kind == "joint" else len(chosen.pairs)
        return self._collect(
            images, self._embedding(), functools.partial(self._probabilities, prompts=chosen), (width,)
        )

    def probabilities_features(
        self, features: npt.ArrayLike, prompts: Prompts | None = None
    ) -> npt.NDArray[np.float64]:
        """The probabilities `probabilities` gives, from stored features (n, d)."""
        chosen = self.prompts if prompts is None else PromptSet.of(prompts)
        return self._probabilities(self._rows(features), chosen).double().numpy()

    def directions(self, features: Float[Tensor, "n d"]) -> Float[Tensor, "n d"]:
        """Rows of `embed` as sentences are compared with them: of unit length, unless they are means of such rows."""
        # a mean of unit vectors is shorter than 1 on purpose: its logits are the mean of the patches' logits
        return features if self.view.averages else unit(features)

    def logit_scale(self, temperature: float | None = None) -> float:
        """What cosines are multiplied with: 1 / temperature, or the model's own."""
        return self.backbone.logit_scale if temperature is None else 1 / temperature

    def _reader(self, explain: bool, attributes: Prompts | None) -> Self:
        """A copy that encodes its sentences now and never again, for as long as weights do not change.

        Tokens and digest of 495 sentences take longer than a small tower does for a picture.
        """
        reader = copy.copy(self)
        reader.explains = explain
        reader._attributes = None if attributes is None else PromptSet.of(attributes)
        asked = [self.prompts] + ([] if reader._attributes is None else [reader._attributes])
        reader._held = [(prompts, self._texts(prompts)) for prompts in asked]
        return reader

    def _details(self, features: Float[Tensor, "n d"]) -> list[dict[str, Any]]:
        details = self._told(features)
        if not self.explains:
            return details
        if self.prompts.kind == "joint":
            for row, joint in zip(details, self._probabilities(features, self.prompts).tolist(), strict=True):
                row["joint_probabilities"] = dict(zip(self.prompts.texts, joint, strict=True))
        if (asked := self._attributes) is not None:
            names = asked.texts if asked.kind == "joint" else asked.pair_labels
            for row, claims in zip(details, self._probabilities(features, asked).tolist(), strict=True):
                row["attributes"] = dict(zip(names, claims, strict=True))
        return details

    def _patches(self, features: Sequence[Tensor], size: tuple[int, int]) -> tuple[Patch, ...] | None:
        if not isinstance(self.view, LiqePatches):
            return None
        return scored_patches(self.view.patchwork(*size), size, self._score(unit(features[0].float())))

    @abstractmethod
    def _told(self, features: Float[Tensor, "n d"]) -> list[dict[str, Any]]:
        """Fields of an Assessment for each row, `raw` among them."""

    def _embedding(self) -> tuple[Sight, ...]:
        return (Sight(self.view, self._encode, self._pool, self.width),)

    @torch.inference_mode()
    def _encode(self, patches: Tensor) -> Tensor:
        return self.backbone.encode_image(patches)

    def _pool(self, rows: Float[Tensor, "p d"]) -> Float[Tensor, " d"]:
        return unit(rows).mean(dim=0) if self.view.averages else rows[0]

    def _probabilities(self, features: Float[Tensor, "n d"], prompts: PromptSet) -> Float[Tensor, "n k"]:
        if prompts.kind == "joint":
            return joint_probabilities(self._logits(features, prompts), (len(prompts.texts),))
        anchors = self._texts(prompts).reshape(-1, 2, self.backbone.embed_dim)
        return antonym_probability(self.directions(features), anchors, self.logit_scale(prompts.temperature))

    def _logits(self, features: Float[Tensor, "n d"], prompts: PromptSet) -> Float[Tensor, "n k"]:
        return cosine_logits(self.directions(features), self._texts(prompts), self.logit_scale(prompts.temperature))

    def _texts(self, prompts: PromptSet) -> Tensor:
        for held, texts in self._held:
            if held is prompts:
                return texts
        return self.backbone.encode_text(prompts.texts).cpu()
