"""What all predictors on a CLIP-type backbone share: images → patches → features → scores, in one place."""

from __future__ import annotations

import functools
import os
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, cast

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from vlqa import artifacts
from vlqa.errors import ConfigError, ImageWarning, VLQAError
from vlqa.functional.multitask import joint_probabilities
from vlqa.functional.similarity import antonym_probability, cosine_logits, unit
from vlqa.models.clip_backbone import ClipBackbone
from vlqa.pipeline import encode_images
from vlqa.predictors.views import View
from vlqa.prompts import Prompts, PromptSet
from vlqa.types import Assessment

if TYPE_CHECKING:
    from vlqa.types import ImageLike, Images

_BLOCK = 256  # rows scored at once: bounds memory for a million images


class PromptPredictor(ABC):
    """Scores images by comparing their features with sentences.

    Args:
        backbone: turns patches and sentences into features; put in evaluation mode by whoever builds it.
        prompts: the sentences.
        view: which pixels the backbone sees.
        name: of the model, for records and messages.
        batch_size: pictures of 224×224 px an encoder call; larger ones count as several.
        workers: decoding threads; None chooses by the number of cores.

    Attributes:
        scale: (lowest, highest) score.
        feature_slices: where each view's part lies in a row of features.
    """

    method: ClassVar[str]
    scores_from_features: ClassVar[bool] = True
    scale: tuple[float, float]

    def __init__(
        self,
        backbone: ClipBackbone,
        prompts: PromptSet,
        view: View,
        *,
        name: str,
        batch_size: int = 32,
        workers: int | None = None,
    ) -> None:
        self.backbone = backbone
        self.prompts = prompts
        self.view = view
        self.name = name
        self.batch_size = batch_size
        self.workers = workers
        self.feature_slices: Mapping[str, slice] = {"high": slice(0, backbone.embed_dim)}

    @functools.cached_property
    def digest(self) -> str:
        """SHA-256 (hex) of all that decides a score: method, weights, prompts and view."""
        return artifacts.digest_json([self.method, self.backbone.digest, self.prompts.digest, self.view.as_dict()])

    def predict(self, images: Images) -> npt.NDArray[np.float64]:
        """Score of each image on `scale`, higher is better.

        Args:
            images: one or an iterable of path, bytes, PIL image or uint8 H×W×3 array; sizes may differ.

        Returns:
            (n,); NaN, with an `ImageWarning`, for an image that fails.

        Raises:
            VLQAError: every image fails.
        """
        return self._collect(images, self._score, ())

    def embed(self, images: Images) -> npt.NDArray[np.float32]:
        """Features of each image, the input of `predict_features`.

        The backbone's raw output; where the view cuts several patches, the mean of their unit-length features.

        Returns:
            (n, d) float32; a row of NaN, with an `ImageWarning`, for an image that fails.

        Raises:
            VLQAError: every image fails.
        """
        return self._collect(images, lambda features: features, (self.backbone.embed_dim,)).astype(np.float32)

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
        return self._collect(images, functools.partial(self._probabilities, prompts=chosen), (width,))

    def probabilities_features(
        self, features: npt.ArrayLike, prompts: Prompts | None = None
    ) -> npt.NDArray[np.float64]:
        """The probabilities `probabilities` gives, from stored features (n, d)."""
        chosen = self.prompts if prompts is None else PromptSet.of(prompts)
        return self._probabilities(self._rows(features), chosen).double().numpy()

    def assess(self, images: Images) -> list[Assessment]:
        """Everything the method knows of each image, in order; an image that fails has `error`."""
        return list(self.assess_stream(images))

    def assess_stream(self, images: Images) -> Iterator[Assessment]:
        """As `assess`, one at a time: images may be a generator without end."""
        for name, features, error in self._encoded(images):
            if features is None:
                yield Assessment(path=name, model=self.name, digest=self.digest[:16], error=_one_line(error))
            else:
                yield self._assessment(name, self._details(features[None])[0])

    def predict_features(self, features: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """The scores `predict` gives, from stored features (n, d); a row of NaN gives NaN."""
        return self._score(self._rows(features)).double().numpy()

    def assess_features(self, features: npt.ArrayLike, paths: Sequence[str | None] | None = None) -> list[Assessment]:
        """The assessments `assess` gives, from stored features (n, d) and optionally the images' paths."""
        rows = self._rows(features)
        names = [None] * len(rows) if paths is None else list(paths)
        if len(names) != len(rows):
            raise ConfigError(f"expected one path for each of {len(rows)} rows of features, got {len(names)}")
        return [self._assessment(name, details) for name, details in zip(names, self._details(rows), strict=True)]

    @abstractmethod
    def _score(self, features: Float[Tensor, "n d"]) -> Float[Tensor, " n"]:
        """Scores on `scale`."""

    @abstractmethod
    def _details(self, features: Float[Tensor, "n d"]) -> list[dict[str, Any]]:
        """Fields of an Assessment for each row, `raw` among them."""

    def _encoded(self, images: Images) -> Iterator[tuple[str | None, Tensor | None, VLQAError | None]]:
        encoded = encode_images(
            as_iterable(images), self.view, self._encode, batch_size=self.batch_size, workers=self.workers
        )
        for item in encoded:
            features = item.features
            if features is not None:
                features = unit(features).mean(dim=0) if self.view.averages else features[0]
            yield item.name, features, item.error

    @torch.inference_mode()
    def _encode(self, patches: Tensor) -> Tensor:
        return self.backbone.encode_image(patches)

    def _collect(
        self, images: Images, read: Callable[[Tensor], Tensor], shape: tuple[int, ...]
    ) -> npt.NDArray[np.float64]:
        blocks: list[Tensor] = []
        rows: list[Tensor] = []
        failures = total = 0
        first: VLQAError | None = None
        for name, features, error in self._encoded(images):
            total += 1
            if features is None:
                failures += 1
                first = first or error
                features = torch.full((self.backbone.embed_dim,), torch.nan)
                message = _one_line(error)
                if name is None or name not in message:
                    message = f"{f'image {total - 1}' if name is None else name}: {message}"
                warnings.warn(f"no score: {message}", ImageWarning, stacklevel=3)
            rows.append(features)
            if len(rows) == _BLOCK:
                blocks.append(read(torch.stack(rows)))
                rows = []
        if first is not None and failures == total:
            raise first if total == 1 else VLQAError(f"all {total} images fail; the first: {_one_line(first)}")
        if rows:
            blocks.append(read(torch.stack(rows)))
        return torch.cat(blocks).double().numpy() if blocks else np.zeros((0, *shape))

    def _assessment(self, name: str | None, details: dict[str, Any]) -> Assessment:
        common: dict[str, Any] = {"path": name, "model": self.name, "digest": self.digest[:16]}
        if not np.isfinite(details["raw"]):
            return Assessment(**common, error="the features are not finite; encode the image again")
        low, high = self.scale
        quality = min(1.0, max(0.0, (details["raw"] - low) / (high - low)))
        return Assessment(**common, quality=quality, **details)

    def _probabilities(self, features: Float[Tensor, "n d"], prompts: PromptSet) -> Float[Tensor, "n k"]:
        if prompts.kind == "joint":
            return joint_probabilities(self._logits(features, prompts), (len(prompts.texts),))
        anchors = self._texts(prompts).reshape(-1, 2, self.backbone.embed_dim)
        return antonym_probability(self._directions(features), anchors, self._logit_scale(prompts))

    def _logits(self, features: Float[Tensor, "n d"], prompts: PromptSet) -> Float[Tensor, "n k"]:
        return cosine_logits(self._directions(features), self._texts(prompts), self._logit_scale(prompts))

    def _directions(self, features: Tensor) -> Tensor:
        # a mean of unit vectors is shorter than 1 on purpose: its logits are the mean of the patches' logits
        return features if self.view.averages else unit(features)

    def _texts(self, prompts: PromptSet) -> Tensor:
        return self.backbone.encode_text(prompts.texts).cpu()

    def _logit_scale(self, prompts: PromptSet) -> float:
        return self.backbone.logit_scale if prompts.temperature is None else 1 / prompts.temperature

    def _rows(self, features: npt.ArrayLike) -> Tensor:
        rows = np.asarray(features, dtype=np.float32)
        width = self.backbone.embed_dim
        if rows.ndim != 2 or rows.shape[1] != width:
            raise ConfigError(f"{self.name} reads features of shape (n, {width}), got {rows.shape}")
        return torch.from_numpy(np.array(rows))


def as_iterable(images: Images | Any) -> Iterable[ImageLike]:
    """The images of a call: a path, bytes, PIL image or array of at most three axes is one image.

    Raises:
        ConfigError: something that is neither an image nor iterable.
    """
    if isinstance(images, str | bytes | os.PathLike | Image.Image):
        return [images]
    if isinstance(images, np.ndarray) and images.ndim <= 3 and images.dtype.kind not in "OUS":
        return [images]
    if isinstance(images, Iterable):
        return cast("Iterable[ImageLike]", images)
    expected = "a path, bytes, PIL image or uint8 H×W×3 array, or an iterable of them"
    raise ConfigError(f"images must be {expected}, not {type(images).__name__}")


def _one_line(error: VLQAError | None) -> str:
    return " ".join(str(error).split())
