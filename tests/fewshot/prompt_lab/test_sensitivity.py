from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from matplotlib import pyplot

from tests.fewshot.prompt_lab.laboratory import WORDS, predictor, rated
from vlqa.errors import ConfigError
from vlqa.evaluation import srcc
from vlqa.fewshot.prompt_lab import prompt_sensitivity
from vlqa.fewshot.prompt_lab.sensitivity import _decomposed

NAMES = ["positive word", "negative word", "words together", "template", "temperature", "rest"]


def sensitivity(**options: Any):
    return prompt_sensitivity(predictor(), *rated(), options.pop("words", WORDS), **{"resamples": 20, **options})


def test_shares_sum_to_one_and_lie_in_their_intervals() -> None:
    found = sensitivity()
    assert [each.name for each in found.factors] == NAMES
    assert [each.levels for each in found.factors] == [3, 3, 0, 2, 5, 0]
    assert (found.combinations, found.n, found.dropped, found.words) == (90, 80, 0, "words")
    for measure in ("srcc", "plcc", "mean_srcc"):
        shares = [getattr(each, measure) for each in found.factors]
        assert sum(share.value for share in shares if np.isfinite(share.value)) == pytest.approx(1)
        assert all(0 <= share.low <= share.high <= 1 for share in shares if np.isfinite(share.value))
        known = [name for name, share in zip(NAMES, shares, strict=True) if np.isfinite(share.value)]
        assert known == (NAMES if measure != "mean_srcc" else NAMES[3:])


def test_temperature_changes_the_mean_of_pairs_but_no_order_of_one() -> None:
    found = {each.name: each for each in sensitivity(temperatures=(0.05, 0.5, 5)).factors}["temperature"]
    assert found.srcc.value < 1e-6 and found.plcc.value > 1e-4 and found.mean_srcc.value > 1e-4


def test_a_made_up_design_is_taken_apart() -> None:
    generator = np.random.default_rng(0)
    template, positive = np.array([0.0, 1.0]), np.array([0.0, 1.0, 2.0])
    values = np.zeros((1, 4, 2, 3, 5)) + template[:, None, None] + positive[:, None]
    found = {name: float(share[0]) for name, share in _decomposed(values).items()}
    total = template.var() + positive.var()
    assert found["template"] == pytest.approx(template.var() / total)
    assert found["positive word"] == pytest.approx(positive.var() / total)
    assert found["rest"] == pytest.approx(0, abs=1e-12) and found["negative word"] == 0
    words = generator.normal(size=(3, 5))
    words = words - words.mean(axis=0) - words.mean(axis=1, keepdims=True) + words.mean()
    assert _decomposed(np.zeros((1, 4, 2, 3, 5)) + words)["words together"][0] == pytest.approx(1)
    assert np.isnan(_decomposed(np.ones((2, 4, 2, 3, 5)))["rest"]).all()


def test_levels_are_means_over_all_others() -> None:
    features, mos = rated()
    found = sensitivity(temperatures=[0.1, 0.2])
    of_level = {(each.factor, each.level): each for each in found.levels}
    assert len(found.levels) == 2 + 2 + 3 + 3
    pairs = [(t.format(word="crisp"), t.format(word=word)) for t in WORDS["templates"] for word in WORDS["negative"]]
    scores = predictor().probabilities_features(features, pairs)
    expected = np.mean([srcc(column, mos) for column in scores.T])
    assert of_level["positive word", "crisp"].srcc == pytest.approx(expected, abs=1e-6)
    assert np.isnan(of_level["positive word", "crisp"].mean_srcc)
    lowest, highest = found.spread["srcc"]
    assert lowest < expected < highest


def test_one_template_and_one_temperature_have_no_share() -> None:
    found = sensitivity(words=WORDS | {"templates": ["a {word} photo"]}, temperatures=[0.1])
    shares = {each.name: each for each in found.factors}
    assert shares["template"].srcc.value == shares["temperature"].srcc.value == 0
    assert np.isnan(shares["template"].mean_srcc.value)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"temperatures": [0.0]}, "temperatures must be above 0"),
        ({"temperatures": []}, "temperatures must be above 0"),
        ({"temperatures": np.linspace(1, 2, 300).tolist()}, "make 5400 combinations; expected 2 to 5000"),
        (
            {"words": {"positive": ["a"], "negative": ["b"], "templates": ["{word}"]}, "temperatures": [1]},
            "words and 1 temperatures make 1 combinations",
        ),
    ],
)
def test_wrong_choices(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        sensitivity(**options)


def test_words_that_say_one_thing_are_named() -> None:
    model, encode = predictor(), predictor().backbone.encode_text
    model.backbone.encode_text = lambda texts: encode(["the same"] * len(texts))  # type: ignore[method-assign]
    with pytest.raises(ConfigError, match=r"sharp / blurry in a \{word\} photo: all pictures score alike"):
        prompt_sensitivity(model, *rated(), WORDS)


def test_json_table_and_plot() -> None:
    found = sensitivity()
    record = json.loads(json.dumps(found.as_dict(), allow_nan=False))
    assert record["factors"][0]["mean_srcc"] == {"value": None, "low": None, "high": None}
    assert [row["factor"] for row in found.table()] == NAMES
    figure, axes = pyplot.subplots()
    found.plot(axes)
    figure.canvas.draw()
    assert [label.get_text() for label in axes.get_yticklabels()] == NAMES
    pyplot.close(figure)
