"""The words that every part of vlqa shares: images in, assessments out, and the two protocols between them."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, runtime_checkable

import numpy as np
import numpy.typing as npt

from vlqa.errors import VLQAError

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor

    ImageLike: TypeAlias = str | os.PathLike[str] | bytes | Image | npt.NDArray[np.uint8] | "Source"
    Images: TypeAlias = ImageLike | Iterable[ImageLike]

Pixels: TypeAlias = npt.NDArray[np.uint8]
"""One decoded picture: uint8, H×W×3, sRGB."""

FloatArray: TypeAlias = npt.NDArray[np.float32] | npt.NDArray[np.float64]


@dataclass(frozen=True)
class Source:
    """A picture that is no file of its own: a member of an archive, a row of a table, an address.

    It is pickled, as for the processes of a data loader, where `read` can be: in every process those of vlqa open the
    file anew, and fail where it has changed.

    Attributes:
        name: what its record calls it.
        read: its bytes, or the path of a file; called in a decoding thread, when its turn comes. Raises a `VLQAError`
            where there are none.
        stamp: changes where the picture does; None where that is not known.
    """

    name: str
    read: Callable[[], bytes | str]
    stamp: str | None = None

    def __reduce__(self) -> tuple[type[Source], tuple[str, Callable[[], bytes | str], str | None]]:
        if "<" in getattr(self.read, "__qualname__", ""):  # of a lambda or a function in a function
            raise VLQAError(f"{self.name}: is read by a function that no other process has; name the file it lies in")
        return Source, (self.name, self.read, self.stamp)


@dataclass(frozen=True)
class Assessment:
    """What a predictor says of one image; `None` where the method has no such thing.

    Attributes:
        path: where the image came from, `None` for images given as pixels.
        quality: clip((raw − low) / (high − low), 0, 1) over the predictor's scale; higher is better.
        raw: score on the predictor's own scale.
        quality_probabilities: marginal probability of each quality word, which sum to 1; of models that read pairs of
            opposite sentences the probability of each pair's positive one, by the name of the pair.
        scene_probabilities: marginal probability of each scene word; sums to 1.
        distortion_probabilities: marginal probability of each distortion word; sums to 1.
        scene: the most probable scene.
        distortion: the most probable distortion.
        high: the vision-language view's own score, where there are two views.
        low: the low-level view's own score, where there are two views.
        interval: prediction interval on the predictor's scale (few-shot predictors).
        out_of_distribution: whether the image is unlike the pictures a few-shot predictor was fitted on.
        model: name of the model.
        digest: first 16 hex digits of the digest of the model's weights, prompts and options.
        error: one line that says why the image has no score.
    """

    path: str | None
    quality: float | None = None
    raw: float | None = None
    quality_probabilities: dict[str, float] | None = None
    scene_probabilities: dict[str, float] | None = None
    distortion_probabilities: dict[str, float] | None = None
    scene: str | None = None
    distortion: str | None = None
    high: float | None = None
    low: float | None = None
    interval: tuple[float, float] | None = None
    out_of_distribution: bool | None = None
    model: str = ""
    digest: str = ""
    error: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """The fields in their order, as a record of `vlqa score`."""
        return dataclasses.asdict(self)


@dataclass(frozen=True)
class Patch:
    """A part of a picture that was scored for itself.

    Attributes:
        left: of its first column, px of the picture as it was given.
        top: of its first row.
        width: in px.
        height: in px.
        score: on the predictor's scale.
    """

    left: float
    top: float
    width: float
    height: float
    score: float


@dataclass(frozen=True)
class Explanation(Assessment):
    """An assessment and what it rests on; `None` where the method has no such thing.

    Attributes:
        joint_probabilities: probability of each sentence of joint prompts, which sum to 1; the marginal ones are sums.
        attributes: probability of the positive sentence of each pair that was asked for, by the name of the pair, or of
            each label.
        shares: of the two views in the score, "high" and "low", which sum to 1: of w·(score − lowest score of its
            scale), where w is the view's weight.
        patches: what each patch scores alone, from the same pass, where the method looks at patches.
    """

    joint_probabilities: dict[str, float] | None = None
    attributes: dict[str, float] | None = None
    shares: dict[str, float] | None = None
    patches: tuple[Patch, ...] | None = None


class Encoder(Protocol):
    """Turns pictures into feature vectors."""

    def encode_image(self, images: Tensor) -> Tensor:
        """Map (n, 3, h, w) pictures, uint8 or float in [0, 1], to (n, d) features."""
        ...


@runtime_checkable
class QualityPredictor(Protocol):
    """Turns ordinary images into quality, higher is always better."""

    scale: tuple[float, float]
    feature_slices: Mapping[str, slice]

    def predict(self, images: Images) -> npt.NDArray[np.float64]:
        """Score on `scale` of each image, (n,); NaN and a warning for an image that fails, an error if all fail."""
        ...

    def assess(self, images: Images) -> list[Assessment]:
        """Everything the method knows of each image; an image that fails has `error`."""
        ...

    def assess_stream(self, images: Images) -> Iterator[Assessment]:
        """As `assess`, one at a time."""
        ...

    def embed(self, images: Images) -> npt.NDArray[np.float32]:
        """The method's own raw features, (n, d)."""
        ...

    def predict_features(self, features: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """The scores `predict` gives, from stored features (n, d)."""
        ...
