from __future__ import annotations

import contextlib
import csv
import errno
import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image
from typer.testing import CliRunner

from tests.tiny import pictures
from vlqa.apps.cli import app
from vlqa.apps.columns import columns_of
from vlqa.apps.journal import Journal, check_journal
from vlqa.apps.maps import MapWriter
from vlqa.errors import ConfigError, ImageDecodeError
from vlqa.types import Assessment, Source

SETTINGS = {"model": "abc", "explain": False}


_OPENED: list[Journal] = []


@pytest.fixture(autouse=True)
def _close() -> Iterator[None]:
    yield
    while _OPENED:
        _OPENED.pop().close(keep=True)


def journal(folder: Path, *, resume: bool = False, retry_failed: bool = False, **settings: object) -> Journal:
    file = folder / "out.jsonl.partial"
    columns = columns_of(Assessment)
    _OPENED.append(Journal(file, SETTINGS | settings, columns, resume=resume, retry_failed=retry_failed))
    return _OPENED[-1]


def record(path: str, error: str | None = None) -> Assessment:
    return Assessment(path, None if error else 0.5, None if error else 3.0, error=error)


def run(book: Journal, given: list, keep: bool = True) -> list[str]:
    """Write a record of what is not scored yet; the names of these."""
    names = [each.name if isinstance(each, Source) else each for each in book.unscored(given)]
    for name in names:
        book.write(record(name, "broken" if "broken" in Path(name).name else None))
    return names


@pytest.fixture
def files(tmp_path: Path) -> list[str]:
    names = [str(tmp_path / name) for name in ("a.png", "broken.png", "c.png")]
    for name in names:
        Path(name).write_bytes(b"some")
    return names


def test_a_broken_run_goes_on_where_it_was(tmp_path: Path, files: list[str]) -> None:
    first = journal(tmp_path)
    assert run(first, files[:2]) == files[:2]
    first.close(keep=True)
    second = journal(tmp_path, resume=True)
    assert second.resumed == 2 and run(second, files) == files[2:]
    rows = list(second.rows())
    assert [row["path"] for row in rows] == files and second.failed == 1
    assert rows[0] == record(files[0]).as_dict()
    second.close(keep=False)
    assert not (tmp_path / "out.jsonl.partial").exists()


@pytest.mark.parametrize("torn", [b'{"path": "/x', b'{"path": "/x"}\n', b"\0\0\0\0", b"[]\n", b'"\xff'])
def test_what_a_kill_left_unfinished_is_cut_off(tmp_path: Path, files: list[str], torn: bytes) -> None:
    first = journal(tmp_path)
    run(first, files[:2])
    first.close(keep=True)
    with (tmp_path / "out.jsonl.partial").open("ab") as file:
        file.write(torn)
    second = journal(tmp_path, resume=True)
    assert run(second, files) == files[2:]
    assert [row["path"] for row in second.rows()] == files


def test_every_byte_a_kill_may_leave_is_gone_on_from(tmp_path: Path, files: list[str]) -> None:
    first = journal(tmp_path)
    run(first, files)
    first.close(keep=True)
    whole = (tmp_path / "out.jsonl.partial").read_bytes()
    for length in range(len(whole.splitlines(keepends=True)[0]), len(whole), 7):
        (tmp_path / "out.jsonl.partial").write_bytes(whole[:length])
        again = journal(tmp_path, resume=True)
        run(again, files)
        assert [row["path"] for row in again.rows()] == files
        again.close(keep=True)


def test_a_picture_that_changed_or_came_is_scored_again(tmp_path: Path, files: list[str]) -> None:
    gone = str(tmp_path / "broken later.png")
    first = journal(tmp_path)
    run(first, [*files, gone])
    first.close(keep=True)
    Path(files[0]).write_bytes(b"other")
    Path(gone).write_bytes(b"here now")
    second = journal(tmp_path, resume=True)
    assert run(second, [*files, gone]) == [files[0], gone]
    assert sorted(row["path"] for row in second.rows()) == sorted([*files, gone])


