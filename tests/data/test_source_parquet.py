from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.data.archives import IMAGES
from vlqa.data.images import decode
from vlqa.data.sources.parquet import rows
from vlqa.errors import ImageDecodeError
from vlqa.types import Source

LARGE = 1 << 20
STRUCT = pa.struct({"bytes": pa.binary(), "path": pa.string()})


def write(path: Path, columns: dict[str, Any], **options: Any) -> str:
    pq.write_table(pa.table(columns), path, **options)
    return str(path)


def error(source: Source) -> str:
    with pytest.raises(ImageDecodeError) as caught:
        decode(source)
    return str(caught.value)


def names(path: str) -> list[str]:
    return [source.name.removeprefix(f"{path}/") for source in rows(path, LARGE)]


@pytest.mark.parametrize("kind", [pa.binary(), pa.large_binary()])
def test_pictures_of_a_binary_column(tmp_path: Path, kind: pa.DataType) -> None:
    given = pa.array([*IMAGES, *IMAGES], kind)
    path = write(tmp_path / "p.parquet", {"picture": given, "label": range(6)}, row_group_size=4)
    found = list(rows(path, LARGE))
    assert [source.name for source in found] == [f"{path}/{number}" for number in range(6)]
    assert [source.read() for source in found] == [*IMAGES, *IMAGES]
    assert found[1].read() == IMAGES[1] and found[0].read() == IMAGES[0]
    np.testing.assert_array_equal(decode(found[2]), decode(IMAGES[2]))


def test_values_may_be_in_dictionaries(tmp_path: Path) -> None:
    labels = pa.array(["a", "b", "a", "c"]).dictionary_encode()
    given = pa.array([*IMAGES[:2], None, IMAGES[0]]).dictionary_encode()
    struct = pa.StructArray.from_arrays([given, labels], ["bytes", "path"])
    for number, columns in enumerate(({"image": given, "path": labels}, {"image": struct})):
        found = list(rows(write(tmp_path / f"{number}.parquet", columns, row_group_size=3), LARGE))
        assert [source.name[-1] for source in found] == ["a", "b", "a", "c"]
        assert [found[row].read() for row in (3, 0, 1)] == [IMAGES[0], *IMAGES[:2]]
        assert "has no bytes in its row" in error(found[2])


def test_pictures_of_the_hub(tmp_path: Path) -> None:
    given = [{"bytes": data, "path": name} for data, name in zip(IMAGES, ("a/x.png", None, ""), strict=True)]
    given += [{"bytes": None, "path": "/etc/passwd"}, None, {"bytes": b"x" * (LARGE + 1), "path": "large.png"}]
    columns = {"image": pa.array(given, STRUCT), "mask": pa.array([b""] * 6), "id": range(6)}
    path = write(tmp_path / "p.parquet", columns, row_group_size=2)
    found = list(rows(path, LARGE))
    assert [source.name.removeprefix(f"{path}/") for source in found] == [
        "a/x.png",
        "1",
        "2",
        "/etc/passwd",
        "4",
        "large.png",
    ]
    assert [source.read() for source in found[:3]] == IMAGES
    for source in found[3:5]:
        assert "has no bytes in its row" in error(source)
    assert "has 1048577 bytes, more than the 1048576 allowed" in error(found[5])


def test_names_come_from_a_column(tmp_path: Path) -> None:
    given = pa.array(IMAGES)
    ids = pa.array([7, None, 9])
    assert names(write(tmp_path / "a.parquet", {"image": given, "id": ids})) == ["7", "1", "9"]
    columns = {"image": given, "id": ids, "path": ["x.png", "y" * 2000, "z"]}
    assert names(write(tmp_path / "b.parquet", columns)) == ["x.png", "1", "z"]
    assert names(write(tmp_path / "c.parquet", {"image": given, "id": [b"1", b"2", b"3"]})) == ["0", "1", "2"]
    only_bytes = pa.array([{"bytes": data} for data in IMAGES])
    assert names(write(tmp_path / "d.parquet", {"image": only_bytes, "__key__": ["k", "l", "m"]})) == ["k", "l", "m"]


def test_threads_may_read_in_any_order(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    given = [rng.bytes(int(size)) for size in rng.integers(0, 3000, 70)]
    found = list(rows(write(tmp_path / "p.parquet", {"image": pa.array(given)}, row_group_size=30), LARGE))
    order = np.clip(np.arange(70) + rng.integers(-9, 9, 70), 0, 69)
    with ThreadPoolExecutor(8) as executor:
        assert list(executor.map(lambda row: found[row].read(), order)) == [given[row] for row in order]


def test_a_stamp_changes_with_the_file_and_differs_between_rows(tmp_path: Path) -> None:
    path = write(tmp_path / "p.parquet", {"image": pa.array(IMAGES), "id": [1, 1, 1]})
    first = list(rows(path, LARGE))
    assert len({source.stamp for source in first}) == 3
    os.utime(path, ns=(0, 10**18))
    assert {source.stamp for source in rows(path, LARGE)}.isdisjoint(source.stamp for source in first)
    assert "changed while it was read; run again" in error(first[0])


@pytest.mark.parametrize(
    ("columns", "found"),
    [
        ({"image": ["a.png"], "mos": [1.0]}, r"found image \(string\), mos \(double\)"),
        ({"left": [b"x"], "right": [b"y"]}, r"found left \(binary\), right \(binary\)"),
        ({"image": [[b"x"]]}, r"found image \(list<element: binary>\)"),
        ({"image": [{"bytes": {"bytes": b"x"}}]}, r"found image \(struct<bytes: struct<bytes: binary>>\)"),
        ({"image": pa.array([b"abcd"], pa.binary(4))}, r"found image \(fixed_size_binary\[4\]\)"),
        ({"image": [None]}, r"found image \(null\)"),
        ({}, "found none"),
    ],
)
def test_without_a_column_of_pictures_the_columns_are_named(tmp_path: Path, columns: Any, found: str) -> None:
    path = write(tmp_path / "p.parquet", columns)
    (source,) = rows(path, LARGE)
    assert source.name == path
    with pytest.raises(ImageDecodeError, match=f"expected 'image', or one column, of binary values; {found}"):
        decode(source)


def test_a_file_without_rows_has_no_pictures(tmp_path: Path) -> None:
    assert list(rows(write(tmp_path / "p.parquet", {"image": pa.array([], pa.binary())}), LARGE)) == []


def test_damage_is_told_of_the_file_or_of_its_rows(tmp_path: Path) -> None:
    path = tmp_path / "p.parquet"
    given = [os.urandom(2000) for _ in range(8)]
    write(path, {"image": pa.array(given)}, row_group_size=4, write_page_checksum=True, compression="zstd")
    whole = path.read_bytes()
    for broken in (b"", b"no table", whole[:-9], whole[: len(whole) // 2]):
        path.write_bytes(broken)
        (source,) = rows(str(path), LARGE)
        assert source.name == str(path)
        assert "is a damaged Parquet file, or none" in error(source) and "\n" not in error(source)
    rng = np.random.default_rng(0)
    for _ in range(60):
        broken = np.frombuffer(whole, np.uint8).copy()
        broken[rng.integers(0, len(broken), 4)] = rng.integers(0, 256, 4)
        path.write_bytes(broken.tobytes())
        for source in list(rows(str(path), LARGE))[:20]:
            try:
                source.read()
            except ImageDecodeError as caught:
                assert "\n" not in str(caught)
