from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from vlqa.apps.cli import app
from vlqa.apps.journal import Journal
from vlqa.apps.records import check_output, open_output
from vlqa.errors import ConfigError, ImageDecodeError
from vlqa.types import Explanation, Patch, Source

ODD = os.fsdecode(b"no utf8 \xff.png")
MODEL = "0123456789abcdef" * 4
SCORED = Explanation(
    None,
    quality=0.1 + 0.2,
    raw=3.0,
    quality_probabilities={"good": 0.25, "bad": 0.75},
    scene="animal",
    interval=(2.5, 3.5),
    out_of_distribution=False,
    model="tiny",
    digest=MODEL[:16],
    attributes={"sharp, or not": 1.0},
    patches=(Patch(0.0, 0.0, 224.0, 224.0, 3.0),) * 4000,  # more than a field of a CSV file usually may have
)
FAILED = Explanation(None, model="tiny", digest=MODEL[:16], error='broken "at", once')


def unread() -> bytes:
    raise ImageDecodeError("not read here")


def run(output: Path, given: Sequence[str | Source], *, model: str = MODEL, **options: Any) -> list[str]:
    """Score what has no record yet; a picture called b fails. The names of what was scored."""
    time.sleep(0.01)  # a kernel tells times in steps
    how: dict[str, Any] = {"settings": {"model": model}} | options
    with open_output(output.suffix[1:], output, (1, 5), Explanation, **how) as out:
        names = [each.name if isinstance(each, Source) else each for each in out.unscored(given)]
        for name in names:
            out.write(replace(FAILED if Path(name).stem == "b" else SCORED, path=name))
    return names


def rows(output: Path) -> list[dict[str, Any]]:
    """Its records, read by what goes on with them."""
    found: list[dict[str, Any]] = []
    with open_output(output.suffix[1:], output, (1, 5), Explanation, settings={"model": MODEL}, resume=True) as out:
        list(out.unscored([]))
        found += out.finished.rows()  # type: ignore[union-attr]
    return found


