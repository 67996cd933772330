"""What the loop asks of an objective."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn


class Objective(nn.Module):
    """A module whose call gives the loss of a batch. All that a run must remember is in its state dict."""

    def forward(self, batch: Mapping[str, Tensor], step: int) -> tuple[Tensor, dict[str, Tensor]]:
        """Total loss and its parts, for the metrics.

        Args:
            batch: what the data set gives, collated.
            step: number of the optimisation step.
        """
        raise NotImplementedError

    def count(self, parts: Mapping[str, Tensor]) -> None:
        """Told of the parts of each step, averaged over the processes."""

    def end_epoch(self) -> None:
        """Told of each `steps_per_epoch` steps."""
