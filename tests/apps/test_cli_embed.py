from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner

from tests.tiny import pictures
from vlqa.apps.cli import app
from vlqa.errors import ConfigError
from vlqa.fewshot.store import FeatureStore


@pytest.fixture
def run(tiny_model: Path):
    def call(command: str, *arguments: object):
        options = ["--model", str(tiny_model), "--device", "cpu"]
        return CliRunner().invoke(app, [command, *map(str, arguments), *options])

    return call


@pytest.fixture
def closed(monkeypatch: pytest.MonkeyPatch, folder: Path):
    """From the call on, no picture can be decoded."""

    def close() -> None:
        monkeypatch.setattr("vlqa.pipeline.decode", None)

    for path in folder.rglob("*.png"):
        os.utime(path, (1e9, 1e9))
    return close


def test_embed_tells_new_and_known_and_failed(run, folder, tmp_path) -> None:
    store = tmp_path / "store"
    first = run("embed", folder, "--output", store)
    assert (first.exit_code, first.stdout) == (0, ""), first.output
    assert first.stderr == f"{store}: 3 new, 0 known, 0 failed; tiny\n"
    (folder / "bad.png").write_bytes(b"no picture")
    Image.fromarray(pictures(1, seed=5)[0]).save(folder / "d.png")
    second = run("embed", folder, folder / "none.png", "--output", store)
    assert second.exit_code == 1
    *failures, total = second.stderr.splitlines()
    assert total == f"{store}: 1 new, 3 known, 2 failed; tiny"
    assert all(line.startswith("failed: ") for line in failures) and len(failures) == 2
    assert len(FeatureStore(store)) == 4


def test_scores_from_a_store_decode_nothing(run, folder, tmp_path, closed) -> None:
    direct = [json.loads(line) for line in run("score", folder).stdout.splitlines()]
    assert run("embed", folder, "--output", tmp_path / "store").exit_code == 0
    closed()
    result = run("score", folder, "--features", tmp_path / "store")
    assert result.exit_code == 0, result.output
    records = [json.loads(line) for line in result.stdout.splitlines()]
    assert [record.pop("raw") for record in records] == pytest.approx([record.pop("raw") for record in direct])
    assert [(record["path"], record["digest"], record["scene"]) for record in records] == [
        (record["path"], record["digest"], record["scene"]) for record in direct
    ]
    prompts = tmp_path / "mine.yaml"
    prompts.write_text("kind: antonyms\npairs: {sharp: [a sharp photo, a blurred photo]}\n")
    result = run("score", folder, "--features", tmp_path / "store", "--prompts", prompts, "--explain")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout.splitlines()[0])["quality_probabilities"].keys() == {"sharp"}


def test_what_a_store_lacks_is_scored_and_added(run, folder, tmp_path) -> None:
    (folder / "bad.png").write_bytes(b"no picture")
    result = run("score", folder, "--features", tmp_path / "store")
    assert result.exit_code == 1
    records = [json.loads(line) for line in result.stdout.splitlines()]
    assert [record["error"] is None for record in records] == [True, True, False, True]
    assert result.stderr.count("failed: ") == 1 and len(FeatureStore(tmp_path / "store")) == 3


def test_evaluate_from_a_store(run, folder, tmp_path, closed) -> None:
    names = ["a.png", "b.png", "below/c.png"]
    rows = "".join(f"{name},{mos}\n" for name, mos in zip(names, (1, 3, 2), strict=True))
    (folder / "labels.csv").write_text(f"path,mos\n{rows}")
    direct = run("evaluate", folder / "labels.csv", "--json")
    first = run("evaluate", folder / "labels.csv", "--features", tmp_path / "store", "--json")
    closed()
    second = run("evaluate", folder / "labels.csv", "--features", tmp_path / "store", "--json")
    assert json.loads(second.stdout) == json.loads(first.stdout)
    assert json.loads(second.stdout)["srcc"] == pytest.approx(json.loads(direct.stdout)["srcc"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--features", "{folder}"], "holds no feature store"),
        (["--features", "s", "--map", "maps"], "--map needs the pictures"),
        (["--features", "s", "--reference", "{folder}"], "--reference needs the pictures"),
    ],
)
def test_wrong_use_of_a_store(run, folder, tmp_path, monkeypatch, options, message) -> None:
    monkeypatch.chdir(tmp_path)
    result = run("score", folder, *(option.format(folder=folder) for option in options))
    assert isinstance(result.exception, ConfigError) and message in str(result.exception)
    assert not (tmp_path / "s").exists()


def test_no_pictures(run, tmp_path) -> None:
    (tmp_path / "empty").mkdir()
    result = run("embed", tmp_path / "empty", "--output", tmp_path / "store")
    assert isinstance(result.exception, ConfigError) and "no pictures found" in str(result.exception)
    assert not (tmp_path / "store").exists()
