"""Archives and tables at addresses."""

from __future__ import annotations

import contextlib
import gc
import gzip
import tempfile
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.data.archives import IMAGES, write_tar
from tests.servers import serving
from vlqa.data.images import decode
from vlqa.data.sources import find, limits, web
from vlqa.data.sources.download import Download
from vlqa.data.sources.find import PictureFinder
from vlqa.data.sources.limits import Limits
from vlqa.errors import ImageDecodeError
from vlqa.types import Source


class Handler(BaseHTTPRequestHandler):
    files: dict[str, bytes] = {}  # noqa: RUF012
    goes_on = threading.Event()
    asked: list[str] = []  # noqa: RUF012

    def do_GET(self) -> None:
        self.asked.append(self.path)
        kind, _, name = self.path.partition("?")[0].removeprefix("/").partition("/")
        data = self.files.get(name)
        self.send_response(404 if data is None else 200)
        data = data or b""
        if kind != "endless":
            self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        half = len(data) // 2
        with contextlib.suppress(OSError):
            self.wfile.write(data[:half])
            if kind == "cut":
                return
            if kind == "slow":
                self.goes_on.wait(10)
            self.wfile.write(data[half:])
            while kind == "endless":
                self.wfile.write(bytes(1 << 16))

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    given = {f"{number}.png": IMAGES[number % 3] for number in range(6)}
    tar = write_tar(tmp_path / "s.tar", given).read_bytes()
    pq.write_table(pa.table({"image": pa.array(IMAGES)}), tmp_path / "p.parquet", row_group_size=2)
    table = (tmp_path / "p.parquet").read_bytes()
    Handler.files = {"s.tar": tar, "s.tar.gz": gzip.compress(tar), "p.parquet": table, "empty.tar": b""}
    Handler.asked.clear()
    Handler.goes_on.clear()
    with serving(Handler) as place:
        yield f"http://{place}"
        Handler.goes_on.set()


def sources(*inputs: str) -> Iterator[Source]:
    for found in PictureFinder().find(inputs):
        assert isinstance(found, Source)
        yield found


def error(source: Source) -> str:
    with pytest.raises(ImageDecodeError) as caught:
        decode(source)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("name", ["s.tar", "s.tar.gz", "p.parquet"])
def test_what_is_in_them_is_found_and_read_in_any_order(server: str, name: str) -> None:
    address = f"{server}/plain/{name}"
    found = list(sources(address, f"{address}?key=1"))
    count = len(found) // 2
    assert count == (3 if "parquet" in name else 6)
    expected = [f"{number}.png" if "tar" in name else str(number) for number in range(count)]
    assert [source.name for source in found[:count]] == [f"{address}/{at}" for at in expected]
    assert found[count].name.startswith(f"{address}?key=1/")
    for number in reversed(range(count)):
        assert found[number].read() == found[number].read() == IMAGES[number % 3]
    assert len({source.stamp for source in found[:count]}) == count
    assert Handler.asked == [f"/plain/{name}", f"/plain/{name}?key=1"]  # once each, however often it is read


def test_pictures_come_while_the_rest_is_on_its_way(server: str) -> None:
    start = time.monotonic()
    found = sources(f"{server}/slow/s.tar")
    first = [next(found) for _ in range(2)]
    assert [source.read() for source in first] == IMAGES[:2] and time.monotonic() - start < 5
    Handler.goes_on.set()
    assert [source.read() for source in found] == [*IMAGES[2:], *IMAGES]


@pytest.mark.parametrize("name", ["s.tar", "s.tar.gz", "p.parquet"])
def test_an_address_that_fails_is_one_error(server: str, name: str) -> None:
    *_, missing = sources(f"{server}/plain/none/{name}")
    assert missing.name == f"{server}/plain/none/{name}" and "the server answered 404" in error(missing)
    *whole, cut = sources(f"{server}/cut/{name}")
    assert all(source.read() in IMAGES for source in whole)
    assert cut.name == f"{server}/cut/{name}" and "the connection broke off at" in error(cut)


def test_where_no_thread_starts_nobody_waits_and_the_next_one_tries_again(
    server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = threading.Thread.start

    def refuse_fetch(thread: threading.Thread) -> None:
        if thread.name == "vlqa-fetch":
            raise RuntimeError("can't start new thread")
        start(thread)  # the server's

    download = Download(f"{server}/plain/s.tar", Limits(1 << 20))
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refuse_fetch)
        with pytest.raises(ImageDecodeError, match=r"cannot be fetched \(can't start new thread\); run fewer programs"):
            download.open()
    found: list[bytes] = []

    def read() -> None:
        with download.open() as file:
            found.append(file.read(2))

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    reader.join(10)
    assert len(found) == 1


def test_an_empty_archive_is_said_to_be(server: str) -> None:
    (empty,) = sources(f"{server}/plain/empty.tar")
    assert "is empty" in error(empty)


def test_size_and_time_are_limited(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(find, "_DOWNLOAD_BYTES", 1 << 15)
    (large,) = sources(f"{server}/endless/p.parquet")
    assert "has more than the 32768 bytes allowed" in error(large)
    monkeypatch.setattr(find, "_DOWNLOAD_S", 0.2)
    *_, late = sources(f"{server}/slow/s.tar")
    assert "or took longer than 0.2 s in all" in error(late)
    (private,) = PictureFinder(private_addresses=False).find([f"{server}/plain/s.tar"])
    assert "in a private network" in error(private)  # type: ignore[arg-type]


def test_what_is_kept_of_all_downloads_together_is_limited(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    length = len(Handler.files["s.tar"])
    monkeypatch.setattr(find, "_DOWNLOAD_BYTES", length * 3 // 2)
    monkeypatch.setattr(limits, "_ROOM_S", 0.1)
    finder = PictureFinder()
    names = [f"{server}/plain/s.tar?{number}/5.png" for number in range(2)]
    first, second = map(finder.member, names)
    assert first is not None and first.read() == IMAGES[2] and second is not None
    assert f"is more than the {length * 3 // 2} bytes that all downloads may keep; fetch it yourself" in error(second)


def test_one_download_after_another_waits_for_room(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(find, "_DOWNLOAD_BYTES", len(Handler.files["s.tar"]) * 3 // 2)
    monkeypatch.setattr(web, "_CHUNK_BYTES", 1 << 10)  # so that its first picture comes before the room is full
    found = PictureFinder().find([f"{server}/plain/s.tar?{number}" for number in range(4)])
    assert [source.read() for source in found if isinstance(source, Source)] == [*IMAGES, *IMAGES] * 4


def test_a_fetch_ends_with_the_last_who_reads_it(server: str) -> None:
    found = sources(f"{server}/endless/s.tar")
    next(found).read()
    assert "vlqa-fetch" in {thread.name for thread in threading.enumerate()}
    found.close()  # type: ignore[attr-defined]
    del found
    gc.collect()
    deadline = time.monotonic() + 5
    while "vlqa-fetch" in {thread.name for thread in threading.enumerate()}:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_full_folder_is_named(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with Path("/dev/full").open("wb", buffering=0) as full:
        monkeypatch.setattr(tempfile, "TemporaryFile", lambda buffering: full)
        (failed,) = sources(f"{server}/plain/p.parquet")
    assert "No space left on device); name a folder with room by TMPDIR" in error(failed)
