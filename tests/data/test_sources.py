from __future__ import annotations

import io
import itertools
import os
import threading
import tracemalloc
from pathlib import Path

import pytest

from tests.data.archives import IMAGES, write_tar
from vlqa.data.images import decode
from vlqa.data.sources.find import Picture, PictureFinder
from vlqa.data.sources.lists import expand_braces, read_names
from vlqa.errors import ConfigError, ImageDecodeError
from vlqa.types import Source


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "below").mkdir()
    for name, data in zip(("a.png", "b.png", "below/c.png"), IMAGES, strict=True):
        (tmp_path / name).write_bytes(data)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def find(*inputs: str, standard_input: bytes | None = None, empty: list[str] | None = None) -> list[Picture]:
    stream = None if standard_input is None else io.BytesIO(standard_input)
    return list(PictureFinder(stream, on_empty=None if empty is None else empty.append).find(inputs))


def names(pictures: list[Picture]) -> list[str]:
    return [picture.name if isinstance(picture, Source) else picture for picture in pictures]


def test_a_list_names_files_folders_archives_and_addresses(here: Path) -> None:
    write_tar(here / "s.tar", {"x.png": IMAGES[0]})
    lines = ["a.png", "", "below", "  ", "s.tar", "HTTP://host/y.png", "none.jpg", "a[1]*.jpg", "@no", "-", "notes"]
    (here / "list.txt").write_bytes(b"\xef\xbb\xbf" + "\r\n".join(lines).encode())
    found = find("@list.txt", "b.png")
    expected = ["a.png", "below/c.png", "s.tar/x.png", *lines[5:], "b.png"]
    assert names(found) == expected
    assert [isinstance(picture, Source) for picture in found[:4]] == [False, False, True, True]


def test_lists_may_be_separated_by_nul_and_hold_any_bytes(here: Path) -> None:
    odd = b"\xff\xfe.png"
    assert names(find("-", standard_input=b"a.png\0line\nbreak.png\0 \0" + odd + b"\0")) == [
        *("a.png", "line\nbreak.png"),
        os.fsdecode(odd),
    ]
    assert names(find("-", standard_input=b"a.png\n" + odd)) == ["a.png", os.fsdecode(odd)]
    assert names(find("-", standard_input=b"BMW/1.jpg\r\nGIF89a.png\n")) == ["BMW/1.jpg", "GIF89a.png"]


def test_lists_are_read_as_they_are_needed(here: Path) -> None:
    class Endless(io.RawIOBase):
        def __init__(self) -> None:
            self.lines = itertools.count()

        def readable(self) -> bool:
            return True

        def readinto(self, buffer: bytearray) -> int:
            line = f"{next(self.lines)}.png\n".encode()
            buffer[: len(line)] = line
            return len(line)

    endless = io.BufferedReader(Endless())
    found = PictureFinder(endless).find(["-"])
    assert list(itertools.islice(found, 3)) == ["0.png", "1.png", "2.png"]
    assert next(endless.raw.lines) <= 4  # type: ignore[attr-defined]


def test_a_list_in_a_named_pipe_is_opened_once(here: Path) -> None:
    os.mkfifo(here / "pipe")
    begun = threading.Thread(target=PictureFinder().find, args=(["@pipe"],), daemon=True)
    begun.start()
    begun.join(5)
    waits = begun.is_alive()
    writer = os.open(here / "pipe", os.O_RDWR)  # waits for nobody, and frees who waits
    try:
        assert not waits
        os.write(writer, b"a.png\nb.png\n")
        found = PictureFinder().find(["@pipe"])
        assert next(found) == "a.png"
    finally:
        os.close(writer)
    assert list(found) == ["b.png"]


def test_a_list_of_another_kind_of_text_is_one_line() -> None:
    for coding in ("utf-16", "utf-16-be"):
        text = "\ufeff" if coding == "utf-16-be" else ""
        with pytest.raises(ConfigError, match=r"^standard input is UTF-16 text; save it as UTF-8$"):
            find("-", standard_input=f"{text}a.png\nb.png\n".encode(coding))
    assert names(find("-", standard_input=b"\xff\xfea.png")) == [os.fsdecode(b"\xff\xfea.png")]


