from __future__ import annotations

import os
from pathlib import Path

import pytest

from vlqa.data.walk import walk


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("b.jpg", "a/z.PNG", "a/c/d.webp", "notes.txt", ".hidden.jpg", ".cache/e.jpg", "a/c/x[1].tif"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_folders_are_searched_in_order(tree: Path) -> None:
    assert list(walk(["."])) == ["./a/c/d.webp", "./a/c/x[1].tif", "./a/z.PNG", "./b.jpg"]
    assert list(walk(["a/"])) == ["a/c/d.webp", "a/c/x[1].tif", "a/z.PNG"]


def test_files_and_missing_ones_are_passed_on_in_the_order_given(tree: Path) -> None:
    given = ["notes.txt", "missing.jpg", "b.jpg", "b.jpg", "a/c/x[1].tif", "no/such/*.jpg"]
    assert list(walk(given)) == given


def test_globs(tree: Path) -> None:
    assert list(walk(["*.*"])) == ["b.jpg", "notes.txt"]
    assert list(walk(["a*"])) == ["a/c/d.webp", "a/c/x[1].tif", "a/z.PNG"]
    assert list(walk(["**/*.[jw]*"])) == ["a/c/d.webp", "b.jpg"]
    assert list(walk(["a/**"])) == ["a/c/d.webp", "a/c/x[1].tif", "a/z.PNG"]


def test_empty_folders_are_reported(tree: Path) -> None:
    (tree / "empty").mkdir()
    reported: list[str] = []
    assert list(walk(["empty", "a"], reported.append)) == ["a/c/d.webp", "a/c/x[1].tif", "a/z.PNG"]
    assert reported == ["empty"]
    assert list(walk(["empty"])) == []


@pytest.mark.skipif(os.name != "posix", reason="needs symbolic links")
def test_links_are_followed_once(tree: Path) -> None:
    (tree / "a/c/up").symlink_to(tree)  # a loop
    (tree / "d").symlink_to(tree / "a/c")  # a second way to the same folder
    (tree / "a/dangling.jpg").symlink_to(tree / "nowhere")
    assert list(walk(["a"])) == ["a/c/d.webp", "a/c/up/b.jpg", "a/c/x[1].tif", "a/dangling.jpg", "a/z.PNG"]
    assert list(walk(["."])) == ["./a/c/d.webp", "./a/c/x[1].tif", "./a/dangling.jpg", "./a/z.PNG", "./b.jpg"]
    assert list(walk(["d"])) == ["d/d.webp", "d/up/a/dangling.jpg", "d/up/a/z.PNG", "d/up/b.jpg", "d/x[1].tif"]


def test_it_is_lazy(tree: Path) -> None:
    paths = walk(["b.jpg", "a"])
    assert next(paths) == "b.jpg"
    (tree / "a/y.bmp").touch()
    assert "a/y.bmp" in list(paths)


def test_only_links_are_asked_what_they_lead_to_and_when_their_turn_comes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "target.jpg").touch()
    for number in range(20):
        (tmp_path / f"a{number:02}.jpg").touch()
        (tmp_path / f"b{number:02}.jpg").symlink_to("target.jpg")
    asked: list[str] = []
    original = Path.is_dir
    monkeypatch.setattr(Path, "is_dir", lambda path: (asked.append(path.name), original(path))[1])
    paths = walk([str(tmp_path)])
    assert [Path(next(paths)).name for _ in range(22)][-1] == "b01.jpg"
    assert asked == ["b00.jpg", "b01.jpg"]


def test_names_that_are_too_long_are_passed_on() -> None:
    assert list(walk(["x" * 5000, "x" * 5000 + "*"])) == ["x" * 5000, "x" * 5000 + "*"]


def test_unreadable_folders_are_passed_on(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(folder: str) -> None:
        raise PermissionError(folder)

    monkeypatch.setattr(os, "scandir", refuse)
    assert list(walk(["a"])) == ["a"]
