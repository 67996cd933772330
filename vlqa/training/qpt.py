"""QPT's pretext task: momentum contrast with the same photograph under other damages among the negatives."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from vlqa.training.re_iqa import ReIqaObjective


class QptObjective(ReIqaObjective):
    """QPT (arXiv 2303.00521, eq. 3): as MoCo-v2, with negatives of each query's own.

    Arguments are those of `ReIqaObjective`; the paper has no public code, its queue, momentum and temperature are taken
    to be MoCo-v2's.
    """

    def forward(self, batch: Mapping[str, Tensor], step: int) -> tuple[Tensor, dict[str, Tensor]]:
        """Loss of `query` and `key` (n, 1, 3, h, w) with `negative` (n, 1, k, 3, h, w)."""
        query, key, negative = (batch[name].flatten(0, 1) for name in ("query", "key", "negative"))
        loss = self.moco(query, key, step, negative)
        return loss, {"contrast": loss}
