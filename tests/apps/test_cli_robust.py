"""What must not go wrong whatever a shell does: devices as outputs, closed streams, writing errors, interruptions."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from tests.hostile import write_hostile_files
from vlqa.apps.cli import _share_cores, run
from vlqa.apps.cli.score import Format, _has_room
from vlqa.apps.records import open_output
from vlqa.types import Assessment

RECORD = Assessment(path="a.png", quality=0.5, raw=3.0, model="tiny", digest="0")


def vlqa(*arguments: object, redirect: str = "") -> subprocess.CompletedProcess[str]:
    command = " ".join([sys.executable, "-m", "vlqa", *map(str, arguments), redirect])
    return subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=False)


def test_python_m_vlqa_is_vlqa() -> None:
    assert vlqa("--version").stdout.strip()


def test_a_fifo_is_written_and_not_replaced(tmp_path: Path) -> None:
    fifo = tmp_path / "out"
    os.mkfifo(fifo)
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    with open_output("jsonl", fifo, (1, 5)) as out:
        out.write(RECORD)
    assert json.loads(os.read(reader, 9999))["path"] == "a.png"
    assert fifo.is_fifo() and [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_link_stays_and_its_target_is_written(tmp_path: Path) -> None:
    (tmp_path / "link.jsonl").symlink_to(tmp_path / "target.jsonl")
    with open_output("jsonl", tmp_path / "link.jsonl", (1, 5)) as out:
        assert list(out.unscored(["a.png"])) == ["a.png"]
        out.write(RECORD)
    assert (tmp_path / "link.jsonl").is_symlink() and "a.png" in (tmp_path / "target.jsonl").read_text()


def test_nothing_is_left_of_a_run_that_wrote_nothing(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), open_output("csv", tmp_path / "out.csv", (1, 5)):
        raise KeyboardInterrupt
    assert not list(tmp_path.iterdir())


def test_a_table_shows_what_was_scored_before_an_interruption(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(KeyboardInterrupt), open_output("table", None, (1, 5)) as out:
        out.write(RECORD)
        raise KeyboardInterrupt
    assert "a.png" in capsys.readouterr().out


def test_a_table_shows_names_that_would_move_the_cursor(tmp_path: Path) -> None:
    with open_output("table", tmp_path / "table", (1, 5)) as out:
        for name in out.unscored(["\x1b[31mred\n.png", "\x1b]0;title\x07.png"]):
            out.write(replace(RECORD, path=str(name), error="no \x1b[2J" if "red" in str(name) else None))
    shown = (tmp_path / "table").read_text()
    assert "\x1b" not in shown and "\\x1b[31mred\\n.png" in shown and len(shown.splitlines()) == 3


def test_progress_does_not_mix_with_records(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    assert not _has_room(Format.JSONL, None)
    assert _has_room(Format.TABLE, None) and _has_room(Format.JSONL, tmp_path / "out.jsonl")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: False)
    assert _has_room(Format.CSV, None)


SLOW = """
import signal, sys, time
signal.signal(signal.SIGINT, signal.default_int_handler)  # in the background of a script it may be ignored
from vlqa.apps.cli import main
from vlqa.apps.journal import Journal
write, close = Journal.write, Journal.close

def slowly(self, record):
    write(self, record)
    time.sleep(0.2)

def hangs(self, *, keep):
    print("closing", file=sys.stderr, flush=True)
    time.sleep(60)

Journal.write = slowly
if "--hang" in sys.argv:
    sys.argv.remove("--hang")
    Journal.close = hangs
