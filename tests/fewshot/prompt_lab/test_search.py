from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib import pyplot

from tests.fewshot.prompt_lab.laboratory import TRUE, WORDS, multitask, predictor, rated
from vlqa.errors import ConfigError, TextWarning
from vlqa.evaluation import bootstrap_interval, group_folds, srcc
from vlqa.fewshot.prompt_lab import search_prompts
from vlqa.prompts import PromptSet


def search(features: Any, mos: Any, words: Any = WORDS, **options: Any):
    return search_prompts(predictor(), features, mos, words, **{"resamples": 50, **options})


def test_the_sentences_that_features_were_made_of_are_found() -> None:
    found = search(*rated(120, noise=0.2))
    assert found.kept[0][0] == found.contenders[0].label == "sharp / blurry in a {word} photo"
    assert found.contenders[0].pairs == (TRUE,) and TRUE in found.prompts.pairs
    assert found.pictures == {"train": 60, "dev": 30, "test": 30} and found.candidates == 18
    assert found.contenders[-1].label == "own prompts, mine" and found.contenders[-1].pairs == ()


def test_each_value_is_that_of_its_part() -> None:
    features, mos = rated(120, noise=1.5)
    found = search(features, mos, seed=2)
    fold = group_folds(120, 4, 2)
    for each in found.contenders:
        pairs = each.pairs or predictor().prompts.pairs[:1]
        scores = predictor().probabilities_features(features, list(pairs)).mean(axis=1)
        for value, rows in ((each.train, fold < 2), (each.dev, fold == 2), (each.test.value, fold == 3)):
            assert value == pytest.approx(srcc(scores[rows], mos[rows]), abs=1e-6)
        rows = fold == 3
        interval = bootstrap_interval(scores[rows], mos[rows], seed=2, resamples=50)
        assert (each.test.low, each.test.high) == pytest.approx(interval, abs=1e-6)
        assert each.overfit_train == each.train - each.test.value
        assert each.overfit_dev == each.dev - each.test.value
    dev = [row[2] for row in found.kept]
    assert dev == sorted(dev, reverse=True) and all(row[1] > 0 for row in found.kept)
    winner, own = found.winner, found.contenders[-1]
    assert found.gain.value == pytest.approx(winner.test.value - own.test.value) and 0 <= found.p <= 1


def test_test_decides_nothing() -> None:
    features, mos = rated(120, noise=1.5)
    test = group_folds(120, 4, 0) == 3
    changed = mos.copy()
    changed[test] = np.random.default_rng(1).permutation(changed[test])
    before, after = search(features, mos), search(features, changed)
    assert before.kept == after.kept
    assert [each.pairs for each in before.contenders] == [each.pairs for each in after.contenders]
    assert before.winner.test != after.winner.test


def test_chance_is_found_out() -> None:
    # among many candidates one agrees with anything; on the part that chose nothing it does not
    words = {side: [f"{side} {n}" for n in range(12)] for side in ("positive", "negative")} | {"templates": ["{word}"]}
    overfit, honest = [], []
    for seed in range(8):
        features, _ = rated(100, seed=seed)
        found = search(features, np.random.default_rng(seed + 100).normal(size=100), words, seed=seed)
        overfit.append(found.winner.overfit_train)
        honest.append(found.winner.test.value)
    assert np.mean(overfit) > 0.15 and abs(np.mean(honest)) < 0.2


def test_a_mean_of_pairs_wins_where_it_is_better() -> None:
    features = np.random.default_rng(0).normal(size=(400, 16))
    mos = predictor().probabilities_features(features, [TRUE, ("happy image", "dark image")]).sum(axis=1)
    found = search(features, mos)
    assert len(found.contenders) == 3 and len(found.winner.pairs) > 1
    assert found.winner.label == f"mean of {len(found.winner.pairs)} pairs" and found.prompts.kind == "ensemble"
    assert found.winner.dev >= found.contenders[0].dev + 0.001
    scores = predictor().probabilities_features(features, found.prompts).mean(axis=1)
    test = group_folds(400, 4, 0) == 3
    assert srcc(scores[test], mos[test]) == pytest.approx(found.winner.test.value, abs=1e-6)
    alone = search(features, mos, most_pairs=1)
    assert len(alone.contenders) == 2 and alone.prompts.kind == "antonyms"