def test_a_run_that_was_killed_before_its_first_picture_is_in_nobodys_way(tmp_path: Path, files: list[str]) -> None:
    journal(tmp_path)._open.close()
    first = journal(tmp_path, model="xyz")
    run(first, files[:1])
    first.close(keep=True)
    second = journal(tmp_path, resume=True, model="xyz")
    assert run(second, files) == files[1:] and [row["path"] for row in second.rows()] == files


def test_what_a_picture_was_in_earlier_runs_is_gone(tmp_path: Path, files: list[str]) -> None:
    for broken_run in range(3):
        Path(files[0]).write_bytes(b"x" * broken_run)
        first = journal(tmp_path, resume=broken_run > 0)
        assert run(first, files[:1]) == files[:1]
        first.close(keep=True)
    last = journal(tmp_path, resume=True)
    assert run(last, files[:2]) == files[1:2]
    for _ in range(2):
        assert [row["path"] for row in last.rows()] == files[:2]


def test_a_picture_named_twice_that_changed_has_two_records(tmp_path: Path, files: list[str]) -> None:
    for size in (1, 2):  # one record of each state
        Path(files[0]).write_bytes(b"x" * size)
        first = journal(tmp_path, resume=size > 1)
        run(first, files[:1])
        first.close(keep=True)
    last = journal(tmp_path, resume=True)
    assert run(last, [files[0]] * 2) == files[:1]
    assert [row["path"] for row in last.rows()] == [files[0]] * 2


def test_a_picture_named_twice_has_two_records_in_any_number_of_runs(tmp_path: Path, files: list[str]) -> None:
    twice = [files[0], files[0], files[2]]
    for kept in (1, 2, 3):
        first = journal(tmp_path)
        run(first, twice[:kept])
        first.close(keep=True)
        second = journal(tmp_path, resume=True)
        assert run(second, twice) == twice[kept:]
        assert [row["path"] for row in second.rows()] == twice
        second.close(keep=False)


def test_an_address_that_failed_is_tried_again(tmp_path: Path) -> None:
    def unread() -> bytes:
        raise ImageDecodeError("not read here")

    given = [Source(name, unread) for name in ("http://a/1.jpg", "http://a/broken.jpg")]
    first = journal(tmp_path)
    run(first, given)
    first.close(keep=True)
    second = journal(tmp_path, resume=True)
    assert run(second, given) == ["http://a/broken.jpg"]
    assert [row["path"] for row in second.rows()] == ["http://a/1.jpg", "http://a/broken.jpg"]


def test_records_of_pictures_that_are_not_named_any_more_stay(tmp_path: Path, files: list[str]) -> None:
    first = journal(tmp_path)
    run(first, [*files, files[0]])
    first.close(keep=True)
    Path(files[2]).write_bytes(b"other")
    second = journal(tmp_path, resume=True)
    assert run(second, [files[2], "new.png"]) == [files[2], "new.png"]
    assert [row["path"] for row in second.rows()] == [files[0], files[0], files[2], "new.png"]
    assert second.unnamed == 2 and second.failed == 0  # that of c.png was replaced, broken.png tells nothing any more


@pytest.mark.parametrize("kept", [0.5, 1.2])
def test_a_beginning_that_a_kill_has_cut_is_nothing(tmp_path: Path, files: list[str], kept: float) -> None:
    first = journal(tmp_path)
    run(first, files[:1])
    first.close(keep=True)
    heading, line = first.file.read_bytes().splitlines(keepends=True)
    first.file.write_bytes((heading + line)[: int(kept * len(heading))])
    assert run(journal(tmp_path), files) == files


@pytest.mark.parametrize(
    "damage", [b"\0" * 40, b"[" * 200_000, b'{"path": 5}', b'{"path": "x", "stamp": 1}', b"[]", b'"', b"NaN", b"\xff"]
)
def test_lines_that_make_no_sense_count_for_nothing(tmp_path: Path, files: list[str], damage: bytes) -> None:
    first = journal(tmp_path)
    run(first, files)
    first.close(keep=True)
    lines = first.file.read_bytes().splitlines()
    lines[2] = damage
    first.file.write_bytes(b"\n".join(lines) + b"\n")
    second = journal(tmp_path, resume=True)
    assert second.resumed == 2 and run(second, files) == files[1:2]
    assert [row["path"] for row in second.rows()] == [files[0], files[2], files[1]]


