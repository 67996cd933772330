from __future__ import annotations

import os
from pathlib import Path

import pytest

from vlqa.apps.finished import check_holds
from vlqa.apps.records import open_output
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
            out.write(Explanation(name.name if isinstance(name, Source) else name, **failed))
    return output


def check(output: Path, *names: str | Source, retry_failed: bool = False) -> None:
    check_holds(output, output.suffix[1:], names, retry_failed=retry_failed)


def test_an_output_that_holds_all_that_is_named_is_complete(finished: Path) -> None:
    folder = finished.parent
    check(finished, str(folder / "a.png"), str(folder / "b.png"), Source("s.tar/x\ny.png", unread), ODD)


def test_pictures_that_are_missing_or_changed_are_told(finished: Path) -> None:
    picture = finished.parent / "a.png"
    with pytest.raises(ConfigError, match=r"1 pictures named now are not in it \(the first: new.png\)"):
        check(finished, str(picture), "new.png")
    later = finished.stat().st_mtime + 10
    os.utime(picture, (later, later))
    with pytest.raises(ConfigError, match=r"2 pictures .* not in it and 1 pictures have changed since .*: \S+a.png"):
        check(finished, str(picture), "new.png", "newer.png")


def test_failures_are_not_retried_in_a_finished_output(finished: Path) -> None:
    with pytest.raises(ConfigError, match="is finished, with 1 failed"):
        check(finished, ODD, retry_failed=True)


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
