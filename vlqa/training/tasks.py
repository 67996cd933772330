"""Quality, scene and distortion as losses on one softmax over joint prompts, and how they are balanced."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from vlqa.functional.fidelity import categorical_fidelity, dynamic_weights, multilabel_fidelity, pairwise_fidelity
from vlqa.functional.multitask import expected_quality, joint_probabilities, marginals
from vlqa.prompts import PromptSet

Balance = Literal["dynamic", "equal", "uncertainty"]
TASKS = ("quality", "scene", "distortion")


class JointTasks(nn.Module):
    """LIQE's losses (arXiv 2303.14968) of whichever of quality, scene and distortion the prompts name.

    Args:
        prompts: joint prompts with labels of `quality`, and of `scene` and `distortion` where these are tasks.
        weights: of the tasks; one left out counts 1.
        balance: "dynamic" (dynamic weight average over epochs), "equal", or "uncertainty": a task's loss L becomes
            exp(−s)·L + s with a learned s (Kendall et al., arXiv 1705.07115, eq. 10, for losses that are no
            likelihoods).
    """

    history: Tensor
    running: Tensor
    counted: Tensor

    def __init__(
        self, prompts: PromptSet, weights: Mapping[str, float] | None = None, balance: Balance = "dynamic"
    ) -> None:
        super().__init__()
        self.shape = prompts.shape
        self.values = prompts.values
        self.axes = [axis for axis, _ in prompts.axes]
        self.names = [task for task in TASKS if task in self.axes]
        self.weights = {task: (weights or {}).get(task, 1.0) for task in self.names}
        self.balance = balance
        if balance == "uncertainty":
            self.log_variance = nn.Parameter(torch.zeros(len(self.names)))
        self.register_buffer("history", torch.zeros(0, len(self.names)))
        self.register_buffer("running", torch.zeros(len(self.names)))
        self.register_buffer("counted", torch.zeros((), dtype=torch.int64))

    def forward(
        self, logits: Float[Tensor, "n k"], facts: Mapping[str, Tensor]
    ) -> tuple[dict[str, Tensor], Float[Tensor, " n"]]:
        """Unweighted losses, and the scores on the scale of the quality words.

        Args:
            logits: of every joint prompt.
            facts: `mos` (on the scale of the quality words), `set_id`, `scenes`, `distortion`; see `Facts`.
        """
        found = dict(zip(self.axes, marginals(joint_probabilities(logits, self.shape)), strict=True))
        score = expected_quality(found["quality"], self.values)
        parts = {"quality": pairwise_fidelity(score, facts["mos"].float(), facts["set_id"])}
        if "scene" in self.names:
            # each answer for itself: a file name settles some scenes and leaves others open
            scenes = facts["scenes"].reshape(-1, 1)
            parts["scene"] = multilabel_fidelity(found["scene"].reshape(-1, 1), scenes.float(), mask=scenes[:, 0] >= 0)
        if "distortion" in self.names:
            parts["distortion"] = categorical_fidelity(found["distortion"], facts["distortion"])
        return parts, score

    def total(self, parts: Mapping[str, Tensor]) -> Tensor:
        """The balanced sum of the tasks' losses."""
        losses = torch.stack([self.weights[task] * parts[task] for task in self.names])
        if self.balance == "uncertainty":
            labelled = losses.detach() != 0  # else the variance of a task without labels falls without end
            return (((-self.log_variance).exp() * losses + self.log_variance) * labelled).sum()
        return (self._factors().to(losses) * losses).sum()

    def _factors(self) -> Tensor:
        return torch.ones(len(self.names)) if self.balance == "equal" else dynamic_weights(self.history)

    def count(self, parts: Mapping[str, Tensor]) -> None:
        """Remember the losses of one step for the dynamic weight average."""
        self.running += torch.stack([parts[task].detach().float() for task in self.names])
        self.counted += 1

    def end_epoch(self) -> None:
        """Turn the remembered losses into one row of history (means over the epoch)."""
        self.history = torch.cat([self.history, (self.running / self.counted.clamp(min=1))[None]])[-2:]
        self.running = torch.zeros_like(self.running)
        self.counted = torch.zeros_like(self.counted)

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:
        if f"{prefix}history" in state_dict:  # its length grows with the epochs
            self.history = torch.zeros_like(state_dict[f"{prefix}history"])
        super()._load_from_state_dict(state_dict, prefix, *args)