def test_groups_are_not_divided_and_lost_rows_are_left_out() -> None:
    features, mos = rated(160)
    features[3] = np.nan
    groups = np.arange(160) // 8
    found = search(features, mos, groups=groups.tolist())
    assert (sum(found.pictures.values()), found.dropped) == (159, 1)
    names = [str(group) for group in np.delete(groups, 3)]
    fold = group_folds(names, 4, 0)
    assert found.pictures == {
        "train": int((fold < 2).sum()),
        "dev": int((fold == 2).sum()),
        "test": int((fold == 3).sum()),
    }
    with pytest.raises(ConfigError, match="four groups or more are needed for train, dev and test, found 2"):
        search(features, mos, groups=["a", "b"] * 80)
    with pytest.raises(ConfigError, match="one group for each of 160 rows, got 3"):
        search(features, mos, groups=["a", "b", "c"])


def test_blocks_do_not_change_what_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = search(*rated(80))
    monkeypatch.setattr("vlqa.fewshot.prompt_lab.rated._CELLS", 120)
    assert search(*rated(80)).table() == expected.table()


def test_the_winner_is_a_prompt_file(tmp_path: Path) -> None:
    features, mos = rated(120)
    found = search(features, mos, WORDS | {"temperature": 0.2, "name": "my words"})
    found.prompts.to_file(tmp_path / "new" / "found.yaml")
    read = PromptSet.load(tmp_path / "new" / "found.yaml")
    assert read == found.prompts and (read.name, read.temperature) == ("my words", 0.2)
    assert read.description.startswith("found among 18 pairs on 60/30/30 pictures; SRCC on test 0.")


def test_joint_prompts_of_the_model_are_the_measure_too() -> None:
    found = search_prompts(multitask(), *rated(80), WORDS, resamples=20)
    assert found.contenders[-1].label == "own prompts, tiny"


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_pairs_that_say_one_thing_are_left_out() -> None:
    same = {"positive": ["sharp", "clear"], "negative": ["blurry", "sh arp"], "templates": ["{word}"]}
    encode = predictor().backbone.encode_text
    model = predictor()
    model.backbone.encode_text = lambda texts: encode([text.replace("sh arp", "sharp") for text in texts])  # type: ignore
    with pytest.warns(TextWarning, match="both sentences of 1 of 4 pairs say the same to tiny; they are left out"):
        found = search_prompts(model, *rated(80, pair=("sharp", "blurry")), same, resamples=20)
    assert found.candidates == 4 and len(found.kept) <= 3


def test_what_cannot_be_searched_is_said_in_one_line() -> None:
    features, mos = rated(120)
    with pytest.raises(ConfigError, match="at least 40 rated pictures are needed, found 39"):
        search(features[:39], mos[:39])
    with pytest.raises(ConfigError, match=r"no candidate of words rises with the opinions \(best SRCC -0"):
        search(features, -mos, {"positive": ["sharp"], "negative": ["blurry"], "templates": ["a {word} photo"]})
    with pytest.raises(ConfigError, match="keep ≥ 1"):
        search(features, mos, keep=0)
    few = mos.copy()
    few[:] = 3
    few[np.flatnonzero(group_folds(120, 4, 0) == 0)] += np.arange(30)
    with pytest.raises(ConfigError, match="all 30 opinions of dev are 3; try another seed"):
        search(features, few)


def test_json_table_and_plot() -> None:
    found = search(*rated(120, noise=1.5))
    record = json.loads(json.dumps(found.as_dict(), allow_nan=False))
    assert record["pictures"] == {"train": 60, "dev": 30, "test": 30}
    assert PromptSet.from_dict(record["prompts"]) == found.prompts
    assert record["contenders"][0]["test"]["value"] == found.contenders[0].test.value
    assert [row["label"] for row in found.table()] == [each.label for each in found.contenders]
    figure, axes = pyplot.subplots()
    found.plot(axes)
    figure.canvas.draw()
    assert "train" in axes.get_xlabel()
    pyplot.close(figure)
