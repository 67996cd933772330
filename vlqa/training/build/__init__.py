"""From a recipe to the parts of a run: data, objective, and the predictor that comes out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from vlqa.training.build import clip, distillation, multitask, pretext, regression
from vlqa.training.build.run import Run
from vlqa.training.config import TrainConfig

__all__ = ["Run", "build_run"]

_BUILDERS: dict[str, Callable[[Any], Run]] = {
    "multitask": multitask.build,
    "distillation": distillation.build,
    "liqe": clip.build_liqe,
    "grepq-high": clip.build_grepq_high,
    "qualiclip": clip.build_qualiclip,
    "clip-iqa-plus": clip.build_clip_iqa_plus,
    "grepq-low": pretext.build_grepq_low,
    "contrique": pretext.build_contrique,
    "re-iqa-quality": pretext.build_re_iqa,
    "re-iqa-content": pretext.build_re_iqa,
    "qpt": pretext.build_qpt,
    "arniqa": pretext.build_arniqa,
    "regression": regression.build,
}


def build_run(config: TrainConfig) -> Run:
    """The parts of a run, from the table of methods."""
    return _BUILDERS[config.method](config)