def test_a_list_takes_no_memory_for_its_length() -> None:
    class Long(io.RawIOBase):
        left = 30_000

        def readable(self) -> bool:
            return True

        def readinto(self, buffer: bytearray) -> int:
            lines = b"".join(b"folder/%d.jpg\r\n" % (self.left - number) for number in range(min(500, self.left)))
            self.left -= 500
            buffer[: len(lines)] = lines
            return len(lines)

    found = PictureFinder(io.BufferedReader(Long(), 1 << 16)).find(["-"])
    tracemalloc.start()
    count = sum(1 for _ in found)
    assert count == 30_000 and tracemalloc.get_traced_memory()[1] < 1 << 19
    tracemalloc.stop()


def test_a_long_list_is_whole_at_the_borders_of_its_pieces() -> None:
    given = [f"{'x' * (number % 97)}{number}.png" for number in range(5000)]
    assert list(read_names(io.BytesIO("\n".join(given).encode()), "list")) == given


def test_a_file_called_like_a_list_or_a_pattern_is_that_file(here: Path) -> None:
    for name in ("@a.png", "{1..2}.png", "-"):
        (here / name).write_bytes(IMAGES[0])
    assert find("@a.png", "{1..2}.png", "./-") == ["@a.png", "{1..2}.png", "./-"]
    assert find("-", standard_input=b"a.png") == ["a.png"]
    assert find("@") == ["@"]


def test_lists_that_cannot_be_read_are_wrong_use_before_anything_is_read(here: Path) -> None:
    finder = PictureFinder(io.BytesIO())
    with pytest.raises(ConfigError, match=r"@none\.txt: the list cannot be read \(No such file"):
        finder.find(["a.png", "@none.txt"])
    with pytest.raises(ConfigError, match=r"@below: the list cannot be read \(Is a directory"):
        finder.find(["@below"])
    with pytest.raises(ConfigError, match="can be read once only"):
        finder.find(["-", "-"])
    (here / "d.png").write_bytes(IMAGES[1])
    with pytest.raises(ConfigError, match=r"d\.png is a picture, not a list"):
        list(finder.find(["@./d.png"]))
    with pytest.raises(ConfigError, match="a line has more than 65536 bytes"):
        find("-", standard_input=bytes(range(11, 256)) * 1000)


def test_inputs_without_pictures_are_reported(here: Path) -> None:
    write_tar(here / "none.tar", {"notes.txt": b"nothing"})
    (here / "empty.txt").touch()
    (here / "empty").mkdir()
    empty: list[str] = []
    assert find("none.tar", "@empty.txt", "-", "empty", standard_input=b"\n\n", empty=empty) == []
    assert empty == ["none.tar", "@empty.txt", "-", "empty"]
    assert find("-", empty=empty) == [] and empty[-1] == "-"


def test_braces(here: Path) -> None:
    assert list(expand_braces("s-{08..11}.tar")) == ["s-08.tar", "s-09.tar", "s-10.tar", "s-11.tar"]
    assert list(expand_braces("{2..0}{a,,b}")) == ["2a", "2", "2b", "1a", "1", "1b", "0a", "0", "0b"]
    assert list(expand_braces("{}{a}{1...3}a{b..c}{")) == ["{}{a}{1...3}a{b..c}{"]
    assert next(expand_braces("{0..999999999999999999}")) == "0"
    for number in range(2):
        write_tar(here / f"s-{number:02}.tar", {"x.png": IMAGES[number]})
    assert names(find("s-{00..01}.tar")) == names(find("s-*.tar")) == ["s-00.tar/x.png", "s-01.tar/x.png"]
    assert names(find("{a,b}.p*", "https://host/{1..2}.jpg")) == [
        *("a.png", "b.png", "https://host/1.jpg", "https://host/2.jpg")
    ]


def test_a_missing_archive_or_table_is_one_source_that_fails(here: Path) -> None:
    for name in ("none.tar", "none.tgz", "none.parquet"):
        (source,) = find(name)
        assert isinstance(source, Source) and source.name == name and source.stamp is None
        with pytest.raises(ImageDecodeError, match=f"^{name}: there is no such file"):
            decode(source)


def test_folders_and_pipes_that_are_called_like_archives(here: Path) -> None:
    (here / "f.tar").mkdir()
    (here / "f.tar/a.png").write_bytes(IMAGES[0])
    os.mkfifo(here / "pipe.tar")
    assert find("f.tar") == ["f.tar/a.png"]
    with pytest.raises(ImageDecodeError, match="is a named pipe"):
        decode(*find("pipe.tar"))
    assert find("x" * 5000) == ["x" * 5000]
    assert find("-", standard_input=b"x" * 5000) == ["x" * 5000]
