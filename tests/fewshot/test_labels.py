from __future__ import annotations

import numpy as np
import pytest

from vlqa.fewshot.labels import weights_from


def test_opinions_raters_agreed_on_count_for_more_where_most_agreed_fully() -> None:
    weights = weights_from([0.0] * 6 + [1.0, 2.0, 4.0, np.nan], 10)
    assert weights.mean() == pytest.approx(1)
    assert (np.diff(weights[5:9]) < 0).all() and np.ptp(weights[:6]) == 0
    assert (
        weights[0] / weights[7] == pytest.approx(2) == weights[0] / weights[9]
    )  # 2 is typical, and stands for unknown


def test_one_enormous_deviation_is_not_typical() -> None:
    weights = weights_from([0.0] * 6 + [1.0, 1.0, 1e300], 9)
    assert weights[0] / weights[6] == pytest.approx(2) and 0 < weights[8] < 1e-5


@pytest.mark.parametrize("spread", [None, [0.0] * 4, [np.nan] * 4, [0.0, np.nan, 0.0, 0.0]])
def test_without_a_deviation_above_nothing_all_weigh_the_same(spread: list[float] | None) -> None:
    np.testing.assert_array_equal(weights_from(spread, 4), np.ones(4))
