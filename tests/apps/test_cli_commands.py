from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml
from PIL import Image
from typer.testing import CliRunner

import vlqa
from tests.synthetic import openai_checkpoint
from tests.tiny import pictures
from tests.training.recipe import losses, recipe
from vlqa.apps.cli import app
from vlqa.errors import CheckpointError, ConfigError, UnknownModelError

ROOT = Path(__file__).parents[2]


def run(*arguments: object):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture
def labels(folder: Path) -> Path:
    """Twelve rated pictures, in folds 0 and 1."""
    names = [f"{i}.png" for i in range(12)]
    for name, pixels in zip(names, pictures(12, seed=1), strict=True):
        Image.fromarray(pixels).save(folder / name)
    rows = [f"{name},{10 * i + 3},{i % 2}" for i, name in enumerate(names)]
    (folder / "labels.csv").write_text("path,mos,fold\n" + "\n".join(rows) + "\n")
    return folder / "labels.csv"


def evaluate(tiny_model: Path, *arguments: object):
    return run("evaluate", *arguments, "--model", tiny_model, "--device", "cpu")


def test_evaluate_writes_one_json_object_with_intervals(tiny_model, labels) -> None:
    result = evaluate(tiny_model, labels, "--json")
    assert result.exit_code == 0, result.output
    record = json.loads(result.stdout)
    assert (record["model"], record["n"]) == ("tiny", 12)
    assert {"srcc", "plcc", "plcc_logistic", "krcc", "rmse", "digest"} <= set(record)


def test_evaluate_takes_the_rows_of_a_fold(tiny_model, labels) -> None:
    assert json.loads(evaluate(tiny_model, labels, "--fold", 1, "--json").stdout)["n"] == 6
    labels.write_text("path,mos\n0.png,1\n1.png,2\n2.png,3\n")
    refused = evaluate(tiny_model, labels, "--fold", 1).exception
    assert isinstance(refused, ConfigError) and "has no column fold" in str(refused)


@pytest.mark.filterwarnings("ignore::vlqa.errors.ImageWarning")
def test_evaluate_without_some_image_ends_with_status_1(tiny_model, labels, folder) -> None:
    (folder / "1.png").write_bytes(b"no picture")
    result = evaluate(tiny_model, labels, "--json")
    assert result.exit_code == 1
    assert json.loads(result.stdout)["n"] == 11


def test_evaluate_prints_a_table(tiny_model, labels) -> None:
    table = evaluate(tiny_model, labels).stdout
    assert all(word in table for word in ("tiny: 12 images", "SRCC", "PLCC, logistic", "KRCC", "RMSE", "…"))


def test_models_lists_every_name_as_json_and_as_a_table(monkeypatch) -> None:
    rows = [json.loads(line) for line in run("models", "--json").stdout.splitlines()]
    names = [row["name"] for row in rows]
    assert names == [model.name for model in vlqa.available_models()]
    assert all(list(row) == ["name", "what", "scale", "paper", "licence", "source"] for row in rows)
    monkeypatch.setenv("COLUMNS", "300")
    table = run("models").stdout
    assert all(name in table for name in names)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (["FILE", "--method", "clip-iqqa"], UnknownModelError, "clip-iqqa"),
        (["FILE", "--method", "clip-iqa"], CheckpointError, "FILE"),
        (["none.pt", "--method", "clip-iqa"], CheckpointError, "none.pt"),
        (["--method", "grepq", "--part", "clip"], ConfigError, "--part 'clip': expected NAME=FILE"),
        (["--method", "grepq", "--part", "=x"], ConfigError, "--part '=x': expected NAME=FILE"),
    ],
)
def test_convert_says_what_is_wrong_and_writes_nothing(tmp_path, arguments, error, message) -> None:
    (tmp_path / "FILE").write_bytes(b"no weights")
    given = [str(tmp_path / text) if text == "FILE" else text for text in arguments]
    result = run("convert", *given, "--output", tmp_path / "out")
    assert isinstance(result.exception, error), result.exception
    assert message in str(result.exception)
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_convert_writes_a_model_that_scores_like_the_file(tmp_path, folder, monkeypatch) -> None:
    monkeypatch.setenv("VLQA_CACHE", str(tmp_path / "cache"))
    torch.save(openai_checkpoint("ViT-B-32", seed=1), tmp_path / "LIQE.pt")
    options = ["--prompts", "liqe_quality", "--patches", "pyiqa"]
    result = run("convert", tmp_path / "LIQE.pt", "--method", "liqe", "--output", tmp_path / "out", *options)
    assert result.exit_code == 0, result.output
    assert result.stdout.strip() == str(tmp_path / "out")
    config = json.loads((tmp_path / "out" / "config.json").read_text())
    assert (config["name"], config["view"]["rule"], config["prompts"]["name"]) == ("liqe", "pyiqa", "liqe_quality")
    published = vlqa.load("liqe", weights=tmp_path / "LIQE.pt", prompts="liqe_quality", patches="pyiqa", device="cpu")
    pictures = sorted(folder.glob("*.png"))
    assert vlqa.load(tmp_path / "out", device="cpu").predict(pictures) == pytest.approx(published.predict(pictures))


def test_shell_completion_offers_the_commands() -> None:
    environment = os.environ | {"_VLQA_COMPLETE": "complete_bash", "COMP_WORDS": "vlqa ev", "COMP_CWORD": "1"}
    code = "import sys; sys.argv = ['vlqa']; from vlqa.apps.cli import main; main()"
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert result.stdout.split() == ["evaluate"], result.stderr


def test_train_prints_the_folder_of_the_model(tmp_path) -> None:
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(recipe(tmp_path)))
    arguments = ["train", tmp_path / "recipe.yaml", "--limit-steps", 1, "--set", f"output={tmp_path / 'other'}"]
    result = run(*arguments)
    assert result.exit_code == 0, result.output
    assert result.stdout.strip() == str(tmp_path / "other" / "model")
    assert [record["step"] for record in losses(tmp_path / "other")] == [1]
    assert isinstance(run(*arguments).exception, ConfigError)
    again = run(*arguments, "--limit-steps", 2, "--resume")
    assert again.exit_code == 0 and [record["step"] for record in losses(tmp_path / "other")] == [1, 2]


def test_every_command_has_help_with_examples() -> None:
    listed = run("--help").stdout
    for command in ("score", "evaluate", "train", "convert", "degrade", "models"):
        assert command in listed
        shown = run(command, "--help")
        assert shown.exit_code == 0 and "Examples:" in shown.stdout and f"vlqa {command} " in shown.stdout + " "
    assert "prompts" in listed


def test_version() -> None:
    assert run("--version").stdout.strip() == vlqa.__version__


def test_help_loads_nothing_heavy() -> None:
    code = (
        "import sys\nfrom vlqa.apps.cli import run\nsys.argv = ['vlqa', '--help']\nassert run() == 0\n"
        "heavy = {'torch', 'PIL', 'accelerate', 'open_clip', 'scipy', 'sklearn'} & set(sys.modules)\n"
        "print(sorted(heavy), file=sys.stderr)"
    )
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert "Usage" in result.stdout and result.stderr.strip() == "[]"
