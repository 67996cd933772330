from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest

from vlqa.errors import ConfigError
from vlqa.resources import bundled
from vlqa.training.config import read_config

RECIPE: dict[str, Any] = {
    "name": "x",
    "method": "multitask",
    "output": "run",
    "steps": 10,
    "data": {"photos": ["a", "b"], "opinions": "o.csv", "rated": [{"labels": "l.csv", "exclude_folds": [0, 1]}]},
    "model": {"architecture": {"embed_dim": 8, "vision_cfg": {"widths": [8, 16]}}},
}


@pytest.mark.parametrize("name", bundled("configs"))
def test_every_bundled_recipe_is_valid_by_name_and_by_file(name: str) -> None:
    assert read_config(name) == read_config(bundled("configs")[name]) == read_config(f"configs/{name}.yaml")
    assert read_config(name).output == Path("runs") / name


def test_overrides_reach_nested_keys_lists_and_keys_that_were_left_out() -> None:
    changed = read_config(
        RECIPE,
        [
            "steps=20",
            "data.sizes=[224]",
            "data.photos.1=c",
            "data.rated.0.per_batch=4",
            "data.rated.0.exclude_folds=[2]",
            "model.architecture.vision_cfg.widths.0=32",
            "optimizer.learning_rate=5.0e-4",
            "output=runs/a=b",
        ],
    )
    assert (changed.steps, changed.data.sizes, changed.data.photos) == (20, (224,), (Path("a"), Path("c")))
    assert (changed.data.rated[0].per_batch, changed.data.rated[0].exclude_folds) == (4, (2,))
    assert changed.model.architecture["vision_cfg"]["widths"] == [32, 16]
    assert changed.optimizer.learning_rate == 5e-4 and changed.output == Path("runs/a=b")


def test_overrides_leave_the_callers_mapping_alone() -> None:
    before = copy.deepcopy(RECIPE)
    read_config(RECIPE, ["data.sizes=[224]", "data.photos.0=c", "optimizer.clip_norm=1"])
    assert before == RECIPE


def test_of_two_overrides_of_a_key_the_last_holds() -> None:
    assert read_config(RECIPE, ["steps=3", "steps=4"]).steps == 4


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("steps", "expected key=value"),
        ("=3", "expected key=value"),
        ("steps=0", "recipe: steps: .*greater than or equal to 1, found 0"),
        ("steps=many", "recipe: steps: .*found 'many'"),
        ("stepz=3", "recipe: stepz: no such key; did you mean 'steps'?"),
        ("data.sise=3", "recipe: data.sise: no such key; did you mean 'sizes'?"),
        ("model.lora={rnk: 3}", "recipe: model.lora.rnk: no such key; did you mean 'rank'?"),
        ("data.rated.0.zzz=3", "recipe: data.rated.0.zzz: no such key; remove it"),
        ("seed=-1", "recipe: seed: .*greater than or equal to 0"),
        ("optimizer.learning_rate=.inf", "recipe: optimizer.learning_rate: .*finite"),
        ("data.rated.0.mos_range=[.nan, 3]", "recipe: data.rated.0.mos_range.0: .*finite"),
        ("objective.quality=-1", "recipe: objective.quality: .*greater than or equal to 0"),
        ("low={model: mini, weights: [-1, 1]}", "recipe: low.weights: .*positive or 0"),
        ("low={model: mini, weights: [0, 0]}", "recipe: low.weights: .*not both 0"),
        ("data.sizes=[31]", "recipe: data.sizes.0: .*32, found 31"),
        ("data.sizes=[]", "recipe: data.sizes: .*at least 1"),
        ("precision=fp64", "recipe: precision: .*'fp32' or 'bf16'"),
        ("method=lique", "recipe: method: "),
        ("steps.more=3", "steps holds a value, not keys"),
        ("data.photos.2=c", "'2' is no entry of a list of 2"),
        ("data.photos.first=c", "'first' is no entry of a list of 2"),
        ("data.rated.1.per_batch=4", "'1' is no entry of a list of 1"),
        ("data.rated.x.per_batch=4", "'x' is no entry of a list of 1"),
        ("data.rated.0.per_batch=1", "recipe: data.rated.0.per_batch: "),
        ("data.rated.0.mos_range=[3, 3]", "recipe: data.rated.0.mos_range: .*differ"),
        ("steps=[1", "not a YAML value"),
    ],
)
def test_a_wrong_override_is_one_line_that_names_the_key(override: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        read_config(RECIPE, [override])
    assert "\n" not in str(caught.value)


def test_a_missing_key_and_the_number_of_further_mistakes_are_named() -> None:
    with pytest.raises(ConfigError, match=r"recipe: data: field required.*\(and 1 more\)"):
        read_config({name: value for name, value in RECIPE.items() if name not in ("data", "model")})


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"- a\n- b\n", "expected a mapping of keys, found list"),
        (b"", "expected a mapping of keys, found NoneType"),
        (b"a: [1\n", "not YAML"),
        (b"\xff\xfe\xfa", "not YAML"),
        (b"name: x\n", "method: expected one of multitask, .*, found nothing"),
    ],
)
def test_a_file_that_is_no_recipe_is_one_line_that_names_the_file(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=message) as caught:
        read_config(path)
    assert str(caught.value).startswith(f"{path}: ") and "\n" not in str(caught.value)


def test_an_unknown_recipe_lists_the_bundled_ones() -> None:
    with pytest.raises(ConfigError, match=r"no such recipe; bundled are .*mini"):
        read_config("nano")
