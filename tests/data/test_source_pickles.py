"""Sources in other processes, as data loaders have them."""

from __future__ import annotations

import multiprocessing
import os
import pickle
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.data.archives import IMAGES, special, write_tar
from vlqa.data.images import decode
from vlqa.data.sources.download import Download
from vlqa.data.sources.find import PictureFinder
from vlqa.errors import ImageDecodeError, VLQAError
from vlqa.types import Source


@pytest.fixture
def found(tmp_path: Path) -> list[Source]:
    given = {f"{number}.png": data for number, data in enumerate(IMAGES)}
    write_tar(tmp_path / "a.tar", given)
    write_tar(tmp_path / "b.tgz", given, "w:gz")
    pq.write_table(pa.table({"image": pa.array(IMAGES)}), tmp_path / "c.parquet", row_group_size=2)
    inputs = [str(tmp_path / name) for name in ("a.tar", "b.tgz", "c.parquet")]
    return list(PictureFinder().find(inputs))  # type: ignore[arg-type]


def test_what_can_be_opened_again_is_read_anywhere(found: list[Source]) -> None:
    found[3].read()  # a file is open now
    for copies in (pickle.loads(pickle.dumps(found)), [pickle.loads(pickle.dumps(source)) for source in found]):
        assert [(copy.name, copy.stamp) for copy in copies] == [(source.name, source.stamp) for source in found]
        assert [copy.read() for copy in reversed(copies)] == (IMAGES * 3)[::-1]


def test_other_processes_read_them(found: list[Source]) -> None:
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.map(decoded_shape, found) == [decode(data).shape for data in IMAGES] * 3


def decoded_shape(source: Source) -> tuple[int, ...]:
    return decode(source).shape


def test_a_changed_file_is_told_there_as_well(found: list[Source], tmp_path: Path) -> None:
    copies = pickle.loads(pickle.dumps(found))
    for name in ("a.tar", "b.tgz", "c.parquet"):
        os.utime(tmp_path / name, ns=(0, 10**18))
    for copy in copies:
        with pytest.raises(ImageDecodeError, match="changed while it was read; run again"):
            copy.read()


def test_failures_and_addresses_are_pickled(tmp_path: Path) -> None:
    write_tar(tmp_path / "a.tar", {"link.png": special("link.png", b"2", "x")})
    failing, address = PictureFinder().find([str(tmp_path / "a.tar"), "http://user@host/x.png"])
    for source, message in ((failing, "is a link in the archive"), (address, "has a user name in it")):
        with pytest.raises(ImageDecodeError, match=message):
            decode(pickle.loads(pickle.dumps(source)))


def test_what_cannot_be_is_one_error() -> None:
    with pytest.raises(VLQAError, match=r"^x: is read by a function that no other process has; name the file it"):
        pickle.dumps(Source("x", lambda: b""))
    limits = PictureFinder().file_limits
    with pytest.raises(VLQAError, match=r"^http://host/s.tar: is being fetched into this process alone; download it"):
        pickle.dumps(Download("http://host/s.tar", limits))
