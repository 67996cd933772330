from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from tests.tiny import pictures
from vlqa.apps.cli import app
from vlqa.errors import ConfigError, ManifestError, MissingExtraError
from vlqa.hub import save
from vlqa.models.image_encoder import build_encoder
from vlqa.predictors.regression import LinearRegressor, RegressionPredictor
from vlqa.predictors.views import Scales
from vlqa.prompts import PromptSet

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")  # random towers agree with no opinions


@pytest.fixture
def run(tiny_model: Path, tmp_path: Path):
    """`vlqa prompts COMMAND FILE` on 44 rated pictures, with a store."""
    photos = tmp_path / "rated"
    photos.mkdir()
    rows = []
    for number, pixels in enumerate(pictures(44, seed=1, highest=40)):
        Image.fromarray(pixels).save(photos / f"{number}.png")
        os.utime(photos / f"{number}.png", (1e9, 1e9))
        rows.append(f"{number}.png,{pixels.mean()},{number // 2}")
    (photos / "labels.csv").write_text("path,mos,group\n" + "\n".join(rows) + "\n")
    (tmp_path / "words.yaml").write_text(
        "positive: [bright, light]\nnegative: [dark, dim]\ntemplates: ['a {word} photo', '{word} image']\n"
    )

    def call(command: str, file: object, *arguments: object):
        given = [command, str(file), "--labels", photos / "labels.csv", *arguments, "--resamples", 20]
        options = ["--model", tiny_model, "--device", "cpu"]
        return CliRunner().invoke(app, ["prompts", *map(str, given), *map(str, options)])

    return call


def test_rank_prints_a_table_or_json(run, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    table = run("rank", "clip_iqa_ensemble", "--features", tmp_path / "store")
    assert table.exit_code == 0, table.output
    title, head, *rows = table.stdout.splitlines()
    assert title.startswith("clip_iqa_ensemble: tiny on 44 pictures; against '")
    assert head.split()[:2] == ["pair", "SRCC"] and "p (Holm)" in head and len(rows) == 6
    monkeypatch.setattr("vlqa.pipeline.decode", None)  # the second time features are there
    result = run("rank", "clip_iqa_ensemble", "--features", tmp_path / "store", "--json", "--against", "first")
    record = json.loads(result.stdout)
    assert (record["n"], record["reference"], len(record["rows"])) == (44, "quality", 6)
    assert f"{record['rows'][0]['srcc']['value']:.3f}" in rows[0]


def test_rank_without_a_store_encodes_and_leaves_out_what_fails(run, tmp_path) -> None:
    with_store = json.loads(run("rank", "clip_iqa", "--features", tmp_path / "store", "--json").stdout)
    assert json.loads(run("rank", "clip_iqa", "--json").stdout) == with_store
    (tmp_path / "rated" / "3.png").write_bytes(b"no picture")
    result = run("rank", "clip_iqa", "--json")
    assert result.exit_code == 1 and json.loads(result.stdout)["dropped"] == 1
    for path in (tmp_path / "rated").glob("*.png"):
        path.write_bytes(b"no picture")
    assert "all 44 images fail" in str(run("rank", "clip_iqa", "--json").exception)


def test_search_writes_the_winner(run, tmp_path) -> None:
    found, plot = tmp_path / "found.yaml", tmp_path / "plots" / "search.png"
    store = tmp_path / "store"
    result = run("search", tmp_path / "words.yaml", "--output", found, "--features", store, "--plot", plot)
    assert result.exit_code == 0, result.output
    assert "words: 8 pairs, tiny on 24/10/10 pictures" in result.stdout
    assert "On test the winner" in result.stdout and result.stderr.startswith(f"{found}: ")
    prompts = PromptSet.load(found)
    assert prompts.name == "words" and "found among 8 pairs" in prompts.description
    assert plot.read_bytes()[:4] == b"\x89PNG"
    again = run("search", tmp_path / "words.yaml", "--output", found, "--features", store, "--json")
    assert json.loads(again.stdout)["prompts"] == prompts.as_dict()


def test_sensitivity_prints_shares_and_means(run, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    plot = tmp_path / "shares.svg"
    options = ["--temperature", 0.05, "--temperature", 0.5]
    result = run("sensitivity", tmp_path / "words.yaml", *options, "--plot", plot)
    assert result.exit_code == 0, result.output
    assert all(
        word in result.stdout for word in ("16 combinations", "positive word", "rest", "lowest … highest", "dim")
    )
    assert plot.read_bytes().startswith(b"<?xml")
    record = json.loads(run("sensitivity", tmp_path / "words.yaml", *options, "--json").stdout)
    assert record["combinations"] == 16 and len(record["levels"]) == 8


@pytest.mark.parametrize(
    ("command", "file", "options", "message"),
    [
        ("rank", "nothing", [], "no prompts named 'nothing'"),
        ("rank", "clip_iqa", ["--plot", "ranks.xlsx"], "ends in .png, .pdf, .svg"),
        ("rank", "clip_iqa", ["--features", "rated"], "holds no feature store"),
        ("search", "words.yaml", ["--output", "found.json"], "name a .yaml file"),
        ("search", "none.yaml", ["--output", "found.yaml"], "no such prompt file"),
        ("sensitivity", "words.yaml", ["--temperature", 0], "temperatures must be above 0"),
    ],
)
def test_wrong_use_is_told_in_one_line(run, tmp_path, monkeypatch, command, file, options, message) -> None:
    monkeypatch.chdir(tmp_path)
    error = run(command, file, *options).exception
    assert isinstance(error, ConfigError) and message in str(error) and "\n" not in str(error)
    assert not (tmp_path / "found.yaml").exists()


def test_labels_are_checked_before_anything_is_encoded(run, tmp_path) -> None:
    (tmp_path / "rated" / "labels.csv").write_text("path,score\n1.png,3\n")
    assert isinstance(run("rank", "clip_iqa").exception, ManifestError)


def test_without_matplotlib_the_pip_command_is_named(run, tmp_path, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    error = run("rank", "clip_iqa", "--plot", tmp_path / "ranks.png").exception
    assert isinstance(error, MissingExtraError) and "vlqa[notebooks]" in str(error)


def test_a_model_without_text_tower_is_refused(run, tmp_path) -> None:
    encoder = build_encoder({"trunk": {"kind": "quality", "widths": [4], "blocks": [1]}})
    regressor = LinearRegressor(torch.zeros(encoder.embed_dim, dtype=torch.float64), 0.0, (0.0, 1.0))
    low = RegressionPredictor({"low": encoder.eval()}, Scales(), regressor, normalize=False, name="low")
    save(low, tmp_path / "low")
    labels = tmp_path / "rated" / "labels.csv"
    given = ["prompts", "rank", "clip_iqa", "--labels", str(labels), "--model", str(tmp_path / "low")]
    error = CliRunner().invoke(app, [*given, "--device", "cpu"]).exception
    assert isinstance(error, ConfigError) and "no text tower" in str(error)


@pytest.mark.parametrize("command", ["search", "sensitivity"])
def test_help_tells_what_a_file_of_words_holds(command: str) -> None:
    told = CliRunner().invoke(app, ["prompts", command, "--help"], env={"COLUMNS": "200"}).stdout
    assert "positive words, negative words, and templates such as 'a {word} photo'" in told
