"""Predictors: ordinary images in, quality out."""

from __future__ import annotations

from vlqa.predictors.antonym import AntonymPredictor
from vlqa.predictors.base import PromptPredictor
from vlqa.predictors.multitask import MultitaskPredictor

__all__ = ["AntonymPredictor", "MultitaskPredictor", "PromptPredictor"]