@pytest.mark.parametrize(
    ("old", "new"), [(b"0.5", b'"a"'), (b"0.5", b"NaN"), (b'"error": null', b'"error": []'), (b'"raw"', b'"r"')]
)
def test_a_record_that_was_edited_is_made_anew(tmp_path: Path, files: list[str], old: bytes, new: bytes) -> None:
    first = journal(tmp_path)
    run(first, files[:1])
    first.close(keep=True)
    first.file.write_bytes(first.file.read_bytes().replace(old, new))
    second = journal(tmp_path, resume=True)
    assert run(second, files[:1]) == files[:1]
    assert list(second.rows()) == [record(files[0]).as_dict()]


def test_a_full_disk_keeps_what_was_scored(tmp_path: Path, files: list[str]) -> None:
    first = journal(tmp_path)
    run(first, files[:1])
    with Path("/dev/full").open("wb") as full, first._open:
        first._open = full
        with pytest.raises(ConfigError, match=r"written \(No space left on device\); what was scored is kept"):
            run(first, files[1:2])
        first.close(keep=True)
    second = journal(tmp_path, resume=True)
    assert run(second, files) == files[1:]


def test_what_failed_is_tried_again_only_where_that_is_asked(tmp_path: Path, files: list[str]) -> None:
    first = journal(tmp_path)
    run(first, files)
    first.close(keep=True)
    for retry_failed, expected in ((False, []), (True, files[1:2]), (True, files[1:2]), (False, [])):
        again = journal(tmp_path, resume=True, retry_failed=retry_failed)
        assert run(again, files) == expected
        assert sorted(row["path"] for row in again.rows()) == files
        assert again.failed == 1 and again.unnamed == 0
        again.close(keep=True)
    again = journal(tmp_path, resume=True, retry_failed=True)
    assert again.resumed == 2
    list(again.unscored(files))
    again.write(record(files[1]))
    assert [row["error"] for row in again.rows()] == [None] * 3 and again.failed == 0


def test_names_that_are_no_utf8_come_back(tmp_path: Path) -> None:
    name = os.fsdecode(b"\xff\n\xe9.png")
    first = journal(tmp_path)
    run(first, [name])
    first.close(keep=True)
    second = journal(tmp_path, resume=True)
    assert run(second, [name]) == [] and [row["path"] for row in second.rows()] == [name]


@pytest.mark.parametrize("place", ["picture", "reference", "member"])
def test_a_reference_decides_a_record_too(tmp_path: Path, files: list[str], place: str) -> None:
    original = tmp_path / "original"
    original.write_bytes(b"one")
    picture = Source("s.tar/a.png", bytes, "at 512") if place == "member" else files[0]

    def scored() -> int:
        columns = columns_of(Assessment)
        book = Journal(tmp_path / "out.partial", {}, columns, resume=True, beside=lambda _: original)
        number = len(run(book, [picture]))
        book.close(keep=True)
        return number

    assert (scored(), scored()) == (1, 0)
    (original if place != "picture" else Path(files[0])).write_bytes(b"other")
    assert (scored(), scored()) == (1, 0)
    original.unlink()
    assert (scored(), scored()) == (1, 0)


def test_what_cannot_be_gone_on_with_is_refused(tmp_path: Path, files: list[str]) -> None:
    first = journal(tmp_path)
    run(first, files)
    with pytest.raises(ConfigError, match="is being written by another run"):
        journal(tmp_path, resume=True)
    first.close(keep=True)
    with pytest.raises(ConfigError, match=r"out.jsonl.partial holds an unfinished run; go on with it by --resume"):
        journal(tmp_path)
    with pytest.raises(ConfigError, match=r"begun with another model \(abc, now xyz\)"):
        journal(tmp_path, resume=True, model="xyz")
    (tmp_path / "out.jsonl.partial").write_bytes(b"a letter\n")
    with pytest.raises(ConfigError, match="is in the way and no unfinished run"):
        journal(tmp_path, resume=True)


