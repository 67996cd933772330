from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from vlqa.apps.cli import app
from vlqa.errors import ConfigError


def run(*arguments: object):
    return CliRunner().invoke(app, ["select", *map(str, arguments)])


@pytest.mark.parametrize("strategy", ["facility", "k-centre", "kinds", "random"])
def test_paths_are_printed(folder: Path, tiny_model: Path, strategy: str) -> None:
    result = run(folder, "--count", 2, "--model", tiny_model, "--strategy", strategy)
    assert result.exit_code == 0, result.output
    lines = result.stdout.split()
    assert len(set(lines)) == 2 and all(Path(line).is_file() for line in lines)


def test_a_table_to_fill_in(folder: Path, tiny_model: Path) -> None:
    output = folder / "ratings.csv"
    assert run(folder, "--count", 3, "--model", tiny_model, "--output", output).exit_code == 0
    head, *rows = output.read_text().splitlines()
    assert head == "path,mos" and sorted(rows) == ["a.png,", "b.png,", "below/c.png,"]


@pytest.mark.filterwarnings("ignore::vlqa.ImageWarning")
def test_a_broken_picture_is_passed_over(folder: Path, tiny_model: Path) -> None:
    (folder / "broken.png").write_bytes(b"no picture")
    result = run(folder, "--count", 3, "--model", tiny_model)
    assert result.exit_code == 1 and "broken.png" not in result.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [(("--count", 9), "cannot choose 9 of 3"), (("--count", 1, "--strategy", "disagreement"), "two views")],
)
def test_what_cannot_be_chosen(folder: Path, tiny_model: Path, arguments: tuple[object, ...], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        raise run(folder, "--model", tiny_model, *arguments).exception


def test_a_picture_named_twice_is_chosen_once(folder: Path, tiny_model: Path) -> None:
    with pytest.raises(ConfigError, match="cannot choose 2 of 1"):
        raise run(folder / "a.png", folder / "a.png", "--count", 2, "--model", tiny_model).exception


def test_ratings_are_never_written_over(folder: Path, tiny_model: Path) -> None:
    output = folder / "ratings.csv"
    for _ in range(2):  # nothing is lost with an empty list
        result = run(folder, "--count", 2, "--model", tiny_model, "--output", output)
        assert result.stderr.endswith(
            f"{output}: 2 of 3 pictures; fill in mos, higher is better, then vlqa fit {output}\n"
        )
    output.write_text("path,mos\na.png,3\nb.png,\n")
    with pytest.raises(ConfigError, match="has ratings in it, which would be lost"):
        raise run(folder, "--count", 2, "--model", tiny_model, "--output", output).exception
    with pytest.raises(ConfigError, match=r"is there already and no list of `vlqa select`"):
        raise run(folder, "--count", 2, "--model", tiny_model, "--output", folder / "a.png").exception
    assert output.read_text() == "path,mos\na.png,3\nb.png,\n"


def test_a_seed_is_no_negative_number(folder: Path, tiny_model: Path) -> None:
    result = run(folder, "--count", 2, "--model", tiny_model, "--seed", -1, "--strategy", "random")
    assert "Invalid value for '--seed'" in result.stderr
