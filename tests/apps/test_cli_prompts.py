from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from vlqa.apps.cli.prompts import app
from vlqa.errors import ConfigError
from vlqa.prompts import PromptSet


def run(*arguments: object):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.mark.parametrize("name", PromptSet.bundled_names())
def test_piped_output_is_json_that_loads_again(name: str) -> None:
    result = run("show", name)
    assert result.exit_code == 0, result.output
    record = json.loads(result.stdout)
    prompts = PromptSet.load(name)
    assert record.pop("texts") == list(prompts.texts)
    assert record.pop("digest") == prompts.digest
    assert PromptSet.from_dict(record) == prompts


def test_tables_hold_the_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    pairs = run("show", "attributes", "--format", "table").stdout
    assert all(word in pairs for word in ("noisiness", "Clean photo.", "Noisy photo.", "32 sentences"))
    joint = run("show", "liqe_multitask", "--format", "table").stdout
    assert all(word in joint for word in ("perfect (5)", "still_life", "overexposure", "{distortion}", "495 sentences"))
    listed = run("show", "--format", "table").stdout
    assert all(name in listed for name in PromptSet.bundled_names())
    assert [record["name"] for record in json.loads(run("show").stdout)] == list(PromptSet.bundled_names())


def test_brackets_in_a_sentence_are_shown(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_text("kind: antonyms\npairs:\n  a: ['[bold] photo', 'plain photo']\n")
    assert "[bold] photo" in run("show", path, "--format", "table").stdout


def test_an_unknown_name_is_a_config_error() -> None:
    result = run("show", "clip_iqq")
    assert isinstance(result.exception, ConfigError)
    assert "did you mean 'clip_iqa'?" in str(result.exception)


def test_check(tmp_path: Path) -> None:
    good = tmp_path / "good.yaml"
    good.write_text("kind: antonyms\ntemperature: 0.01\npairs:\n  a: [sharp, blurry]\n")
    result = run("check", good)
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.startswith(f"{good}: good, good: antonyms, 2 sentences, temperature 0.01, digest ")


def test_check_names_the_line_of_each_bad_file_and_goes_on(tmp_path: Path) -> None:
    bad, good, none = tmp_path / "bad.yaml", tmp_path / "good.yaml", tmp_path / "none.yaml"
    bad.write_text("kind: antonyms\npairs:\n  a: [sharp, '']\n")
    good.write_text("kind: antonyms\npairs:\n  a: [sharp, blurry]\n")
    result = run("check", bad, good, none)
    assert result.exit_code == 2
    assert result.stdout.startswith(f"{good}: good")
    errors = result.stderr.splitlines()
    assert errors[0].startswith(f"{bad}:3: expected text, found an empty string")
    assert errors[1] == f"{none}: no such prompt file"
    assert len(errors) == 2


def test_help_has_examples_and_is_quick_to_load() -> None:
    assert "vlqa prompts show attributes" in run("show", "--help").stdout
    assert "vlqa prompts check mine.yaml" in run("check", "--help").stdout
    code = "import sys, vlqa.apps.cli.prompts; sys.exit(any(m in sys.modules for m in ('torch', 'yaml')))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
