from __future__ import annotations

import json
import time
import warnings

import numpy as np
import pytest
from matplotlib import pyplot
from scipy import stats

from tests.fewshot.prompt_lab.laboratory import PAIRS, multitask, predictor, prompts, rated
from vlqa.errors import ConfigError, TextWarning
from vlqa.evaluation import bootstrap_interval, plcc, srcc
from vlqa.fewshot.prompt_lab import rank_prompts
from vlqa.models.image_encoder import build_encoder
from vlqa.predictors.ensemble import EnsemblePredictor
from vlqa.predictors.regression import RegressionPredictor
from vlqa.predictors.views import Scales
from vlqa.prompts import PromptSet

MEAN = "mean of all 4"


def test_values_and_intervals_are_those_of_evaluation() -> None:
    features, mos = rated()
    found = rank_prompts(predictor(), features, mos, prompts(temperature=0.2), seed=3, resamples=100)
    probabilities = predictor().probabilities_features(features, prompts(temperature=0.2))
    columns = dict(zip([*PAIRS, MEAN], [*probabilities.T, probabilities.mean(axis=1)], strict=True))
    assert (found.prompts, found.model, found.n, found.dropped) == ("mine", "tiny", 80, 0)
    assert {row.label for row in found.rows} == set(columns)
    for row in found.rows:
        scores = columns[row.label]
        assert row.srcc == pytest.approx((srcc(scores, mos), *bootstrap_interval(scores, mos, seed=3, resamples=100)))
        interval = bootstrap_interval(scores, mos, "plcc", seed=3, resamples=100)
        assert row.plcc == pytest.approx((plcc(scores, mos), *interval))
        assert (row.positive, row.negative) == PAIRS.get(row.label, ("", ""))


def test_the_best_comes_first_and_the_others_are_tested_against_it() -> None:
    features, mos = rated()
    found = rank_prompts(predictor(), features, mos, prompts())
    first, last = found.rows[0], found.rows[-1]
    assert (first.label, found.reference, last.label) == ("sharpness", "sharpness", "turned")
    assert [row.srcc.value for row in found.rows] == sorted((row.srcc.value for row in found.rows), reverse=True)
    assert last.srcc.value == pytest.approx(-first.srcc.value) and last.srcc.high < 0
    assert np.isnan([first.p, first.p_holm]).all() and first.difference == (0, 0, 0)
    for row in found.rows[1:]:
        assert row.difference.value == pytest.approx(row.srcc.value - first.srcc.value)
        assert row.p <= row.p_holm <= 1 and row.difference.low <= row.difference.value <= row.difference.high
    assert last.p_holm < 0.001


def test_the_reference_can_be_chosen() -> None:
    features, mos = rated()
    for against, reference in (("first", "sharpness"), ("mood", "mood"), (MEAN, MEAN)):
        assert rank_prompts(predictor(), features, mos, prompts(), against=against, resamples=50).reference == reference
    with pytest.raises(ConfigError, match="no pair is called 'sharpnes'; did you mean 'sharpness'"):
        rank_prompts(predictor(), features, mos, prompts(), against="sharpnes")


def test_pairs_share_their_resamples() -> None:
    features, mos = rated()
    found = rank_prompts(predictor(), features, mos, prompts(), against="turned", resamples=200)
    rows = {row.label: row for row in found.rows}
    # what one resample adds to a pair it takes from the same pair turned round
    assert rows["sharpness"].difference == pytest.approx([2 * value for value in rows["sharpness"].srcc], abs=1e-6)


def test_equal_pairs_are_never_told_apart() -> None:
    features, mos = rated()
    twice = [*prompts().pairs, ("a  sharp photo", "a blurry photo")]
    found = rank_prompts(predictor(), features, mos, PromptSet("attributes", "twice", tuple(twice), tuple("abcde")))
    assert {row.label: row.p_holm for row in found.rows[:2]}.keys() == {"a", "e"}
    assert found.rows[1].p == found.rows[1].p_holm == 1


def test_one_pair_has_no_mean() -> None:
    features, mos = rated()
    (row,) = rank_prompts(predictor(), features, mos, [PAIRS["sharpness"]]).rows
    assert row.srcc.value > 0.5


def test_a_model_of_two_views_reads_the_first_part_of_its_rows() -> None:
    features, mos = rated()
    trunk = {"kind": "quality", "widths": [4], "blocks": [1]}
    low = RegressionPredictor({"low": build_encoder({"trunk": trunk})}, Scales(), normalize=False, name="tiny")
    both = EnsemblePredictor(multitask(), low, weights=(1, 0), name="tiny")
    wide = np.concatenate([features, np.ones((80, low.width), np.float32)], axis=1)
    expected = rank_prompts(predictor(), features, mos, prompts(), resamples=20)
    for rows in (wide, features):
        assert rank_prompts(both, rows, mos, prompts(), resamples=20).table() == expected.table()
    with pytest.raises(ConfigError, match="no text tower"):
        rank_prompts(low, np.ones((80, low.width)), mos, prompts())


