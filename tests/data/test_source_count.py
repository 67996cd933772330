from __future__ import annotations

import io
import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.data.archives import IMAGES, write_tar
from vlqa.data.sources.count import UncountableError, counts
from vlqa.data.sources.find import PictureFinder


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for folder in ("below/deep", ".hidden", "empty"):
        (tmp_path / folder).mkdir(parents=True)
    for name in ("a.png", "b.JPG", "below/c.png", "below/deep/d.webp", ".hidden/e.png", ".f.png", "notes.txt"):
        (tmp_path / name).write_bytes(IMAGES[0])
    for link, target in {"again": "below", "loop": "loop", "gone.png": "none"}.items():
        (tmp_path / link).symlink_to(target)
    write_tar(tmp_path / "s-0.tar", {"x.png": IMAGES[0], "x.txt": b"", "y.png": IMAGES[1]})
    whole = (tmp_path / "s-0.tar").read_bytes()
    (tmp_path / "s-1.tar").write_bytes(whole[: len(whole) // 3])
    pq.write_table(pa.table({"image": [IMAGES[0]] * 5}), tmp_path / "p.parquet", row_group_size=2)
    pq.write_table(pa.table({"mos": [1.0]}), tmp_path / "labels.parquet")
    (tmp_path / "damaged.parquet").write_bytes(b"PAR1")
    lines = ["a.png", "", "below", "s-0.tar", "https://host/z.png", "none.jpg", "p.parquet"]
    (tmp_path / "list.txt").write_text("\n".join(lines))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    "inputs",
    [
        (),
        (".",),
        ("a.png", "a.png", "none.png", "notes.txt"),
        ("empty", "again", "below", "loop", "gone.png"),
        ("*.png", "*.none", "**/*.png", "**", "s-{0..2}.tar", "{p,labels,damaged,none}.parquet"),
        ("s-*.tar", "*.parquet", "@list.txt", "@none", "https://host/{0..3}.png", "https://host/x.png?of=t.tar"),
    ],
)
def test_as_many_are_counted_as_are_found(here: Path, inputs: tuple[str, ...]) -> None:
    if "@none" in inputs:
        (here / "@none").touch()  # a file of this name
    assert sum(counts(inputs)) == len(list(PictureFinder().find(inputs)))


@pytest.mark.parametrize(
    "given", ["-", "t.tar", "https://host/t.tar", "https://host/t.tar?key=1", "https://host/p.parquet#top", "@list.txt"]
)
def test_what_is_known_only_once_it_is_read_is_not_counted(here: Path, given: str) -> None:
    write_tar(here / "t.tar", {"x.png": IMAGES[0]}, "w:gz")
    (here / "list.txt").write_text("a.png\nt.tar\n")
    with pytest.raises(UncountableError):
        sum(counts(["a.png", given]))


def test_a_list_in_a_pipe_is_left_to_the_run() -> None:
    reading, writing = os.pipe()
    os.write(writing, b"a.png\nb.png\n")
    os.close(writing)
    given = f"@/dev/fd/{reading}"
    try:
        with pytest.raises(UncountableError):
            sum(counts([given]))
        assert list(PictureFinder().find([given])) == ["a.png", "b.png"]
    finally:
        os.close(reading)


def test_a_folder_in_itself_is_counted_once(here: Path) -> None:
    (here / "below" / "up").symlink_to("..")
    assert sum(counts(["."])) == len(list(PictureFinder().find(["."])))


def test_a_folder_is_counted_entry_by_entry(tmp_path: Path) -> None:
    for number in range(300):
        (tmp_path / f"{number}.png").touch()
    steps = counts([str(tmp_path)])
    assert [next(steps) for _ in range(299)] == [1] * 299


def test_a_folder_that_cannot_be_read_is_one_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(place: str) -> io.IOBase:
        raise PermissionError

    monkeypatch.setattr(os, "scandir", refused)
    assert sum(counts([str(tmp_path)])) == len(list(PictureFinder().find([str(tmp_path)]))) == 1
