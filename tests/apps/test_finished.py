from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from vlqa.apps.cli import app
from vlqa.apps.finished import Finished, check_holds
from vlqa.apps.records import open_output
from vlqa.apps.references import References
from vlqa.errors import ConfigError, ImageDecodeError
from vlqa.types import Assessment, Explanation, Patch, Source

ODD = os.fsdecode(b"no utf8 \xff.png")


def unread() -> bytes:
    raise ImageDecodeError("not read here")


@pytest.fixture(params=["jsonl", "csv", "parquet"])
def finished(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """An output over a.png, b.png, which failed, a member of an archive and a name that is no UTF-8."""
    output = tmp_path / f"out.{request.param}"
    names = [str(tmp_path / "a.png"), str(tmp_path / "b.png"), "s.tar/x\ny.png", ODD]
    (tmp_path / "a.png").touch()
    patches = (Patch(0, 0, 224, 224, 3.0),) * 4000  # more than a field of a CSV file usually may have
    with open_output(request.param, output, (1, 5), Explanation) as out:
        for name in out.unscored([names[0], names[1], Source(names[2], unread), names[3]]):
            failed = {"error": "broken"} if name == names[1] else {"quality": 0.5, "raw": 3.0, "patches": patches}
            known = {"model": "tiny", "digest": "0123456789abcdef"}
            out.write(Explanation(name.name if isinstance(name, Source) else name, **known, **failed))
    return output


def check(output: Path, *names: str | Source, **options: Any) -> Finished:
    return check_holds(output, output.suffix[1:], names, **options)


def test_an_output_that_holds_all_that_is_named_is_complete(finished: Path) -> None:
    folder = finished.parent
    found = check(finished, str(folder / "a.png"), str(folder / "b.png"), Source("s.tar/x\ny.png", unread), ODD)
    assert (found.failed, found.digests) == (1, {"0123456789abcdef"})


def test_pictures_that_are_missing_or_changed_are_told(finished: Path) -> None:
    picture = finished.parent / "a.png"
    with pytest.raises(ConfigError, match=r"1 pictures named now are not in it \(the first: new.png\)"):
        check(finished, str(picture), "new.png")
    later = finished.stat().st_mtime + 10
    os.utime(picture, (later, later))
    with pytest.raises(ConfigError, match=r"2 pictures .* not in it and 1 pictures have changed since .*: \S+a.png"):
        check(finished, str(picture), "new.png", "newer.png")


def test_references_that_have_changed_are_told(finished: Path) -> None:
    folder = finished.parent
    original, picture = folder / "originals" / "a.png", str(folder / "a.png")
    original.parent.mkdir()
    original.touch()
    os.utime(original, (1, 1))
    references = References(original.parent)
    check(finished, picture, reference_of=references.of)
    later = finished.stat().st_mtime + 10
    os.utime(original, (later, later))
    with pytest.raises(ConfigError, match=r"1 pictures or their references have changed since \(the first: \S+a.png"):
        check(finished, picture, reference_of=references.of)


def test_a_finished_output_is_of_one_model(folder: Path, tiny_model: Path, tmp_path: Path) -> None:
    def score(*options: object) -> Any:
        given = ("score", folder, "--model", tiny_model, "--device", "cpu", "--output", tmp_path / "out.csv", *options)
        return CliRunner().invoke(app, [str(each) for each in given])

    (folder / "broken.png").write_bytes(b"no picture")
    assert score().exit_code == 1
    again = score("--resume")
    assert again.exit_code == 1 and "is complete with 1 failed, by its names, times of change and model" in again.stderr
    other = score("--resume", "--prompts", "clip_iqa").exception
    assert isinstance(other, ConfigError) and "is finished, by another model, or with other prompts" in str(other)


def test_failures_are_not_retried_in_a_finished_output(finished: Path) -> None:
    with pytest.raises(ConfigError, match="is finished, with 1 failed"):
        check(finished, ODD, retry_failed=True)


def test_a_record_without_a_name_is_none(tmp_path: Path) -> None:
    output = tmp_path / "out.jsonl"
    output.write_text('{"path": null, "digest": "", "error": null}\n')
    with pytest.raises(ConfigError, match="holds no jsonl of vlqa score"):
        check(output, "a.png")


@pytest.mark.parametrize("format", ["jsonl", "csv", "parquet"])
def test_what_is_no_output_is_told(tmp_path: Path, format: str) -> None:
    output = tmp_path / f"out.{format}"
    output.write_text("a letter\nof two lines\n")
    with pytest.raises(ConfigError, match=f"holds no {format} of vlqa score"):
        check(output, "a.png")


def test_a_table_for_people_tells_nothing(tmp_path: Path) -> None:
    with open_output("table", tmp_path / "out.table", (1, 5)) as out:
        for name in out.unscored(["a.png"]):
            assert isinstance(name, str)
            out.write(Assessment(name, 0.5, 3.0))
    check(tmp_path / "out.table", "b.png")
