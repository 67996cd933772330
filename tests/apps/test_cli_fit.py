from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

import vlqa
from tests.tiny import pictures
from vlqa.apps.cli import app
from vlqa.errors import ConfigError, ManifestError

pytestmark = pytest.mark.filterwarnings("ignore:no head on .* labels:UserWarning", "ignore:the labels fall:UserWarning")


def run(*arguments: object):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture
def ratings(folder: Path) -> Path:
    """Sixteen rated pictures, brighter is better."""
    rows = []
    for number, pixels in enumerate(pictures(16, seed=1)):
        Image.fromarray((pixels * (0.3 + 0.04 * number)).astype(np.uint8)).save(folder / f"{number}.png")
        rows.append(f"{number}.png,{5 * number + 3},{1 + number % 3},{number // 2}")
    (folder / "labels.csv").write_text("path,mos,mos_std,group\n" + "\n".join(rows) + "\n")
    return folder / "labels.csv"


def fit(ratings: Path, tiny_model: Path, *arguments: object):
    return run("fit", ratings, "--model", tiny_model, "--output", ratings.parent / "mine", *arguments)


def test_a_fitted_model_is_a_model(ratings: Path, tiny_model: Path) -> None:
    result = fit(ratings, tiny_model)
    assert result.exit_code == 0, result.output
    assert "cross-validated" in result.stdout and "16 labels" in result.stdout
    mine = ratings.parent / "mine"
    assert f"{mine}: saved {vlqa.load(mine).name}; vlqa score PATH… --model {mine}\n" in result.stderr
    scored = run("score", ratings.parent / "3.png", "--model", ratings.parent / "mine", "--format", "csv")
    assert scored.exit_code == 0, scored.output
    record = next(csv.DictReader(scored.stdout.splitlines()))
    predictor = vlqa.load(ratings.parent / "mine", device="cpu")
    assert float(record["raw"]) == pytest.approx(predictor.predict(ratings.parent / "3.png")[0])
    assert predictor.scale == (3, 78) and record["out_of_distribution"].lower() == "false"


def test_evaluating_on_labels_that_were_fitted_on_is_warned_of(ratings: Path, tiny_model: Path) -> None:
    lines = ratings.read_text().splitlines()
    first, rest = ratings.parent / "first.csv", ratings.parent / "rest.csv"
    first.write_text("\n".join(lines[:13]) + "\n")
    rest.write_text("\n".join([lines[0], *lines[13:]]) + "\n")
    assert fit(first, tiny_model, "--head", "ridge").exit_code == 0
    model = ("--model", ratings.parent / "mine", "--json")
    for given, seen in ((ratings, "12 of these 16"), (first, "12 of these 12"), (rest, None)):
        for store in ((), ("--features", ratings.parent / "store")):
            result = run("evaluate", given, *model, *store)
            assert result.exit_code == 0 and ("was fitted on" in result.stderr) == (seen is not None), result.output
            assert seen is None or f"warning: tiny + ridge on 12 labels was fitted on {seen} pictures" in result.stderr
    direct = vlqa.evaluate(vlqa.load(ratings.parent / "mine", device="cpu"), vlqa.Manifest.read(rest))
    assert json.loads(result.stdout)["rmse"] == pytest.approx(direct.as_dict()["rmse"], rel=1e-4)


def test_some_rows_are_kept_for_a_test(ratings: Path, tiny_model: Path) -> None:
    result = fit(ratings, tiny_model, "--labels", 10, "--head", "ridge")
    assert "10 labels" in result.stdout and "the other 6 rows" in result.stdout
    with pytest.raises(ConfigError, match=r"--labels 16: .* has 16 rows"):
        raise fit(ratings, tiny_model, "--labels", 16).exception


def test_a_seed_is_no_negative_number(ratings: Path, tiny_model: Path) -> None:
    assert "Invalid value for '--seed'" in fit(ratings, tiny_model, "--seed", -1).stderr


def test_dmos_is_turned(ratings: Path, tiny_model: Path) -> None:
    assert fit(ratings, tiny_model, "--head", "ridge").exit_code == 0
    straight = vlqa.load(ratings.parent / "mine", device="cpu").predict(
        [ratings.parent / f"{n}.png" for n in range(16)]
    )
    assert fit(ratings, tiny_model, "--head", "ridge", "--direction", "dmos").exit_code == 0
    turned = vlqa.load(ratings.parent / "mine", device="cpu").predict([ratings.parent / f"{n}.png" for n in range(16)])
    np.testing.assert_allclose(turned, 81 - straight, rtol=1e-6)


def test_choices(ratings: Path, tiny_model: Path) -> None:
    lines = [f"{a}.png,{b}.png,{'a' if a > b else 'b'}" for a in range(16) for b in range(0, 16, 3) if a != b]
    choices = ratings.parent / "choices.csv"
    choices.write_text("path_a,path_b,preferred\n" + "\n".join(lines) + "\n")
    result = fit(choices, tiny_model)
    assert result.exit_code == 0, result.output
    assert f"{len(lines)} choices; " in result.stdout
    assert vlqa.load(ratings.parent / "mine", device="cpu").fitted_.name == "preference"


def test_choices_that_all_share_a_picture_are_fitted_untested(ratings: Path, tiny_model: Path) -> None:
    choices = ratings.parent / "choices.csv"
    choices.write_text("path_a,path_b,preferred\n" + "".join(f"0.png,{n}.png,{'ab'[n % 2]}\n" for n in range(1, 16)))
    result = fit(choices, tiny_model)
    assert result.exit_code == 0, result.output
    assert result.stdout == "15 choices; they share pictures, so that none could be left out to test the others\n"