def test_rows_without_features_or_opinion_are_dropped_and_counted() -> None:
    features, mos = rated()
    clean = rank_prompts(predictor(), features[2:], mos[2:], prompts(), resamples=20)
    features[0], mos[1] = np.nan, np.nan
    holes = rank_prompts(predictor(), features, mos, prompts(), resamples=20)
    assert (holes.n, holes.dropped, holes.table()) == (78, 2, clean.table())


def test_a_pair_that_says_one_thing_is_told_and_comes_last() -> None:
    features, mos = rated()
    with pytest.warns(TextWarning, match="both sentences say the same to tiny, so that all pictures score alike: 'b'"):
        same = PromptSet("attributes", "same", (PAIRS["sharpness"], ("a City", "a city")), ("a", "b"))
        found = rank_prompts(predictor(), features, mos, same)
    last = found.rows[-1]
    assert last.label == "b" and np.isnan([*last.srcc, *last.plcc, last.p, last.p_holm]).all()
    assert found.as_dict()["rows"][-1]["srcc"] == {"value": None, "low": None, "high": None}
    with pytest.raises(ConfigError, match="'b' gives every picture the same score"), warnings.catch_warnings():
        warnings.simplefilter("ignore", TextWarning)
        rank_prompts(predictor(), features, mos, same, against="b")
    with pytest.raises(ConfigError, match="tells no picture from another"):
        rank_prompts(predictor(), features, mos, PromptSet("antonyms", "same", (("a City", "a city"),), ("b",)))


def test_opinions_that_no_pair_agrees_with_are_told() -> None:
    features, mos = rated()
    shuffled = np.random.default_rng(4).permutation(mos)
    with pytest.warns(UserWarning, match="no pair of mine agrees with these opinions for certain: the best SRCC is"):
        rank_prompts(predictor(), features, shuffled, prompts())


@pytest.mark.parametrize(
    ("rows", "opinions", "message"),
    [
        (slice(0, 9), slice(0, 9), "at least 10 rated pictures are needed, found 9"),
        (slice(None), slice(0, 40), "one opinion for each of 80 rows"),
        (0, slice(None), r"has features of shape \(n, 16\)"),
    ],
)
def test_too_little_or_wrong_data(rows: slice, opinions: slice, message: str) -> None:
    features, mos = rated()
    with pytest.raises(ConfigError, match=message):
        rank_prompts(predictor(), features[rows], mos[opinions], prompts())


def test_data_that_tells_nothing() -> None:
    features, mos = rated()
    with pytest.raises(ConfigError, match="all 80 opinions are 3: nothing agrees with a constant"):
        rank_prompts(predictor(), features, np.full(80, 3.0), prompts())
    features[5:] = np.nan
    with pytest.raises(ConfigError, match=r"found 5 \(75 have no features or no opinion\)"):
        rank_prompts(predictor(), features, mos, prompts())
    with pytest.raises(ConfigError, match="of kind joint"):
        rank_prompts(predictor(), *rated(), "liqe_quality")


def test_table_and_json_hold_all() -> None:
    found = rank_prompts(predictor(), *rated(), prompts(), resamples=20)
    table = found.table()
    assert [record["label"] for record in table] == [row.label for row in found.rows]
    assert table[0]["srcc_low"] == found.rows[0].srcc.low and table[0]["p"] is None
    record = json.loads(json.dumps(found.as_dict(), allow_nan=False))
    assert record["rows"][1]["difference"]["value"] == found.rows[1].difference.value
    assert list(record) == ["prompts", "model", "n", "dropped", "reference", "rows"]


def test_the_plot_shows_the_best() -> None:
    figure, axes = pyplot.subplots()
    rank_prompts(predictor(), *rated(), prompts(), resamples=20).plot(axes, most=3)
    figure.canvas.draw()
    assert len(axes.get_yticks()) == 3 and "best 3 of 5" in axes.get_title()
    pyplot.close(figure)


@pytest.mark.slow
def test_a_thousand_pairs_of_a_thousand_pictures_take_less_than_half_a_minute() -> None:
    generator = np.random.default_rng(0)
    sides = [[f"{word} {side} {number}" for number in range(10)] for word in "abcde" for side in ("good", "bad")]
    pairs = tuple((good, bad) for k in range(0, 10, 2) for good in sides[k] for bad in sides[k + 1])
    pairs += tuple((good, bad) for k in range(0, 10, 2) for good in sides[k] for bad in sides[(k + 3) % 10])
    assert len(pairs) == 1000 == len(set(pairs))
    chosen = PromptSet("attributes", "many", pairs, tuple(map(str, range(1000))))
    features, mos = rated(1000)
    features[:20] = features[20:40]  # copies of pictures: scores are tied
    mos = mos + generator.normal(size=1000)
    start = time.process_time()
    found = rank_prompts(predictor(), features, mos, chosen)
    assert time.process_time() - start < 30  # 13 s
    best = found.rows[0]
    scores = predictor().probabilities_features(features, [(best.positive, best.negative)])[:, 0]
    assert best.srcc.value == pytest.approx(
        stats.spearmanr(scores, mos).statistic, abs=1e-4
    )  # equal rows may differ by rounding on some CPUs