def command(*arguments: object):
    return CliRunner().invoke(app, ["score", *map(str, arguments)])


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("many")
    for number, pixels in enumerate(pictures(60, 9, 32, 64)):
        Image.fromarray(pixels).save(folder / f"{number:02}.png")
    (folder / "31.png").write_bytes(b"no picture")
    return folder


def rows_of(file: Path) -> list[dict]:
    if file.suffix == ".parquet":
        return pq.read_table(file, columns=["path", "raw", "error"]).to_pylist()
    if file.suffix == ".csv":
        with file.open(newline="") as lines:
            return [{name: row[name] for name in ("path", "raw", "error")} for row in csv.DictReader(lines)]
    return [
        {name: row[name] for name in ("path", "raw", "error")}
        for row in map(json.loads, file.read_text().split("\n")[:-1])
    ]


@pytest.mark.parametrize("suffix", ["jsonl", "csv", "parquet"])
def test_a_run_that_is_killed_ends_as_one_that_is_not(
    many: Path, tiny_model: Path, tmp_path: Path, suffix: str
) -> None:
    whole, killed = tmp_path / f"whole.{suffix}", tmp_path / f"killed.{suffix}"
    assert command(many, "--model", tiny_model, "--device", "cpu", "--output", whole).exit_code == 1  # one fails
    wanted = ["score", str(many), "--model", str(tiny_model), "--device", "cpu", "--output", str(killed), "--resume"]
    slow = "import vlqa.apps.records, time\nfrom vlqa.apps.journal import Journal\nwrite = Journal.write\n"
    slow += "def slowly(self, record):\n    time.sleep(0.02)\n    write(self, record)\nJournal.write = slowly\n"
    slow += "from vlqa.apps.cli import main; main()"
    root = Path(__file__).parents[2]
    process = subprocess.Popen([sys.executable, "-c", slow, *wanted], cwd=root, stderr=subprocess.DEVNULL)
    partial = tmp_path / f"killed.{suffix}.partial"
    while process.poll() is None and not (partial.exists() and len(partial.read_bytes().splitlines()) > 12):
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert partial.exists() and not killed.exists()
    result = command(*wanted[1:])
    assert result.exit_code == 1 and not partial.exists()
    assert "records were there already" in result.stderr
    found, expected = rows_of(killed), rows_of(whole)
    assert [row["path"] for row in found] == [row["path"] for row in expected]
    assert [bool(row["error"]) for row in found] == [bool(row["error"]) for row in expected]
    scores = [[float(row["raw"]) for row in rows if not row["error"]] for rows in (found, expected)]
    np.testing.assert_allclose(*scores, rtol=1e-5)
    again = command(*wanted[1:])  # only what failed is scored once more
    assert again.exit_code == 1 and "59 records were there already" in again.stderr
    assert sorted(map(str, rows_of(killed))) == sorted(map(str, found))


