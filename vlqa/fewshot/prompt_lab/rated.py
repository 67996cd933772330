"""Stored features with opinions, and what pairs of sentences say of them."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from vlqa.errors import ConfigError
from vlqa.evaluation import Estimate
from vlqa.evaluation.correlations import Vector
from vlqa.functional.similarity import antonym_probability
from vlqa.predictors.base import ImagePredictor
from vlqa.predictors.ensemble import vision_language_view
from vlqa.predictors.prompted import PromptPredictor

FEWEST = 10
"""Rated pictures below which correlations say nothing."""

_CELLS = 4_000_000  # probabilities at once; bounds memory at any number of pairs

Columns = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Rated:
    """Pictures of which features and opinions are known.

    Attributes:
        view: what compares them with sentences.
        features: (n, d) of that view.
        mos: (n,) opinions.
        rows: (n,) which of the given rows they are.
        dropped: given rows without finite features or opinion.
    """

    view: PromptPredictor
    features: Tensor
    mos: Vector
    rows: npt.NDArray[np.intp]
    dropped: int

    @classmethod
    def of(cls, predictor: ImagePredictor, features: npt.ArrayLike, mos: npt.ArrayLike, fewest: int = FEWEST) -> Rated:
        """The rows that can be used.

        Args:
            predictor: a model with a text tower.
            features: (n, d) rows of its `embed`, or of its vision-language view; NaN for pictures that failed.
            mos: (n,) opinions, higher is better; NaN where unknown.
            fewest: rows that are needed.

        Raises:
            ConfigError: no text tower, shapes that do not fit, too few rows, or opinions that are all the same.
        """
        view = vision_language_view(predictor)
        if view is None:
            raise ConfigError(f"{predictor.name} compares pictures with no sentences: it has no text tower")
        given, opinions = np.asarray(features, np.float32), np.asarray(mos, np.float64)
        if given.ndim != 2 or given.shape[1] not in (predictor.width, view.width):
            raise ConfigError(f"{predictor.name} has features of shape (n, {view.width}), got {given.shape}")
        if opinions.shape != given.shape[:1]:
            raise ConfigError(f"expected one opinion for each of {len(given)} rows of features, got {opinions.shape}")
        given = given[:, : view.width]  # the view comes first in a row of several
        usable = np.isfinite(given).all(axis=1) & np.isfinite(opinions)
        rows = np.flatnonzero(usable)
        dropped = len(given) - len(rows)
        if len(rows) < fewest:
            lost = f" ({dropped} have no features or no opinion)" if dropped else ""
            raise ConfigError(f"at least {fewest} rated pictures are needed, found {len(rows)}{lost}")
        if np.ptp(opinions[rows]) == 0:
            found = f"all {len(rows)} opinions are {opinions[rows[0]]:g}"
            raise ConfigError(f"{found}: nothing agrees with a constant; check the column mos")
        return cls(view, torch.from_numpy(given[rows]), opinions[rows], rows, dropped)

    def __len__(self) -> int:
        return len(self.mos)


class PairScores:
    """What pairs of opposite sentences say of pictures; each sentence is encoded once.

    Args:
        rated: the pictures.
        pairs: (positive, negative) sentences.
    """

    def __init__(self, rated: Rated, pairs: Sequence[tuple[str, str]]) -> None:
        self.view = rated.view
        texts = list(dict.fromkeys(itertools.chain.from_iterable(pairs)))
        number = {text: index for index, text in enumerate(texts)}
        self._directions = self.view.directions(rated.features)
        self._texts = self.view.backbone.encode_text(texts).cpu()
        self._sides = torch.tensor([[number[side] for side in pair] for pair in pairs]).reshape(-1, 2)

    def __len__(self) -> int:
        return len(self._sides)

    def __call__(
        self,
        pairs: Sequence[int] | npt.NDArray[np.intp] | None = None,
        *,
        rows: npt.NDArray[np.intp] | None = None,
        temperature: float | None = None,
    ) -> Columns:
        """(n, k) probability of the positive sentence of each of some pairs, for some rows; all where left out."""
        anchors = self._texts[self._sides if pairs is None else self._sides[torch.as_tensor(np.asarray(pairs))]]
        directions = self._directions if rows is None else self._directions[torch.as_tensor(rows)]
        return antonym_probability(directions, anchors, self.view.logit_scale(temperature)).double().numpy()

    def in_blocks(
        self, rows: npt.NDArray[np.intp], temperature: float | None = None
    ) -> Iterator[tuple[npt.NDArray[np.intp], Columns]]:
        """(which pairs, their columns) of all pairs, in blocks of bounded size."""
        at_once = max(1, _CELLS // max(1, len(rows)))
        for start in range(0, len(self), at_once):
            pairs = np.arange(start, min(start + at_once, len(self)))
            yield pairs, self(pairs, rows=rows, temperature=temperature)


def plain(value: Any) -> Any:
    """A number, an estimate or records of them as JSON has it: null for what is not finite."""
    if isinstance(value, Estimate):
        return {name: plain(part) for name, part in value._asdict().items()}
    if isinstance(value, float):
        return value if np.isfinite(value) else None
    if isinstance(value, dict):
        return {name: plain(part) for name, part in value.items()}
    return [plain(part) for part in value] if isinstance(value, list | tuple) else value


def flat(name: str, estimate: Estimate) -> dict[str, float | None]:
    """An estimate as three columns of a table."""
    return {name: plain(estimate.value), f"{name}_low": plain(estimate.low), f"{name}_high": plain(estimate.high)}
