from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.data.public_sets import WRITERS, write_text
from vlqa import Manifest
from vlqa.apps import cli
from vlqa.apps.cli import app as whole_app
from vlqa.apps.cli.datasets import app
from vlqa.data.catalog import SETS
from vlqa.errors import ConfigError, ManifestError


def run(*arguments: object):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture
def kadid(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two rated pictures that are called the whole set."""
    monkeypatch.setitem(SETS, "kadid10k", dataclasses.replace(SETS["kadid10k"], count=2))
    WRITERS["kadid10k"](tmp_path / "kadid10k")
    return tmp_path / "kadid10k"


def test_piped_list_is_json() -> None:
    records = json.loads(run("list").stdout)
    assert [record["name"] for record in records] == list(SETS)
    wanted = {"name", "title", "what", "pictures", "scale", "scores", "split", "citation", "licence", "home", "labels"}
    assert all(set(record) == wanted for record in records)
    assert records[0]["pictures"] == 779


def test_the_table_names_every_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "250")
    text = run("list", "--format", "table").stdout
    assert all(name in text and str(row.count) in text and row.home in text for name, row in SETS.items())
    monkeypatch.setenv("COLUMNS", "80")
    assert all(name in run("list", "--format", "table").stdout for name in SETS)


def test_check_of_a_whole_set(kadid: Path) -> None:
    for root in (kadid, kadid.parent):
        result = run("check", "KADID-10k", root)
        assert (result.exit_code, result.stdout) == (0, ""), result.output
        assert result.stderr == "KADID-10k: 2 rated pictures, mos 1.2 to 4.57, every file there\n"


def test_check_prints_what_is_missing(kadid: Path) -> None:
    for name in ("I01_01_01.png", "I81.png"):
        (kadid / "images" / name).unlink()
    result = run("check", "kadid10k", kadid)
    assert result.exit_code == 1
    assert result.stdout.splitlines() == [str(kadid / "images" / "I01_01_01.png"), str(kadid / "images" / "I81.png")]
    assert "2 files missing" in result.stderr


def test_check_of_a_cut_label_file(tmp_path: Path) -> None:
    WRITERS["cgiqa6k"](tmp_path)
    result = run("check", "cgiqa6k", tmp_path)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.splitlines()[-1] == (
        f"{tmp_path / 'mos.csv'}: expected 6000 rated pictures, found 2; "
        f"download the labels again from {SETS['cgiqa6k'].home}"
    )


@pytest.mark.parametrize(
    ("arguments", "error"),
    [(("kadid", "data"), ConfigError), (("kadid10k", "data"), ManifestError), (("kadid10k", "nowhere"), ManifestError)],
)
def test_wrong_use_is_one_line_and_status_2(
    arguments: tuple[str, str], error: type[Exception], tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    (tmp_path / "data").mkdir()
    monkeypatch.chdir(tmp_path)
    assert isinstance(run("check", *arguments).exception, error)
    monkeypatch.setattr(sys, "argv", ["vlqa", "datasets", "check", *arguments])
    assert cli.run() == 2
    captured = capsys.readouterr()
    assert captured.out == "" and captured.err.startswith("error: ") and captured.err.count("\n") == 1


def test_export_is_a_label_file(kadid: Path, tmp_path: Path) -> None:
    output = tmp_path / "new" / "labels.csv"
    result = run("export", "kadid10k", kadid, "--output", output)
    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr == f"{output}: 2 rows; read it with --images {kadid / 'images'}\n"
    labels = Manifest.read(output, kadid / "images")
    assert labels.mos.tolist() == [4.57, 1.2] and labels.missing_files() == ()
    assert run("export", "kadid10k", kadid).exit_code == 2


def test_broken_labels_are_not_exported(kadid: Path, tmp_path: Path) -> None:
    write_text(kadid / "dmos.csv", "dist_img,ref_img,dmos,var", "I01_01_01.png,I01.png,good,1")
    result = run("export", "kadid10k", kadid, "--output", tmp_path / "labels.csv")
    assert isinstance(result.exception, ManifestError) and not (tmp_path / "labels.csv").exists()


def test_help_has_examples_and_is_quick_to_load() -> None:
    assert "datasets" in CliRunner().invoke(whole_app, ["--help"]).stdout
    for command in ("list", "check", "export"):
        assert f"vlqa datasets {command}" in run(command, "--help").stdout
    code = "import sys, vlqa.apps.cli.datasets; sys.exit(any(m in sys.modules for m in ('torch', 'scipy', 'cv2')))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
