"""How well scores agree with people: correlations, logistic mapping, intervals, splits. Knows no predictor."""

from __future__ import annotations

from vlqa.evaluation.comparison import Difference, paired_differences, split_differences
from vlqa.evaluation.correlations import krcc, plcc, rmse, srcc
from vlqa.evaluation.evaluate import Estimate, Evaluation, evaluate_scores
from vlqa.evaluation.intervals import bootstrap_interval
from vlqa.evaluation.mapping import ScoreMapping, fit_logistic, logistic4
from vlqa.evaluation.resamples import bootstrap_columns, column_correlations, percentiles
from vlqa.evaluation.significance import difference_p_values, holm
from vlqa.evaluation.splits import group_folds, repeated_splits, splits

__all__ = [
    "Difference",
    "Estimate",
    "Evaluation",
    "ScoreMapping",
    "bootstrap_columns",
    "bootstrap_interval",
    "column_correlations",
    "difference_p_values",
    "evaluate_scores",
    "fit_logistic",
    "group_folds",
    "holm",
    "krcc",
    "logistic4",
    "paired_differences",
    "percentiles",
    "plcc",
    "repeated_splits",
    "rmse",
    "split_differences",
    "splits",
    "srcc",
]