def test_a_picture_whose_map_was_not_finished_has_no_record(
    many: Path, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(writer: MapWriter, record: Assessment) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(MapWriter, "write", killed)
    arguments = (many / "00.png", "--model", tiny_model, "--map", tmp_path, "--output", tmp_path / "out.jsonl")
    assert command(*arguments).exit_code != 0
    assert not (tmp_path / "out.jsonl.partial").exists()  # it would hold a record


def test_maps_of_a_resumed_run_are_not_written_over(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, pixels in zip("xy", pictures(2), strict=True):
        (tmp_path / name).mkdir()
        Image.fromarray(pixels).save(tmp_path / name / "a.png")
    given = (tmp_path / "x", tmp_path / "y", "--model", tiny_model, "--output", tmp_path / "out.jsonl", "--resume")

    def write(journal: Journal, record: Assessment) -> None:
        original(journal, record)
        raise KeyboardInterrupt

    original = Journal.write
    monkeypatch.setattr(Journal, "write", write)
    assert command(*given, "--map", tmp_path / "maps").exit_code != 0
    monkeypatch.undo()
    first = (tmp_path / "maps" / "a.png").read_bytes()
    assert "begun with another map" in str(command(*given, "--map", tmp_path / "others").exception)
    result = command(*given, "--map", tmp_path / "maps")
    told = [f"1 maps drawn in {tmp_path / 'maps'}", "1 records were there already"]
    assert (result.exit_code, result.stderr.splitlines()) == (0, told)
    assert (tmp_path / "maps" / "a.png").read_bytes() == first and (tmp_path / "maps" / "a_2.png").exists()


def test_what_is_in_the_way_is_told_before_a_model_is_loaded(tmp_path: Path, files: list[str]) -> None:
    first = journal(tmp_path)
    run(first, files)
    given = (files[0], "--model", "none", "--output", tmp_path / "out.jsonl")
    assert "is being written by another run" in str(command(*given).exception)
    first.close(keep=True)
    before = first.file.read_bytes()
    assert "holds an unfinished run" in str(command(*given).exception)
    assert "begun with another precision (None, now fp32)" in str(command(*given, "--resume").exception)
    assert first.file.read_bytes() == before
    nowhere = command(files[0], "--model", "none", "--output", Path(files[0]) / "out.jsonl")
    assert "out.jsonl: cannot be written (Not a directory)" in str(nowhere.exception)
    assert "no model is called 'none'" in str(command(files[0], "--model", "none").exception)


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EOPNOTSUPP, errno.EWOULDBLOCK])
def test_only_a_lock_that_is_held_tells_of_another_run(
    tmp_path: Path, files: list[str], monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    first = journal(tmp_path)
    run(first, files)
    first.close(keep=True)

    def over_nfs(file: BinaryIO, operation: int) -> None:
        assert file.writable()  # else it would be EBADF
        raise OSError(number, "refused")

    monkeypatch.setattr(fcntl, "flock", over_nfs)
    held = pytest.raises(ConfigError, match="is being written by another run")
    with held if number == errno.EWOULDBLOCK else contextlib.nullcontext():
        check_journal(first.file, SETTINGS, resume=True)


def test_what_is_left_out_and_what_is_retried_is_told(many: Path, tiny_model: Path, tmp_path: Path) -> None:
    given = ("--model", tiny_model, "--device", "cpu", "--output", tmp_path / "out.jsonl")
    pictures = [many / "30.png", many / "31.png", many / "32.png"]

    def write(journal: Journal, record: Assessment) -> None:
        original(journal, record)
        if journal._lines == 2:
            raise KeyboardInterrupt

    original = Journal.write
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Journal, "write", write)
        assert command(*pictures, *given).exit_code != 0
    result = command(*pictures[1:], *given, "--resume", "--retry-failed")
    failed, resumed, unnamed = result.stderr.splitlines()
    assert failed.startswith(f"failed: {many / '31.png'}") and resumed == "1 records were there already"
    assert unnamed == "1 of them are of pictures that are not named now; they stay"
    assert [row["path"] for row in rows_of(tmp_path / "out.jsonl")] == [str(path) for path in pictures]
    assert "--resume" in str(command(*pictures, *given, "--retry-failed").exception)


def test_resume_needs_a_file(many: Path, tiny_model: Path) -> None:
    assert "--output" in str(command(many, "--model", tiny_model, "--resume").exception)


def test_a_pipe_behind_a_link_is_written_directly(many: Path, tiny_model: Path) -> None:
    arguments = ["score", str(many / "00.png"), "--model", str(tiny_model), "--output", "/dev/stdout", "-f", "jsonl"]
    done = subprocess.run(
        [sys.executable, "-m", "vlqa", *arguments], cwd=Path(__file__).parents[2], capture_output=True
    )
    assert done.returncode == 0 and json.loads(done.stdout)["path"] == str(many / "00.png")
