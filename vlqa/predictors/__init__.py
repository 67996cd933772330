"""Predictors: ordinary images in, quality out."""

from __future__ import annotations

from vlqa.predictors.antonym import AntonymPredictor
from vlqa.predictors.multitask import MultitaskPredictor
from vlqa.predictors.prompted import PromptPredictor

__all__ = ["AntonymPredictor", "MultitaskPredictor", "PromptPredictor"]
