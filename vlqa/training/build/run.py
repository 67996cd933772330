"""What the loop is given."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor
from torch.utils.data import Dataset

from vlqa.training.objective import Objective


@dataclass(frozen=True)
class Run:
    """What the loop needs.

    Attributes:
        objective: module whose call gives the total loss and its parts.
        samples: endless map from index to sample.
        batch_size: samples a step, over all processes.
        predictor: makes the predictor of the trained parts.
    """

    objective: Objective
    samples: Dataset[dict[str, Tensor]]
    batch_size: int
    predictor: Callable[[], Any]
