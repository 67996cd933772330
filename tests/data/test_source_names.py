from __future__ import annotations

from pathlib import Path

import pytest

from tests.data.archives import IMAGES, write_tar
from vlqa.data.choices import Choices
from vlqa.data.images import decode
from vlqa.data.manifest import Manifest
from vlqa.data.sources.find import PictureFinder
from vlqa.data.sources.named import holder_of
from vlqa.errors import ImageDecodeError
from vlqa.types import Source


def test_a_name_leads_into_what_exists(tmp_path: Path) -> None:
    (tmp_path / "f.tar").mkdir()
    write_tar(tmp_path / "f.tar/s.TAR.gz", {"a.tar/x.png": IMAGES[0]}, "w:gz")
    assert holder_of("f.tar/s.TAR.gz/a.tar/x.png", tmp_path) == (f"{tmp_path}/f.tar/s.TAR.gz", "a.tar/x.png")
    for name in ("f.tar/a.png", "s.tar/a.png", "f.tar/s.TAR.gz", "f.tar/s.TAR.gz/", "a.tarx/b", "x" * 5000 + ".tar/a"):
        assert holder_of(name, tmp_path) is None


def test_addresses_may_have_a_query() -> None:
    for name, holder in (
        ("http://h/s.tar/a/b.png", "http://h/s.tar"),
        ("http://h/s.tar?k=1/a/b.png", "http://h/s.tar?k=1"),
        ("http://h/p.parquet/17", "http://h/p.parquet"),
    ):
        assert holder_of(name) == (holder, name[len(holder) + 1 :])
    for name in ("http://h/s.tar?k=a/b", "http://h/a.png", "http://h/s.tar"):
        assert holder_of(name) is None


def test_what_a_name_does_not_tell_is_one_line(tmp_path: Path) -> None:
    whole = write_tar(tmp_path / "s.tar", {"a.png": IMAGES[0], "./a.png": IMAGES[1], "b.png": IMAGES[2]})
    (tmp_path / "cut.tar").write_bytes(whole.read_bytes()[:700])
    finder = PictureFinder()
    for name, message in (
        ("s.tar/a.png", "is there more than once; a name of its own would tell which is meant"),
        ("s.tar/c.png", "there is no picture called 'c.png' in "),
        ("cut.tar/b.png", "is a truncated tar archive"),
    ):
        with pytest.raises(ImageDecodeError, match=f"^{tmp_path}/{name}: {message}"):
            decode(finder.member(name, tmp_path))  # type: ignore[arg-type]
    found = finder.member("s.tar/b.png", tmp_path)
    assert found is not None and found.read() == IMAGES[2]


def test_an_archive_is_listed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    for name in ("a.tar", "b.tar"):
        write_tar(tmp_path / name, {f"{number}.png": IMAGES[0] for number in range(3)})
    finder = PictureFinder()
    listed = finder._members._listed
    monkeypatch.setattr(finder._members, "_listed", lambda holder: (opened.append(holder), listed(holder))[1])
    for number in range(3):
        for name in ("a.tar", "b.tar"):
            assert finder.member(f"{name}/{number}.png", tmp_path) is not None
    assert len(opened) == 2


def test_label_files_name_members_and_addresses(tmp_path: Path) -> None:
    write_tar(tmp_path / "s.tar", {"a.png": IMAGES[0]})
    (tmp_path / "b.png").write_bytes(IMAGES[1])
    (tmp_path / "labels.csv").write_text("path,mos\ns.tar/a.png,1\nb.png,2\nhttp://h/c.png,3\n")
    manifest = Manifest.read(tmp_path / "labels.csv")
    assert manifest.missing_files() == ()
    member, file, address = manifest.find_pictures()
    assert isinstance(member, Source) and member.read() == IMAGES[0]
    assert file == tmp_path / "b.png" and isinstance(address, Source) and address.name == "http://h/c.png"
    assert manifest.subset([1, 0]).find_pictures()[0] == file
    (tmp_path / "choices.csv").write_text("path_a,path_b,preferred\ns.tar/a.png,./b.png,a\nb.png,http://h/c.png,b\n")
    pictures = Choices.read(tmp_path / "choices.csv").find_pictures()
    assert list(pictures) == ["s.tar/a.png", "b.png", "http://h/c.png"] and pictures["b.png"] == file
    assert all(isinstance(pictures[name], Source) for name in ("s.tar/a.png", "http://h/c.png"))
