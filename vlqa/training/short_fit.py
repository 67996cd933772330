"""A short fit of low-rank adapters to a few opinions: minutes on two cores, seconds where only a head is trained."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import nn

from vlqa.errors import ConfigError, VLQAError
from vlqa.functional.fidelity import pairwise_fidelity
from vlqa.models.clip_backbone import ClipBackbone
from vlqa.models.lora import Adapters, LoraOptions
from vlqa.models.quality_encoder import QualityEncoder
from vlqa.predictors.prompted import PromptPredictor
from vlqa.training.clip_objective import keep_statistics
from vlqa.training.shown import Shown

_RANGE = 8.0  # deviations of Thurstone's model that the scale of a predictor spans, whatever its unit


@dataclass(frozen=True)
class ShortFit:
    """Size of the adapters and length of the fit.

    Attributes:
        lora: the adapters.
        steps: of the optimiser.
        batch: pictures a step.
        learning_rate: at its highest; it warms up over a tenth of the steps and falls to 0 as a cosine.
        weight_decay: of the adapters' matrices.
        clip_norm: largest norm of a gradient.
    """

    lora: LoraOptions
    steps: int = 100
    batch: int = 64
    learning_rate: float = 2e-3
    weight_decay: float = 0.05
    clip_norm: float = 1.0

    def __post_init__(self) -> None:
        if self.steps < 1 or self.batch < 2:
            raise ConfigError(f"a fit needs 1 step and 2 pictures a step at least, not {self.steps} and {self.batch}")

    @classmethod
    def of(cls, backbone: ClipBackbone) -> Self:
        """What suits a tower: its head where that hears every stage of a trunk, else its attention."""
        if isinstance(backbone.visual, QualityEncoder):
            return cls(LoraOptions(rank=8, alpha=16, dropout=0.1, targets=("head.1", "head.3")))
        return cls(LoraOptions(rank=8, alpha=16, dropout=0.1), batch=16, learning_rate=2e-4)


def fit_adapter(
    view: PromptPredictor,
    adapters: Adapters,
    name: str,
    shown: Shown,
    rows: Int[np.ndarray, " m"],
    mos: Float[np.ndarray, " n"],
    options: ShortFit,
    seed: int,
    stepped: Callable[[], None],
) -> None:
    """A new adapter, in use, by which the scores of the view order some pictures as people did.

    The loss is the pairwise fidelity loss of LIQE (arXiv 2303.14968) of the view's own score by its sentences, so that
    only order counts; sentences, temperature and statistics of batch norm stay.

    Args:
        view: scores by sentences; its backbone has the adapters.
        adapters: of that backbone.
        name: of the new one.
        shown: the pictures.
        rows: of them that are learned from.
        mos: (n,) opinions of all, higher is better.
        options: how long and how much.
        seed: decides the first values, the order and the mirroring.
        stepped: called after each step.

    Raises:
        VLQAError: the loss is not finite.
    """
    tower, reader = view.backbone.visual, view._reader(False, None)  # which reads the sentences once
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        adapters.add(name, options.lora)
        trained = [weight for weight in tower.parameters() if weight.requires_grad]
        optimizer = torch.optim.AdamW(trained, lr=options.learning_rate, weight_decay=options.weight_decay)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _rate(step, options.steps))
        rng = np.random.default_rng(seed)
        rounds = -(-options.steps * options.batch // len(rows))
        order = np.concatenate([rng.permutation(rows) for _ in range(rounds)])
        opinions = torch.from_numpy(np.asarray(mos))
        steepness = _RANGE / (view.scale[1] - view.scale[0])
        tower.train()
        keep_statistics(tower)
        for step in range(options.steps):
            batch = order[step * options.batch : (step + 1) * options.batch]
            quality = steepness * reader._score(shown.batch(batch, rng).float().cpu())  # where its sentences are
            loss = pairwise_fidelity(quality, opinions[torch.from_numpy(batch)])
            if not bool(loss.isfinite()):
                raise VLQAError(f"the loss of step {step + 1} of an adapter is not finite; fit without --adapt")
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(trained, options.clip_norm)
            optimizer.step()
            schedule.step()
            stepped()
        tower.eval()


def _rate(step: int, steps: int) -> float:
    warm = max(1, steps // 10)
    return min(1.0, (step + 1) / warm) * (1 + math.cos(math.pi * step / steps)) / 2