@pytest.fixture(params=["jsonl", "csv", "parquet"])
def output(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return tmp_path / f"out.{request.param}"


@pytest.fixture
def given(tmp_path: Path) -> list[str | Source]:
    """A file a, a file b, which fails, a member of an archive and a file whose name is no UTF-8."""
    names = [str(tmp_path / name) for name in ("a.png", "b.png", ODD)]
    for name in names:
        Path(name).touch()
        os.utime(name, (1, 1))
    return [*names, Source("s.tar/x\ny.png", unread, "a stamp")]


@pytest.fixture
def finished(output: Path, given: list[str | Source]) -> Path:
    run(output, given)
    return output


def touch_later(path: object, output: Path) -> None:
    later = output.stat().st_mtime + 10
    os.utime(str(path), (later, later))


def test_records_come_back_as_they_were(finished: Path, given: list[str | Source]) -> None:
    scored, failed = rows(finished)[:2]
    assert json.dumps(scored) == json.dumps(replace(SCORED, path=str(given[0])).as_dict())
    assert json.dumps(failed) == json.dumps(replace(FAILED, path=str(given[1])).as_dict())


def test_only_what_failed_is_scored_again(finished: Path, given: list[str | Source]) -> None:
    assert run(finished, given, resume=True) == [given[1]]
    assert [row["error"] for row in rows(finished)] == [None, None, None, FAILED.error]
    Path(str(given[1])).rename(finished.parent / "c.png")
    assert run(finished, [*given[::2], str(finished.parent / "c.png")], resume=True) == [str(finished.parent / "c.png")]
    assert [row["error"] for row in rows(finished)] == [None] * 4  # that of b is gone


def test_nothing_is_written_where_nothing_is_new(output: Path, given: list[str | Source]) -> None:
    run(output, given[::2])
    before = output.read_bytes(), output.stat().st_ino
    assert run(output, given[:1], resume=True) == []
    assert (output.read_bytes(), output.stat().st_ino) == before
    assert sorted(path.suffix for path in output.parent.iterdir()) == sorted([".png"] * 3 + [output.suffix])


def test_what_is_new_newer_or_gone_is_scored(finished: Path, given: list[str | Source]) -> None:
    new = str(finished.parent / "new.png")
    touch_later(given[0], finished)
    Path(str(given[2])).unlink()  # as of a disk that is not mounted
    assert run(finished, [*given, new], resume=True) == [*given[:2], new]
    assert len(rows(finished)) == 5


def test_a_picture_that_was_replaced_by_an_older_one_is_newer(finished: Path, given: list[str | Source]) -> None:
    other = finished.parent / "other"
    other.write_bytes(b"older")
    os.utime(other, (1, 1))
    other.rename(str(given[0]))
    assert run(finished, given[:1], resume=True) == given[:1]


def test_members_are_as_new_as_their_archive(output: Path, tmp_path: Path) -> None:
    archive = tmp_path / "s.tar"
    archive.touch()
    member = Source(f"{archive}/a/c.png", unread, "stamp")
    assert (run(output, [member]), run(output, [member], resume=True)) == ([member.name], [])
    touch_later(archive, output)
    assert run(output, [member], resume=True) == [member.name]


@pytest.mark.parametrize("finish_first", [True, False])
def test_what_changed_while_others_were_scored_is_scored_in_the_end(
    output: Path, given: list[str | Source], finish_first: bool
) -> None:
    first = given[0]
    if finish_first:
        run(output, [first])
    else:
        with (
            pytest.raises(KeyboardInterrupt),
            open_output(output.suffix[1:], output, (1, 5), Explanation, settings={"model": MODEL}) as out,
        ):
            for name in out.unscored([first]):
                out.write(replace(SCORED, path=str(name)))
            raise KeyboardInterrupt
    Path(str(first)).write_bytes(b"other")
    assert run(output, given[2:], resume=True) == [name if isinstance(name, str) else name.name for name in given[2:]]
    assert len(rows(output)) == 3
    assert first in run(output, [first, *given[2:]], resume=True)
    assert len(rows(output)) == 3 and run(output, [first, *given[2:]], resume=True) == []


def test_what_failed_and_is_not_named_any_more_is_gone(finished: Path, given: list[str | Source]) -> None:
    assert run(finished, [given[0], *given[2:]], resume=True) == []
    assert [row["error"] for row in rows(finished)] == [None] * 3


def test_a_refusal_is_not_evaded_by_a_run_that_was_killed(finished: Path, given: list[str | Source]) -> None:
    settings = {"model": MODEL, "attributes": "x"}
    with (
        pytest.raises(KeyboardInterrupt),
        open_output(finished.suffix[1:], finished, (1, 5), Explanation, settings=settings),
    ):
        finished.with_name(f"{finished.name}.partial").write_bytes(b'{"journal": 1}\n')
        raise KeyboardInterrupt
    finished.with_name(f"{finished.name}.partial").write_bytes(b'{"journal": 1}\n')
    with pytest.raises(ConfigError, match="does not hold which --attributes"):
        run(finished, given, resume=True, settings=settings)


def test_names_of_lines_that_end_anyhow(output: Path) -> None:
    names = ["a\rb.png", "c\nd.png", 'e",\r\n.png', "f\u2028.png"]
    sources = [Source(name, unread, "x") for name in names]
    assert run(output, sources) == names
    assert [row["path"] for row in rows(output)] == names and run(output, sources, resume=True) == []


def test_places_that_no_output_can_have(tmp_path: Path) -> None:
    (tmp_path / "a.csv").symlink_to(tmp_path / "b.csv")
    (tmp_path / "b.csv").symlink_to(tmp_path / "a.csv")
    for name, why in (("a.csv", "cannot be written"), (f"{'s' * 237}.csv", "the name is too long")):
        with pytest.raises(ConfigError, match=why):
            check_output(tmp_path / name, "csv", {})
    (tmp_path / "labels").write_text("image quality\n1.png 3.5\n")
    with pytest.raises(ConfigError, match="holds no table"):
        check_output(tmp_path / "labels", "table", {})


def test_what_changes_while_it_is_scored_is_newer_than_the_output(output: Path, given: list[str | Source]) -> None:
    with open_output(output.suffix[1:], output, (1, 5), Explanation, settings={"model": MODEL}) as out:
        for name in out.unscored(given[:1]):
            out.write(replace(SCORED, path=str(name)))
            Path(str(name)).write_bytes(b"other")
    assert run(output, given[:1], resume=True) == given[:1]


def test_a_journal_that_a_kill_left_beside_its_output_is_no_hindrance(
    output: Path, given: list[str | Source], monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(self: Journal, *, keep: bool) -> None:
        self._open.close()
        if not keep:
            raise KeyboardInterrupt

    monkeypatch.setattr(Journal, "close", killed)
    with pytest.raises(KeyboardInterrupt):
        run(output, given)
    monkeypatch.undo()
    assert output.with_name(f"{output.name}.partial").exists()
    assert run(output, given, resume=True) == given[1:2] and len(rows(output)) == 4
    assert not output.with_name(f"{output.name}.partial").exists()


@pytest.mark.parametrize("name", ["attributes", "reference", "map"])
def test_what_a_finished_output_does_not_hold_it_is_not_gone_on_with(
    finished: Path, given: list[str | Source], name: str
) -> None:
    settings = {"model": MODEL, name: "x"}
    with pytest.raises(ConfigError, match=f"is finished, and does not hold which --{name} it was made with"):
        check_output(finished, finished.suffix[1:], settings, resume=True)
    with pytest.raises(ConfigError, match=f"does not hold which --{name}"):
        run(finished, given, resume=True, settings=settings)


def test_columns_are_not_lost(output: Path, tmp_path: Path) -> None:
    run(output, ["a.png"])
    with (
        pytest.raises(ConfigError, match="has other columns"),
        open_output(output.suffix[1:], output, (1, 5), settings={"model": MODEL}, resume=True),
    ):
        pass
    added = tmp_path / "mine.csv"
    run(tmp_path / "own.csv", ["a.png"])
    heading, row = (tmp_path / "own.csv").read_text().splitlines()
    added.write_text(f"{heading},keep\n{row},yes\n")
    with pytest.raises(ConfigError, match="holds no csv of vlqa score"):
        check_output(added, "csv", {})


def test_records_of_others_stay(finished: Path, given: list[str | Source]) -> None:
    new = str(finished.parent / "new.png")
    with open_output(finished.suffix[1:], finished, (1, 5), Explanation, settings={"model": MODEL}, resume=True) as out:
        assert list(out.unscored([new])) == [new]
        out.write(replace(SCORED, path=new))
    assert (out.resumed, out.unnamed, out.failed) == (3, 3, 0)
    assert [row["path"][-5:] for row in rows(finished)][::2] == ["a.png", "y.png"]
    assert rows(finished)[-1]["path"] == new and len(rows(finished)) == 4


def test_a_run_after_a_finished_one_may_be_killed_too(finished: Path, given: list[str | Source]) -> None:
    new = [str(finished.parent / f"new{number}.png") for number in range(4)]
    written = 0

    def until_killed(out: Any) -> Iterator[str]:
        nonlocal written
        for name in out.unscored([*given, *new]):
            if written == 3:
                raise KeyboardInterrupt
            written += 1
            yield name

    how: Any = {"settings": {"model": MODEL}, "resume": True}
    with (
        pytest.raises(KeyboardInterrupt),
        open_output(finished.suffix[1:], finished, (1, 5), Explanation, **how) as out,
    ):
        for name in until_killed(out):
            out.write(replace(FAILED if Path(name).stem == "b" else SCORED, path=name))
    assert finished.with_name(f"{finished.name}.partial").exists()
    touch_later(finished, finished)
    with pytest.raises(ConfigError, match="goes on with an output that has changed since or is gone; put that back"):
        run(finished, [*given, *new], resume=True)
    with pytest.raises(ConfigError, match="holds an unfinished run"):
        run(finished, given)
    finished.unlink()
    with pytest.raises(ConfigError, match="has changed since or is gone"):
        run(finished, [*given, *new], resume=True)


def test_a_killed_run_after_a_finished_one_ends_as_one(finished: Path, given: list[str | Source]) -> None:
    new = [str(finished.parent / f"new{number}.png") for number in range(4)]
    for _ in range(3):
        with (
            pytest.raises(KeyboardInterrupt),
            open_output(
                finished.suffix[1:], finished, (1, 5), Explanation, settings={"model": MODEL}, resume=True
            ) as out,
        ):
            for name in out.unscored([*given, *new]):
                out.write(replace(SCORED, path=str(name)))
                raise KeyboardInterrupt
    assert run(finished, [*given, *new], resume=True) == new[2:]  # b and two new ones were scored
    assert [row["path"] for row in rows(finished)][3:] == [given[1], *new]
    assert all(row["error"] is None for row in rows(finished))


def test_a_finished_output_is_of_one_model(finished: Path, given: list[str | Source]) -> None:
    with pytest.raises(ConfigError, match=r"by another model, or with other prompts \(digest 0123456789abcdef, now f"):
        run(finished, given, resume=True, model="f" * 64)
    assert not finished.with_name(f"{finished.name}.partial").exists()


@pytest.mark.parametrize(
    "content", [b"a letter\nof two lines\n", b"[" * 200_000, b'{"path": 1}\n', b"\xff\xd8\xff", b'{"path": "a", "q\n']
)
def test_what_no_score_wrote_is_not_written_over(output: Path, content: bytes) -> None:
    output.write_bytes(content)
    told = f"is there and holds no {output.suffix[1:]} of vlqa score"
    with pytest.raises(ConfigError, match=told):
        check_output(output, output.suffix[1:], {})
    with pytest.raises(ConfigError, match=told):
        run(output, ["a.png"], resume=True)
    assert output.read_bytes() == content


@pytest.mark.parametrize("format", ["csv", "jsonl"])
@pytest.mark.parametrize("damage", ["1e999", "NaN", "9" * 400])
def test_a_record_that_was_edited_is_told(tmp_path: Path, format: str, damage: str) -> None:
    output = tmp_path / f"out.{format}"
    run(output, ["a.png", "c.png"])
    output.write_text(damage.join(output.read_text().rsplit("0.30000000000000004", 1)))
    with pytest.raises(ConfigError, match="record 2 is none of vlqa score with these options"):
        run(output, ["a.png"], resume=True)


def test_an_empty_file_is_in_nobodys_way(output: Path) -> None:
    output.touch()
    check_output(output, output.suffix[1:], {})
    assert run(output, ["a.png"], resume=True) == ["a.png"]


def test_a_table_for_people_is_replaced_but_not_gone_on_with(tmp_path: Path) -> None:
    output = tmp_path / "out.table"
    run(output, ["a.png"])
    check_output(output, "table", {})
    run(output, ["c.png"])
    assert "c.png" in output.read_text()
    for resumed in (
        lambda: run(output, ["a.png"], resume=True),
        lambda: check_output(output, "table", {}, resume=True),
    ):
        with pytest.raises(ConfigError, match="a table for people cannot be gone on with"):
            resumed()
    with pytest.raises(KeyboardInterrupt), open_output("table", output, (1, 5), settings={"model": MODEL}) as out:
        for name in out.unscored(["a.png"]):
            out.write(replace(SCORED, path=str(name)))
        raise KeyboardInterrupt
    with open_output("table", output, (1, 5), settings={"model": MODEL}, resume=True) as out:
        assert list(out.unscored(["a.png"])) == []


def test_a_growing_folder_is_scored_as_it_grows(folder: Path, tiny_model: Path, tmp_path: Path) -> None:
    def score(*options: object) -> Any:
        given = ("score", folder, "--model", tiny_model, "--device", "cpu", "--output", tmp_path / "out.csv", *options)
        return CliRunner().invoke(app, [str(each) for each in given])

    picture = next(folder.glob("*.png"))
    assert score().exit_code == 0
    again = score("--resume")
    assert again.exit_code == 0 and "was complete, by names, times of change and model" in again.stderr
    (folder / "broken.png").write_bytes(b"no picture")
    (folder / "copy.png").write_bytes(picture.read_bytes())
    grown = score("--resume")
    assert grown.exit_code == 1 and "was gone on with" in grown.stderr
    (folder / "broken.png").write_bytes(picture.read_bytes())
    assert score("--resume").exit_code == 0
    other = score("--resume", "--prompts", "clip_iqa").exception
    assert isinstance(other, ConfigError) and "is finished, by another model, or with other prompts" in str(other)
    explained = score("--resume", "--explain").exception
    assert isinstance(explained, ConfigError) and "none of vlqa score with these options" in str(explained)


def test_a_picture_is_not_written_over(folder: Path, tiny_model: Path) -> None:
    picture = next(folder.glob("*.png"))
    before = picture.read_bytes()
    result = CliRunner().invoke(app, ["score", str(folder), "--output", str(picture), "--format", "csv"])
    assert isinstance(result.exception, ConfigError) and "holds no csv of vlqa score" in str(result.exception)
    assert picture.read_bytes() == before
