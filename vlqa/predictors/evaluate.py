"""Measure a predictor against human scores."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from vlqa.data.manifest import Manifest
from vlqa.errors import ImageWarning
from vlqa.evaluation import Evaluation, evaluate_scores

if TYPE_CHECKING:
    from vlqa.types import QualityPredictor


def evaluate(
    predictor: QualityPredictor,
    manifest: Manifest | str | os.PathLike[str],
    *,
    images: str | os.PathLike[str] | None = None,
    features: npt.ArrayLike | None = None,
    seed: int = 0,
    progress: Callable[[int], None] | None = None,
) -> Evaluation:
    """Correlations and error of a predictor's scores, each with a 95 % bootstrap interval.

    Args:
        predictor: what `vlqa.load` gives.
        manifest: rated images, or the CSV or Parquet file that lists them.
        images: folder that the file's paths start from; that of the file when left out.
        features: (n, d) stored rows of the manifest's images, NaN where one failed: scored in place of the images.
        seed: decides the bootstrap resamples.
        progress: called after each image with the number that failed so far.

    Returns:
        SRCC, PLCC (raw and after a logistic), KRCC and RMSE; images that failed are counted and left out.

    Raises:
        ManifestError: a file that cannot be used.
        ConfigError: features of another shape, or for a method that scores by patches.
    """
    rated = manifest if isinstance(manifest, Manifest) else Manifest.read(manifest, images=images)
    if features is not None:
        return evaluate_scores(predictor.predict_features(features), rated.mos, seed=seed)
    scores, failed = np.full(len(rated.paths), np.nan), 0
    for number, record in enumerate(predictor.assess_stream(rated.find_pictures())):
        if record.raw is None:
            failed += 1
            warnings.warn(f"no score: {record.error}", ImageWarning, stacklevel=2)
        else:
            scores[number] = record.raw
        if progress is not None:
            progress(failed)
    return evaluate_scores(scores, rated.mos, seed=seed)
