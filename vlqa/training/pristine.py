"""Pristine statistics by recipe: nothing is optimised, so the loop has no part in it."""

from __future__ import annotations

from pathlib import Path

from vlqa import hub
from vlqa.hub.statistics import load_blind
from vlqa.predictors.pristine import pristine_statistics
from vlqa.training.config.pristine import PristineConfig
from vlqa.training.photos import find_photos


def fit_pristine(config: PristineConfig) -> Path:
    """Give a model the statistics of the recipe's photographs and save it.

    Returns:
        `<output>/model`.

    Raises:
        ConfigError: the model does not score by pristine statistics.
    """
    predictor = load_blind(config.model)
    predictor.statistics = pristine_statistics(predictor, find_photos(config.photos))
    predictor.name = config.name
    return hub.save(predictor, config.output / "model")