@pytest.mark.filterwarnings("always:no head on:UserWarning")
def test_a_score_that_is_kept_is_named(ratings: Path, tiny_model: Path) -> None:
    own = vlqa.load(tiny_model, device="cpu").predict([ratings.parent / f"{n}.png" for n in range(16)])
    rows = [f"{n}.png,{3**rank}" for n, rank in enumerate(own.argsort().argsort().tolist())]
    ratings.write_text("path,mos\n" + "\n".join(rows) + "\n")
    with pytest.warns(UserWarning, match="no head on 16 labels ranks better"):
        told = fit(ratings, tiny_model).stdout
    assert told.startswith("tiny's own score, brought onto the scale of 16 labels; no head ranks better\n")
    told = fit(ratings, tiny_model, "--head", "calibration").stdout
    assert told.startswith("tiny's own score, brought onto the scale of 16 labels\n")
    assert fit(ratings, tiny_model, "--head", "ridge").stdout.startswith("tiny + ridge on 16 labels, which reads ")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("path_a,path_b,preferred\n0.png,0.png,a\n", "compared with itself"),
        ("path_a,path_b,preferred\n0.png,1.png,left\n", "a, b or tie, found 'left'"),
        ("path_a,path_b,preferred\n0.png,,a\n", "a path is empty"),
        ("path_a,path_b,preferred\n", "a header but no row"),
        ("path_a,path_b,preferred,Path_B\n0.png,1.png,a,2.png\n", "the column 'path_b' is there twice"),
        ("path_a,path_b\n0.png,1.png\n", "'path' \\(or 'image'\\) is missing"),
        ("path,mos\n0.png,1\n1.png,2\n2.png,3\n", "at least 5 rated pictures are needed to fit, found 3"),
        ("path,mos\n0.png,1\n0.png,2\n", "is there twice"),
        ("path,mos\n0.png,1\n1.png,nan\n", "finite number"),
    ],
)
def test_labels_that_cannot_be_used(ratings: Path, tiny_model: Path, text: str, message: str) -> None:
    ratings.write_text(text)
    result = fit(ratings, tiny_model)
    assert isinstance(result.exception, ConfigError | ManifestError)
    with pytest.raises((ConfigError, ManifestError), match=message):
        raise result.exception
    assert not (ratings.parent / "mine").exists()


@pytest.mark.filterwarnings("ignore::vlqa.ImageWarning")
def test_missing_pictures_are_left_out(ratings: Path, tiny_model: Path) -> None:
    (ratings.parent / "3.png").unlink()
    result = fit(ratings, tiny_model, "--head", "ridge")
    assert result.exit_code == 1 and "15 labels" in result.stdout


def test_a_file_is_no_folder(ratings: Path, tiny_model: Path) -> None:
    with pytest.raises(ConfigError, match="is a file; name a folder"):
        raise run("fit", ratings, "--model", tiny_model, "--output", ratings).exception


def test_a_place_that_cannot_be_written_is_told_before_labels_are_read(ratings: Path, tiny_model: Path) -> None:
    with pytest.raises(ConfigError, match=r"mine: no model can be saved there \(Not a directory\); name another"):
        raise run("fit", "none.csv", "--model", tiny_model, "--output", ratings / "mine").exception


@pytest.mark.parametrize(
    ("arguments", "message"),
    [(("--labels", 3), "choices are all read"), (("--head", "ridge"), "which --head ridge cannot read")],
)
def test_options_that_choices_have_not(
    ratings: Path, tiny_model: Path, arguments: tuple[object, ...], message: str
) -> None:
    choices = ratings.parent / "choices.csv"
    choices.write_text("path_a,path_b,preferred\n0.png,1.png,a\n")
    with pytest.raises(ConfigError, match=message):
        raise fit(choices, tiny_model, *arguments).exception


def test_a_fitted_model_is_no_model_below(ratings: Path, tiny_model: Path) -> None:
    assert fit(ratings, tiny_model, "--head", "ridge").exit_code == 0
    with pytest.raises(ConfigError, match=r"a few-shot model itself; name the model below it, --model tiny$"):
        raise run("fit", ratings, "--model", ratings.parent / "mine", "--output", ratings.parent / "other").exception


@pytest.mark.filterwarnings("ignore:adapting does not rank better")
def test_the_tower_may_learn_too(folder: Path, tiny_model: Path) -> None:
    rows = [f"{number}.png,{number % 17}" for number in range(104)]
    for number, pixels in enumerate(pictures(104, 3, 32, 40)):
        Image.fromarray((pixels * (0.3 + 0.04 * (number % 17))).astype(np.uint8)).save(folder / f"{number}.png")
    (folder / "labels.csv").write_text("path,mos\n" + "\n".join(rows) + "\n")
    result = fit(folder / "labels.csv", tiny_model, "--adapt", "lora", "--labels", 101)
    assert result.exit_code == 0, result.output
    assert "101 labels" in result.stdout and "the other 3 rows" in result.stdout
    assert np.isfinite(vlqa.load(folder / "mine", device="cpu").predict(folder / "3.png")).all()


def test_adapting_wants_a_hundred_labels_before_a_picture_is_opened(ratings: Path, tiny_model: Path) -> None:
    (ratings.parent / "3.png").unlink()
    with pytest.raises(ConfigError, match="adapting needs 100 rated pictures, found 16; rate more"):
        raise fit(ratings, tiny_model, "--adapt", "lora").exception