main()
"""


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
@pytest.mark.parametrize("hang", [False, True])
def test_a_signal_ends_a_run_in_order_and_a_second_one_at_once(
    tiny_model: Path, folder: Path, tmp_path: Path, number: signal.Signals, status: int, hang: bool
) -> None:
    output, partial = tmp_path / "out.jsonl", tmp_path / "out.jsonl.partial"
    for copy in range(60):
        (folder / f"{copy}.png").write_bytes((folder / "a.png").read_bytes())
    arguments = ["score", str(folder), "--model", str(tiny_model), "--output", str(output), *["--hang"] * hang]
    with subprocess.Popen([sys.executable, "-c", SLOW, *arguments], stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        while process.poll() is None and not (partial.exists() and len(partial.read_bytes().splitlines()) > 2):
            time.sleep(0.01)
        process.send_signal(number)
        if hang:
            assert process.stderr.readline() == "closing\n"
            process.send_signal(number)
        error = process.stderr.read()
        assert process.wait() == status and "Traceback" not in error
    assert hang or f"interrupted; what was scored is in {partial}: go on with --resume" in error
    assert len(partial.read_bytes().splitlines()) > 2


def test_what_a_shell_ignores_stays_ignored() -> None:
    code = "import signal, sys\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\nimport vlqa.apps.cli as cli\n"
    code += "cli.run = lambda: print(signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM).__name__) or 0\n"
    done = subprocess.run([sys.executable, "-c", f"{code}cli.main()"], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == f"{signal.SIG_IGN!s} _end_in_order"


def test_the_end_is_short_but_complete() -> None:
    code = "import atexit, threading, time, sys\nimport vlqa.apps.cli as cli\n"
    code += "threading.Thread(target=time.sleep, args=(60,)).start()\natexit.register(print, 'left')\n"
    code += "cli.app = lambda: sys.exit('why')\ncli.main()\n"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30)
    assert (done.returncode, done.stdout, done.stderr) == (1, "left\n", "why\n")


@pytest.mark.parametrize("place", ["photo.png/x.png", "/proc/none/x.png"])
def test_a_place_that_cannot_be_written_is_one_line(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], place: str
) -> None:
    monkeypatch.chdir(folder)
    (folder / "photo.png").write_bytes((folder / "a.png").read_bytes())
    monkeypatch.setattr(sys, "argv", ["vlqa", "degrade", "a.png", "--type", "1", "--level", "1", "--output", place])
    assert run() == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and error.count("\n") == 1


def test_closed_streams_do_no_harm(tiny_model: Path, folder: Path, tmp_path: Path) -> None:
    output = tmp_path / "out.jsonl"
    (folder / "broken.png").write_bytes(b"no picture")
    options = ("--model", tiny_model, "--device", "cpu", "--output", output)
    assert vlqa("score", folder, *options, redirect="2>&-").returncode == 1
    assert len(output.read_text().splitlines()) == 4
    closed = vlqa("score", folder / "a.png", "--model", tiny_model, redirect=">&-")
    assert closed.returncode == 0 and "Traceback" not in closed.stderr


def test_a_full_disk_is_one_line(tiny_model: Path, folder: Path) -> None:
    full = vlqa("score", folder / "a.png", "--model", tiny_model, redirect="> /dev/full")
    assert full.returncode == 2 and "No space left" in full.stderr and "Traceback" not in full.stderr


def test_hostile_files_each_get_a_record_and_the_good_ones_a_score(tiny_model: Path, tmp_path: Path) -> None:
    expected = write_hostile_files(tmp_path)
    files = {path: reason for path, reason in expected.items() if not Path(path).is_dir()}
    command = [sys.executable, "-m", "vlqa", "score", *files, "--model", str(tiny_model), "--format", "jsonl"]
    result = subprocess.run(command, capture_output=True, check=False)
    assert result.returncode == 1 and b"Traceback" not in result.stderr
    found = [json.loads(line) for line in result.stdout.split(b"\n") if line]
    assert [record["path"] for record in found] == list(files)
    assert sum(reason is not None for reason in files.values()) >= 40
    for record, reason in zip(found, files.values(), strict=True):
        if reason is None:
            assert record["error"] is None and 0 <= record["quality"] <= 1
        else:
            assert record["quality"] is None and reason in record["error"] and "\n" not in record["error"]


@pytest.mark.parametrize(
    ("granted", "given", "expected"),
    [
        (16, {}, {"GOMP_SPINCOUNT": "2000"}),
        (2, {}, {"GOMP_SPINCOUNT": "2000", "OMP_NUM_THREADS": "2"}),
        (2, {"OMP_NUM_THREADS": "3", "GOMP_SPINCOUNT": "7"}, {"OMP_NUM_THREADS": "3", "GOMP_SPINCOUNT": "7"}),
        (16, {"OMP_WAIT_POLICY": "ACTIVE"}, {"OMP_WAIT_POLICY": "ACTIVE"}),
    ],
)
def test_threads_leave_room_for_other_jobs_unless_told_otherwise(
    monkeypatch: pytest.MonkeyPatch, granted: int, given: dict[str, str], expected: dict[str, str]
) -> None:
    environment = dict(given)
    monkeypatch.setattr(os, "environ", environment)
    monkeypatch.setattr("vlqa.apps.cli.usable_cores", lambda: granted)
    monkeypatch.setattr(os, "cpu_count", lambda: 16)
    _share_cores()
    assert environment == expected
