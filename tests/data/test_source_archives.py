from __future__ import annotations

import gzip
import io
import os
import re
import tarfile
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from tests.data.archives import IMAGES, special, write_tar
from vlqa.data.images import decode
from vlqa.data.sources import archives, reel
from vlqa.data.sources.archives import members
from vlqa.data.sources.reel import Reel
from vlqa.errors import ImageDecodeError
from vlqa.types import Source

MODES = ["w", "w:gz"]
LARGE = 1 << 20


def error(source: Source) -> str:
    with pytest.raises(ImageDecodeError) as caught:
        decode(source)
    return str(caught.value)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("format", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_pictures_come_in_the_order_of_the_archive(tmp_path: Path, mode: str, format: int) -> None:
    deep = "/".join(["folder"] * 20) + "/ö.jpg"
    given = {"0.PNG": IMAGES[0], "0.json": b"{}", deep: IMAGES[1], "./1.left.webp": IMAGES[2]}
    given |= {".hidden.png": b"", "a/.b/c.png": b"", "._0.PNG": b"", "d.png": special("d.png", tarfile.DIRTYPE)}
    path = write_tar(tmp_path / "s.tar", given, mode, format=format)
    found = list(members(str(path), LARGE))
    assert [source.name for source in found] == [f"{path}/{name}" for name in ("0.PNG", deep, "1.left.webp")]
    assert [source.read() for source in found] == IMAGES
    assert found[2].read() == IMAGES[2] and found[0].read() == IMAGES[0]  # again, and backwards
    np.testing.assert_array_equal(decode(found[0]), decode(IMAGES[0]))


@pytest.mark.parametrize("mode", MODES)
def test_threads_may_read_in_any_order(tmp_path: Path, mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reel, "_SHELF_BYTES", 20_000)  # some are thrown out and read again
    monkeypatch.setattr(reel, "_SHELVED_BYTES", 5_000)
    rng = np.random.default_rng(0)
    given = {f"{number}.png": rng.bytes(int(rng.integers(0, 7000))) for number in range(60)}
    found = list(members(str(write_tar(tmp_path / "s.tar", given, mode)), LARGE))
    order = np.clip(np.arange(60) + rng.integers(-9, 9, 60), 0, 59)
    with ThreadPoolExecutor(8) as executor:
        read = list(executor.map(lambda number: found[number].read(), order))
    assert read == [list(given.values())[number] for number in order]


@pytest.mark.parametrize("mode", MODES)
def test_a_stamp_changes_with_the_archive_and_differs_between_members(tmp_path: Path, mode: str) -> None:
    path = write_tar(tmp_path / "s.tar", {"a.png": IMAGES[0], "b.png": IMAGES[0]}, mode)
    first = list(members(str(path), LARGE))
    stamps = [source.stamp for source in first]
    assert len(set(stamps)) == 2 and [source.stamp for source in members(str(path), LARGE)] == stamps
    os.utime(path, ns=(0, 10**18))
    assert {source.stamp for source in members(str(path), LARGE)}.isdisjoint(stamps)
    assert "changed while it was read; run again" in error(first[0])


def test_the_content_decides_whether_it_is_gzipped(tmp_path: Path) -> None:
    for name, mode in (("a.tar", "w:gz"), ("b.tgz", "w")):
        path = write_tar(tmp_path / name, {"a.png": IMAGES[0]}, mode)
        assert [source.read() for source in members(str(path), LARGE)] == IMAGES[:1]


def test_files_stay_closed(tmp_path: Path) -> None:
    """Of an archive whose sources are all held, as `vlqa select` holds them."""
    path = write_tar(tmp_path / "s.tgz", {f"{number}.png": IMAGES[0] for number in range(5)}, "w:gz")
    before = len(list(Path("/dev/fd").iterdir()))
    held = [list(members(str(path), LARGE)) for _ in range(10)]
    assert all(source.read() == IMAGES[0] for found in held for source in found)
    assert len(list(Path("/dev/fd").iterdir())) == before


@pytest.mark.parametrize("mode", MODES)
def test_what_is_no_plain_file_is_an_error_and_does_no_harm(tmp_path: Path, mode: str) -> None:
    (tmp_path / "secret.png").write_bytes(IMAGES[0])
    given = {
        "link.png": special("link.png", tarfile.SYMTYPE, str(tmp_path / "secret.png")),
        "hard.png": special("hard.png", tarfile.LNKTYPE, "ok.png"),
        "fifo.png": special("fifo.png", tarfile.FIFOTYPE),
        "device.png": special("device.png", tarfile.BLKTYPE),
        "/etc/evil.png": IMAGES[0],
        "../../evil.png": IMAGES[1],
        "bomb.png": bytes(3 * LARGE),
        "ok.png": IMAGES[2],
    }
    path = write_tar(tmp_path / "s.tar", given, mode)
    found = list(members(str(path), LARGE))
    assert [source.name for source in found] == [f"{path}/{name}" for name in given]
    messages = [error(source) for source in (*found[:4], found[6])]
    assert all(message.startswith(str(path)) and "\n" not in message for message in messages)
    assert ["is a link in the archive" in message for message in messages] == [True, True, False, False, False]
    assert "has 3145728 bytes, more than the 1048576 allowed" in messages[4]
    assert [found[number].read() for number in (4, 5, 7)] == IMAGES
    assert {entry.name for entry in tmp_path.iterdir()} == {"secret.png", "s.tar"}


@pytest.mark.parametrize("mode", MODES)
def test_members_of_one_name_and_of_odd_ones_are_all_read(tmp_path: Path, mode: str) -> None:
    path = tmp_path / "s.tar"
    odd = ["a.png", "./a.png", "b/../a.png", "line\nbreak.png", "\x1b[31m.png", "\udcff.png"]
    write_tar(path, {name: IMAGES[number % 3] for number, name in enumerate(odd)}, mode)
    found = list(members(str(path), LARGE))
    assert [source.name for source in found] == [f"{path}/{name.removeprefix('./')}" for name in odd]
    assert [source.read() for source in found] == [*IMAGES, *IMAGES] and len({source.stamp for source in found}) == 6


@pytest.mark.parametrize("keys", [{"GNU.sparse.major": "1", "GNU.sparse.minor": "0"}, {"GNU.sparse.map": "0,512"}])
def test_a_sparse_member_is_not_filled(tmp_path: Path, keys: dict[str, str]) -> None:
    entry = tarfile.TarInfo("hole.png")
    entry.size = 512
    entry.pax_headers = {**keys, "GNU.sparse.name": "hole.png", "GNU.sparse.realsize": str(1 << 40)}
    with tarfile.open(tmp_path / "s.tar", "w", format=tarfile.PAX_FORMAT) as archive:
        archive.addfile(entry, io.BytesIO(b"1\n0\n512\n".ljust(512, b"\0")))
    write_tar(tmp_path / "s.tar", {"a.png": IMAGES[0]}, "a")
    hole, whole = members(str(tmp_path / "s.tar"), LARGE)
    assert "hole.png: is no plain file in the archive; pack the pictures themselves" in error(hole)
    assert whole.read() == IMAGES[0]


@pytest.mark.parametrize("mode", MODES)
def test_a_truncated_archive_is_one_error_after_its_whole_members(tmp_path: Path, mode: str) -> None:
    whole = write_tar(tmp_path / "s.tar", {f"{number}.png": os.urandom(3000) for number in range(4)}, mode).read_bytes()
    cut = tmp_path / "cut.tar"
    lengths = {4: 1}
    for length in (10, 300, 1000, 5000, 2 * 3584, 4 * 3584, 4 * 3584 + 100):
        cut.write_bytes(whole[: min(length, len(whole) - 20)])
        *good, last = members(str(cut), LARGE)
        assert all(len(source.read()) == 3000 for source in good)
        assert last.name == str(cut) and last.stamp is None
        assert "archive" in error(last) and "copy or download it again" in error(last)
        lengths[len(good)] = 1
    assert len(lengths) >= 3
    cut.touch()
    cut.write_bytes(b"")
    (last,) = members(str(cut), LARGE)
    assert "is empty" in error(last)


def header(name: bytes, size: bytes, kind: bytes = b"0") -> bytes:
    block = bytearray(tarfile.TarInfo(name.decode()).tobuf())
    block[124:136] = size.ljust(12, b"\0")
    block[156:157] = kind
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(
    ("blocks", "message"),
    [
        (header(b"x.png", b"77777777777"), "is a truncated tar archive"),  # 8 GiB
        (header(b"x.txt", b"\x80" + b"\x10".rjust(11, b"\0")) + bytes(512), "truncated|damaged"),
        (header(b"x.txt", b"\xff" * 12), "negative size|damaged"),  # −1
        (header(b"x.txt", b"\xff" * 9 + b"\x00\x00\x00"), "negative size|damaged"),
        (header(b"pax", b"77777777777", b"x"), "a header without end"),
        (header(b"long", b"\xff" * 12, b"L"), "a header without end|damaged"),
        (b"".join(header(b"x.txt", b"0", b"x") for _ in range(300)), "a header without end|damaged"),
        (header(b"x.txt", b"0") + b"\x07" * 512, "a header makes no sense"),
        (b"no archive" * 100, "or none|makes no sense"),
    ],
)
def test_headers_that_lie(tmp_path: Path, packed: bool, blocks: bytes, message: str) -> None:
    start = write_tar(tmp_path / "start.tar", {"a.png": IMAGES[0]}).read_bytes()[
        : 512 + -(-len(IMAGES[0]) // 512) * 512
    ]
    for before in (b"", start):
        path = tmp_path / "s.tar"
        path.write_bytes(gzip.compress(before + blocks) if packed else before + blocks)
        found = list(members(str(path), LARGE))
        if before:
            assert found.pop(0).read() == IMAGES[0]
        assert len(found) == 1 and re.search(message, error(found[0]))


@pytest.mark.parametrize("mode", MODES)
def test_random_damage_never_raises(tmp_path: Path, mode: str) -> None:
    given = {f"{'long' * 30}{number}.png": bytes([number]) * 700 for number in range(5)}
    whole = np.frombuffer(write_tar(tmp_path / "s.tar", given, mode, format=tarfile.PAX_FORMAT).read_bytes(), np.uint8)
    rng = np.random.default_rng(0)
    for _ in range(150):
        broken = whole.copy()
        broken[rng.integers(0, min(len(broken), 9000), 3)] = rng.integers(0, 256, 3)
        (tmp_path / "b.tar").write_bytes(broken.tobytes())
        for source in members(str(tmp_path / "b.tar"), LARGE):
            try:
                source.read()
            except ImageDecodeError as caught:
                assert "\n" not in str(caught)


def test_headers_are_read_as_they_are_needed_and_not_remembered(tmp_path: Path, monkeypatch) -> None:
    path = write_tar(tmp_path / "s.tar", {f"{number}.png": b"x" for number in range(2000)})
    read: list[int] = []
    original = archives._Headers.read
    monkeypatch.setattr(archives._Headers, "read", lambda self, size: (read.append(size), original(self, size))[1])
    found = members(str(path), LARGE)
    for _ in range(3):
        next(found)
    assert len(read) < 10


def test_a_reel_fails_fast_behind_its_damage() -> None:
    played: list[int] = []

    def play() -> Iterator[tuple[int, int, object]]:
        played.append(1)
        for key in (3, 5, 7):
            yield key, 1, lambda key=key: bytes([key])
        raise ImageDecodeError("is damaged here")

    tape = Reel(play, str)  # type: ignore[arg-type]
    for _ in range(3):
        with pytest.raises(ImageDecodeError, match="is damaged here"):
            tape.take(9)
    assert len(played) == 1
    assert [tape.take(key) for key in (5, 3, 7, 7)] == [b"\5", b"\3", b"\7", b"\7"]
    with pytest.raises(ImageDecodeError, match="is not where it was"):
        Reel(lambda: (piece for piece in ()), str, 0).take(0)
    assert threading.active_count() < 50
