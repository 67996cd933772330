from __future__ import annotations

import pytest
import torch

from vlqa.functional.ranking import consistency, margin_ranking


def test_margin_ranking_is_what_a_slow_loop_finds() -> None:
    values = torch.randn(4, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    total = [max(0.0, 0.3 - float(row[i] - row[j])) for row in values for i in range(5) for j in range(i + 1, 5)]
    assert float(margin_ranking(values, 0.3)) == pytest.approx(sum(total) / len(total))
    values.requires_grad_(True)
    assert torch.autograd.gradcheck(lambda x: margin_ranking(x, 0.3), values)


def test_what_falls_by_the_margin_costs_nothing_and_one_level_neither() -> None:
    assert float(margin_ranking(torch.tensor([[3.0, 2.0, 1.0]]), 1.0)) == 0
    assert float(margin_ranking(torch.tensor([[3.0]]), 1.0)) == 0
    with pytest.raises(ValueError, match="margin must be at least 0"):
        margin_ranking(torch.ones(1, 2), -0.1)


def test_consistency_is_the_mean_difference() -> None:
    assert float(consistency(torch.tensor([1.0, 2.0]), torch.tensor([2.0, 0.0]))) == 1.5
