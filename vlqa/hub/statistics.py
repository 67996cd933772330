"""Pristine statistics as a file of their own: a mean, a covariance, and the encoder they belong to."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import safetensors

from vlqa import artifacts
from vlqa.errors import CheckpointError, ConfigError
from vlqa.hub.store import load
from vlqa.predictors.pristine import PristinePredictor, PristineStatistics


def load_blind(model: str | os.PathLike[str], **options: Any) -> PristinePredictor:
    """As `load`, for a model that scores by pristine statistics.

    Raises:
        ConfigError: it scores by something else.
    """
    predictor = load(model, **options)
    if not isinstance(predictor, PristinePredictor):
        raise ConfigError(f"{model} does not score by pristine statistics; grepq-low does")
    return predictor


def write_statistics(
    path: str | os.PathLike[str], statistics: PristineStatistics, predictor: PristinePredictor
) -> None:
    """Write statistics as safetensors, with the digest of the encoder that they were made with."""
    tensors = {"mean": statistics.mean, "covariance": statistics.covariance}
    metadata = {"encoder": _encoder_digest(predictor), "patches": str(statistics.patches), "kind": "pristine"}
    artifacts.write_tensors(path, tensors, metadata)


def read_statistics(path: str | os.PathLike[str], predictor: PristinePredictor) -> PristineStatistics:
    """Read what `write_statistics` wrote.

    Raises:
        CheckpointError: missing, damaged, no such statistics, or those of another encoder.
    """
    tensors = artifacts.read_checkpoint(Path(path))
    try:
        with safetensors.safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
        statistics = PristineStatistics(tensors["mean"], tensors["covariance"], int(metadata["patches"]))
        encoder = metadata["encoder"]
    except (KeyError, ValueError, safetensors.SafetensorError):
        raise CheckpointError(f"{path}: no pristine statistics; vlqa pristine writes them") from None
    if encoder != _encoder_digest(predictor):
        raise CheckpointError(f"{path}: statistics of another encoder; make them anew with vlqa pristine")
    return statistics


def _encoder_digest(predictor: PristinePredictor) -> str:
    return artifacts.digest_json([encoder.digest for encoder in predictor.encoders.values()])
