"""What all predictors share: images → patches → features → scores, in one place."""

from __future__ import annotations

import copy
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Self, Unpack

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Float
from torch import Tensor

from vlqa.errors import ConfigError, ImageWarning, VLQAError
from vlqa.pipeline import Route, encode_images
from vlqa.predictors.given import as_iterable
from vlqa.predictors.reading import Reading
from vlqa.profiling import stage
from vlqa.types import Assessment, Explanation, Patch

if TYPE_CHECKING:
    from vlqa.predictors.views.base import Patchwork
    from vlqa.prompts import Prompts
    from vlqa.types import Images


@dataclass(frozen=True)
class Sight(Route):
    """A route whose features of a picture's patches become one row.

    Attributes:
        pool: features (p, d) of the patches of an image → one row.
        width: of the row.
    """

    pool: Callable[[Tensor], Tensor]
    width: int


_BLOCK = 256  # rows scored at once: bounds memory for a million images


class ImagePredictor(ABC):
    """Scores images by what encoders make of them.

    Args:
        width: of a row of features.
        name: of the model, for records and messages.
        reading: how pictures are read and batched; see `Reading`.

    Attributes:
        scale: (lowest, highest) score.
        feature_slices: where each view's part lies in a row of features.
        explains: whether its assessments are explanations; of the copy that one call of `assess` reads with.
        scores_from_features: whether `predict_features` can give the scores that `predict` gives.
    """

    method: ClassVar[str]
    scores_from_features: ClassVar[bool] = True
    explains: bool = False
    scale: tuple[float, float]
    feature_slices: Mapping[str, slice]

    def __init__(self, width: int, *, name: str, **reading: Unpack[Reading]) -> None:
        self.width = width
        self.name = name
        self.reading: Reading = reading

    @property
    @abstractmethod
    def digest(self) -> str:
        """SHA-256 (hex) of all that decides a score."""

    @property
    @abstractmethod
    def features_digest(self) -> str:
        """SHA-256 (hex) of all that decides a row of `embed`: encoders and view; not sentences, not regressors."""

    @property
    def feature_sources(self) -> tuple[ImagePredictor, ...]:
        """Predictors whose rows, side by side, are a row of `embed`: itself, or its views where it has several."""
        return (self,)

    def predict(self, images: Images) -> npt.NDArray[np.float64]:
        """Score of each image on `scale`, higher is better.

        Args:
            images: one or an iterable of path, bytes, PIL image or uint8 H×W×3 array; sizes may differ.

        Returns:
            (n,); NaN, with an `ImageWarning`, for an image that fails.

        Raises:
            VLQAError: every image fails.
        """
        return self._collect(images, self._scoring(), self._score, ())

    def embed(self, images: Images) -> npt.NDArray[np.float32]:
        """Features of each image, the input of `predict_features`: what the encoder makes of the patches, joined.

        Returns:
            (n, d) float32; a row of NaN, with an `ImageWarning`, for an image that fails.

        Raises:
            VLQAError: every image fails.
        """
        return self._collect(images, self._embedding(), lambda rows: rows, (self.width,)).astype(np.float32)

    def embed_stream(self, images: Images) -> Iterator[npt.NDArray[np.float32] | VLQAError]:
        """As `embed`, one at a time: the features of each image, (d,), or the error that it has instead."""
        for _, features, error in self._encoded(images, self._embedding()):
            yield features.float().numpy() if features is not None else error or VLQAError("no features")

    def assess(self, images: Images, *, explain: bool = False, attributes: Prompts | None = None) -> list[Assessment]:
        """Everything the method knows of each image, in order; an image that fails has `error`.

        Args:
            images: as for `predict`.
            explain: tell what the assessment rests on as well: each one is an `Explanation`.
            attributes: pairs of opposite sentences, labels, or a PromptSet, its bundled name or path, whose
                probabilities are told as well; explains.

        Raises:
            ConfigError: attributes for a model without a text tower.
        """
        return list(self.assess_stream(images, explain=explain, attributes=attributes))

    def assess_stream(
        self, images: Images, *, explain: bool = False, attributes: Prompts | None = None
    ) -> Iterator[Assessment]:
        """As `assess`, one at a time: images may be a generator without end; weights must not change meanwhile."""
        if explain and self.reading.get("fast_decode"):
            raise ConfigError("an explanation tells places in the whole picture; leave fast_decode out")
        reader = self._reader(explain or attributes is not None, attributes)
        sights = reader._assessing()
        for item in encode_images(as_iterable(images), sights, **reader.reading):
            if item.features is None:
                yield reader._failed(item.name, item.error)
                continue
            with stage("score"):
                details = reader._details(joined_row(sights, item.features)[None])[0]
            if reader.explains:
                details["patches"] = reader._patches(item.features, item.size)
            yield reader._assessment(item.name, details)

    def predict_features(self, features: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """The scores `predict` gives, from stored features (n, d); a row of NaN gives NaN.

        Raises:
            ConfigError: another width, or a method that scores by patches: see `scores_from_features`.
        """
        return self._score(self._scorable(features)).double().numpy()

    def assess_features(
        self,
        features: npt.ArrayLike,
        paths: Sequence[str | None] | None = None,
        *,
        explain: bool = False,
        attributes: Prompts | None = None,
    ) -> list[Assessment]:
        """The assessments `assess` gives, from stored features (n, d) and optionally the images' paths."""
        reader = self._reader(explain or attributes is not None, attributes)
        rows = self._scorable(features)
        names = [None] * len(rows) if paths is None else list(paths)
        if len(names) != len(rows):
            raise ConfigError(f"expected one path for each of {len(rows)} rows of features, got {len(names)}")
        return [reader._assessment(name, details) for name, details in zip(names, reader._details(rows), strict=True)]

    @abstractmethod
    def _embedding(self) -> tuple[Sight, ...]:
        """What `embed` gives, side by side."""

    @abstractmethod
    def _score(self, features: Float[Tensor, "n d"]) -> Float[Tensor, " n"]:
        """Scores on `scale`."""

    @abstractmethod
    def _details(self, features: Float[Tensor, "n d"]) -> list[dict[str, Any]]:
        """Fields of an Assessment for each row, `raw` among them."""

    def _scoring(self) -> tuple[Sight, ...]:
        """What `_score` is given: the features, unless a method scores by something else."""
        return self._embedding()

    def _assessing(self) -> tuple[Sight, ...]:
        """What `_details` is given: as for scores, unless an assessment tells more."""
        return self._scoring()

    def _patches(self, features: Sequence[Tensor], size: tuple[int, int]) -> tuple[Patch, ...] | None:
        """What each patch scores alone; None for methods that look at the whole.

        Args:
            features: of the patches, (p, d) for each sight of an assessment.
            size: height and width of the picture.
        """
        return None

    def _reader(self, explain: bool, attributes: Prompts | None) -> Self:
        """What one call of `assess` reads with: a copy that knows what is asked."""
        if attributes is not None:
            raise ConfigError(f"{self.name} reads no prompts, so it has no attributes: it has no text tower")
        reader = copy.copy(self)
        reader.explains = explain
        return reader

    def _encoded(
        self, images: Images, sights: Sequence[Sight]
    ) -> Iterator[tuple[str | None, Tensor | None, VLQAError | None]]:
        for item in encode_images(as_iterable(images), sights, **self.reading):
            yield item.name, None if item.features is None else joined_row(sights, item.features), item.error

    def _collect(
        self,
        images: Images,
        sights: Sequence[Sight],
        read: Callable[[Tensor], Tensor],
        shape: tuple[int, ...],
    ) -> npt.NDArray[np.float64]:
        width = sum(sight.width for sight in sights)
        blocks: list[Tensor] = []
        rows: list[Tensor] = []
        failures = total = 0
        first: VLQAError | None = None
        for name, features, error in self._encoded(images, sights):
            total += 1
            if features is None:
                failures += 1
                first = first or error
                features = torch.full((width,), torch.nan)
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
        record = Explanation if self.explains else Assessment
        if not np.isfinite(details["raw"]):
            return record(**common, error="the features are not finite; encode the image again")
        low, high = self.scale
        quality = min(1.0, max(0.0, (details["raw"] - low) / (high - low)))
        return record(**common, quality=quality, **details)

    def _failed(self, name: str | None, error: VLQAError | None) -> Assessment:
        record = Explanation if self.explains else Assessment
        return record(path=name, model=self.name, digest=self.digest[:16], error=_one_line(error))

    def _scorable(self, features: npt.ArrayLike) -> Tensor:
        if not self.scores_from_features:
            raise ConfigError(f"{self.name} scores by the patches of a picture, not by its features alone; use predict")
        return self._rows(features)

    def _rows(self, features: npt.ArrayLike) -> Tensor:
        width = self.width
        try:
            rows = np.asarray(features, dtype=np.float32)
        except (TypeError, ValueError):
            raise ConfigError(f"features must be numbers, (n, {width}) as {self.name}'s embed gives them") from None
        if rows.ndim != 2 or rows.shape[1] != width:
            raise ConfigError(f"{self.name} reads features of shape (n, {width}), got {rows.shape}")
        return torch.from_numpy(np.array(rows))


def scored_patches(work: Patchwork, size: tuple[int, int], scores: Float[Tensor, " p"]) -> tuple[Patch, ...]:
    """Patches with their scores, in px of the picture as it was given."""
    down, across = size[0] / work.height, size[1] / work.width
    return tuple(
        Patch(column * across, row * down, work.side * across, work.side * down, score)
        for (row, column), score in zip(work.corners, scores.tolist(), strict=True)
    )


def joined_row(sights: Sequence[Sight], features: Sequence[Tensor]) -> Float[Tensor, " d"]:
    """What a picture's patches, (p, d) for each sight, come to."""
    return torch.cat([sight.pool(rows) for sight, rows in zip(sights, features, strict=True)])


def _one_line(error: VLQAError | None) -> str:
    return " ".join(str(error).split())
