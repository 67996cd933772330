"""Measure a predictor against human scores."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from vlqa.data.manifest import Manifest
from vlqa.evaluation import Evaluation, evaluate_scores

if TYPE_CHECKING:
    from vlqa.types import QualityPredictor


def evaluate(
    predictor: QualityPredictor,
    manifest: Manifest | str | os.PathLike[str],
    *,
    images: str | os.PathLike[str] | None = None,
    seed: int = 0,
) -> Evaluation:
    """Correlations and error of a predictor's scores, each with a 95 % bootstrap interval.

    Args:
        predictor: what `vlqa.load` gives.
        manifest: rated images, or the CSV or Parquet file that lists them.
        images: folder that the file's paths start from; that of the file when left out.
        seed: decides the bootstrap resamples.

    Returns:
        SRCC, PLCC (raw and after a logistic), KRCC and RMSE; images that failed are counted and left out.

    Raises:
        ManifestError: a file that cannot be used.
    """
    rated = manifest if isinstance(manifest, Manifest) else Manifest.read(manifest, images=images)
    return evaluate_scores(predictor.predict(rated.paths), rated.mos, seed=seed)
