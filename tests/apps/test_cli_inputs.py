"""Pictures that are no files of their own, through the commands."""

from __future__ import annotations

import functools
import itertools
import json
import subprocess
import sys
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from typer.testing import CliRunner, Result

from tests.data.archives import write_tar
from tests.servers import serving
from vlqa.apps.cli import app
from vlqa.apps.journal import Journal
from vlqa.errors import ConfigError
from vlqa.fewshot.store import FeatureStore
from vlqa.hub import save
from vlqa.models.image_encoder import build_encoder
from vlqa.predictors.pristine import PristinePredictor
from vlqa.predictors.regression import LinearRegressor, RegressionPredictor
from vlqa.predictors.views import Scales
from vlqa.types import Assessment

FILES = ("a.png", "b.png", "below/c.png")


@pytest.fixture
def packed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The three pictures as a tar archive, a gzipped one, a Parquet file and a list; the folder is the current one."""
    data = {name: (folder / name).read_bytes() for name in FILES}
    write_tar(folder / "s-0.tar", data)
    write_tar(folder / "s-1.tar.gz", data, "w:gz")
    rows = pa.array([{"bytes": value, "path": name} for name, value in data.items()])
    pq.write_table(pa.table({"image": rows}), folder / "p.parquet")
    (folder / "list.txt").write_text("\n".join(FILES))
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def address(packed: Path) -> Iterator[str]:
    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    handler = functools.partial(Quiet, directory=str(packed))
    with serving(handler) as place:
        yield f"http://{place}"


@pytest.fixture
def run(tiny_model: Path):
    def call(command: str, *arguments: object, model: object = tiny_model, input: str | None = None) -> Result:
        given = [command, *map(str, arguments), "--model", str(model), "--device", "cpu"]
        return CliRunner().invoke(app, given, input=input)

    return call


def records(result: Result) -> list[dict[str, object]]:
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_the_same_pictures_have_the_same_scores_however_they_are_given(run, packed: Path, address: str) -> None:
    direct = records(run("score", *FILES))
    urls = "\n".join(f"{address}/{name}" for name in FILES)
    inputs = ("@list.txt", "-", "s-{0..1}.tar*", "p.parquet")
    result = run("score", *inputs, input=urls)
    assert (result.exit_code, result.stderr) == (0, "")
    found = records(result)
    prefixes = ("", f"{address}/", "s-0.tar/", "s-1.tar.gz/", "p.parquet/")
    assert [record["path"] for record in found] == [f"{prefix}{name}" for prefix in prefixes for name in FILES]
    expected = [record["raw"] for record in direct] * len(prefixes)
    assert [record["raw"] for record in found] == pytest.approx(expected, abs=1e-5)


def test_what_is_missing_or_broken_is_a_record_and_the_others_go_on(run, packed: Path, address: str) -> None:
    second = -(-(packed / "a.png").stat().st_size // 512) * 512 + 512
    (packed / "cut.tar").write_bytes((packed / "s-0.tar").read_bytes()[: second + 700])
    pq.write_table(pa.table({"mos": [1.0]}), packed / "labels.parquet")
    (packed / "list.txt").write_text("a.png\nnone.png\n")
    given = ("@list.txt", "cut.tar", "labels.parquet", f"{address}/none.png", "none.tar", "b.png")
    result = run("score", *given)
    assert result.exit_code == 1
    found = {str(record["path"]): record["error"] for record in records(result)}
    assert [path for path, error in found.items() if error is None] == ["a.png", "cut.tar/a.png", "b.png"]
    assert "there is no such file" in found["none.png"] and "there is no such file" in found["none.tar"]
    assert "is a truncated tar archive" in found["cut.tar"]
    assert "has no column of pictures" in found["labels.parquet"] and "mos (double)" in found["labels.parquet"]
    assert "the server answered 404" in found[f"{address}/none.png"]
    assert result.stderr.count("failed: ") == len(result.stderr.splitlines()) == 5


@pytest.mark.filterwarnings("ignore::vlqa.ImageWarning")
def test_names_of_strangers_write_no_lines_and_no_colours(run, packed: Path) -> None:
    odd = ["line\nbreak.png", "\x1b[31mred.png", "../up.png", "//x.png", f"{'long' * 60}\r.png"]
    write_tar(packed / "odd.tar", dict.fromkeys(odd, b"no picture"))
    write_tar(packed / "\x1b[2Jnone.tar", {"notes.txt": b""})
    for command in (("score",), ("score", "--output", "x.jsonl"), ("embed", "--output", "store")):
        result = run(*command, "odd.tar", "a.png", "\x1b[2Jnone.tar")
        lines = result.stderr.splitlines()
        assert result.exit_code == 1 and sum(line.startswith("failed: ") for line in lines) == 5, result.output
        assert r"warning: \x1b[2Jnone.tar: no pictures in it" in lines and len(lines) == 6 + (command[0] == "embed")
        assert all(line.isprintable() for line in lines)
        if len(command) == 1:
            assert [record["path"] for record in records(result)] == [*(f"odd.tar/{name}" for name in odd), "a.png"]


def test_nothing_in_a_list_or_an_archive_is_wrong_use(run, packed: Path) -> None:
    write_tar(packed / "none.tar", {"notes.txt": b""})
    (packed / "empty.txt").touch()
    for given, warning in (("none.tar", "none.tar"), ("@empty.txt", "@empty.txt"), ("-", "standard input")):
        result = run("score", given, input="")
        assert isinstance(result.exception, ConfigError) and "no pictures found" in str(result.exception)
        assert result.stderr == f"warning: {warning}: no pictures in it\n"
    missing = run("score", "a.png", "@none.txt", "--output", "x.jsonl")
    assert isinstance(missing.exception, ConfigError) and "@none.txt: the list cannot be read" in str(missing.exception)
    assert not list(packed.glob("x.jsonl*"))


def test_a_closed_standard_input_is_an_empty_one(packed: Path, tiny_model: Path) -> None:
    command = f"{sys.executable} -m vlqa score - --model {tiny_model} --device cpu <&-"
    result = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=False)
    assert result.returncode == 2 and "Traceback" not in result.stderr
    assert result.stderr.splitlines()[-1].startswith("error: no pictures found")


def test_a_run_over_archives_is_resumed(run, packed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def write(journal: Journal, record: Assessment) -> None:
        original(journal, record)
        if journal._lines == 5:
            raise KeyboardInterrupt

    inputs = ("s-0.tar", "s-1.tar.gz", "p.parquet")
    assert run("score", *inputs, "--output", "whole.jsonl").exit_code == 0
    original = Journal.write
    monkeypatch.setattr(Journal, "write", write)
    assert run("score", *inputs, "--output", "x.jsonl").exit_code != 0
    monkeypatch.undo()
    monkeypatch.chdir(packed)
    result = run("score", *inputs, "--output", "x.jsonl", "--resume")
    assert (result.exit_code, result.stderr) == (0, "5 records were there already\n")
    texts = ((packed / name).read_text() for name in ("whole.jsonl", "x.jsonl"))
    whole, found = ([json.loads(line) for line in text.splitlines()] for text in texts)
    assert [row["path"] for row in found] == [row["path"] for row in whole] and len(found) == 9
    assert [row["raw"] for row in found] == pytest.approx([row["raw"] for row in whole])


def test_maps_of_members_and_rows(run, packed: Path, address: str) -> None:
    (packed / "bad.png").write_bytes(b"no picture")
    pictures = ("s-0.tar", "s-1.tar.gz", f"{address}/bad.png", f"{address}/a.png?size=1", "bad.png", "b.png")
    result = run("score", *pictures, "--map", "maps")
    assert result.exit_code == 1 and "no map" not in result.stderr, result.output
    expected = {"a.png", "a_2.png", "a_3.png", "b.png", "b_2.png", "b_3.png", "c.png", "c_2.png"}
    assert {path.name for path in (packed / "maps").iterdir()} == expected


def test_features_of_members_and_addresses_are_kept(run, packed: Path, address: str) -> None:
    given = ("s-1.tar.gz", "s-0.tar", "p.parquet", f"{address}/a.png", f"{address}/none.png", "none.tar")
    first = run("embed", *given, "--output", "store")
    assert first.exit_code == 1
    *failures, total = first.stderr.splitlines()
    assert total == "store: 3 new, 7 known, 2 failed; tiny"
    assert [line.split(" ")[1] for line in failures] == [f"{address}/none.png:", "none.tar:"]
    assert run("embed", *FILES, "--output", "store").stderr == "store: 0 new, 3 known, 0 failed; tiny\n"
    assert len(FeatureStore(packed / "store")) == 3
    direct, stored = records(run("score", "p.parquet")), records(run("score", "p.parquet", "--features", "store"))
    assert [record["path"] for record in stored] == [record["path"] for record in direct]
    assert [record["raw"] for record in stored] == pytest.approx([record["raw"] for record in direct])


def test_what_is_no_file_can_be_chosen(run, packed: Path) -> None:
    expected = [f"s-0.tar/{name}" for name in FILES]
    result = run("select", "s-0.tar", "s-0.tar", "--count", 3)
    assert result.exit_code == 0 and sorted(result.stdout.split()) == expected
    given = ("s-1.tar.gz", "a.png", "--count", 4, "--output", "ratings.csv", "--features", "store")
    assert run("select", *given).exit_code == 0
    names = sorted(line.removesuffix(",") for line in (packed / "ratings.csv").read_text().splitlines()[1:])
    assert names == ["a.png", *(f"s-1.tar.gz/{name}" for name in FILES)]


def test_what_was_chosen_is_rated_fitted_and_measured(run, packed: Path, address: str) -> None:
    """From archives, tables and addresses as from files, by the names that `vlqa select` writes into another folder."""
    (packed / "lists").mkdir()
    given = ("s-0.tar", f"{address}/s-1.tar.gz", "p.parquet", f"{address}/a.png", *FILES)
    output = ("--output", "lists/ratings.csv")
    assert run("select", *given, "--count", 13, "--strategy", "random", *output).exit_code == 0
    rows = (packed / "lists/ratings.csv").read_text().splitlines()[1:]
    names = [row.removesuffix(",") for row in rows]
    assert f"{packed / 's-0.tar'}/below/c.png" in names and f"{address}/s-1.tar.gz/a.png" in names
    direct = {str(row["path"]): row["raw"] for row in records(run("score", *FILES))}
    scores = {name: direct[next(file for file in FILES if name.endswith(file))] for name in names}
    rated = "\n".join(f"{name},{scores[name]}" for name in names)
    (packed / "lists/ratings.csv").write_text(f"path,mos\n{rated}\n")
    measured = run("evaluate", "lists/ratings.csv", "--json")
    assert measured.exit_code == 0, measured.output
    found = json.loads(measured.stdout)
    assert (found["n"], found["dropped"]) == (13, 0) and found["rmse"]["value"] < 1e-5
    fitted = run("fit", "lists/ratings.csv", "--output", "mine", "--head", "ridge", "--features", "store")
    assert fitted.exit_code == 0, fitted.output
    assert len(FeatureStore(packed / "store")) == 3
    pairs = "\n".join(f"{a},{b},{'ab'[scores[a] < scores[b]]}" for a, b in itertools.pairwise(names))
    (packed / "choices.csv").write_text(f"path_a,path_b,preferred\n{pairs}\n")
    compared = run("fit", "choices.csv", "--output", "compared", "--features", "store")
    assert compared.exit_code == 0 and "12 choices" in compared.stdout, compared.output
    prompts = packed / "two.yaml"
    prompts.write_text("kind: attributes\nname: two\npairs:\n  one: [good, bad]\n  two: [sharp, blurry]\n")
    told = run("prompts", "rank", prompts, "--labels", "lists/ratings.csv", "--json")
    assert told.exit_code == 0 and json.loads(told.stdout)["n"] == 13, told.output


def test_members_are_named_alone(run, packed: Path, address: str) -> None:
    names = ["s-0.tar/b.png", "s-1.tar.gz/below/c.png", "p.parquet/a.png", f"{address}/s-0.tar/a.png"]
    (packed / "list.txt").write_text("\n".join([*names, "s-0.tar/none.png", "none.tar/a.png"]))
    result = run("embed", "@list.txt", "--output", "store")
    assert result.exit_code == 1
    *failures, total = result.stderr.splitlines()
    assert total == "store: 3 new, 1 known, 2 failed; tiny"
    assert "s-0.tar/none.png: there is no picture called 'none.png' in s-0.tar; check the name" in failures[0]
    assert "none.tar/a.png: there is no such file" in failures[1]
    assert [record["path"] for record in records(run("score", *names))] == names


def test_references_and_statistics_of_members(run, packed: Path) -> None:
    torch.manual_seed(0)
    encoder = build_encoder({"trunk": {"kind": "quality", "widths": [32], "blocks": [1]}, "head": [8]}).eval()
    regressor = LinearRegressor(torch.full((8,), -1.0, dtype=torch.float64), 5.0, (0, 5), full_reference=True)
    compare = RegressionPredictor({"encoder": encoder}, Scales(), regressor, normalize=False, name="compare")
    model = save(compare, packed / "compare")
    found = records(run("score", "s-1.tar.gz", "--reference", packed, model=model))
    assert [record["error"] is None for record in found] == [True, True, False]  # c.png lies below
    assert [record["raw"] for record in found[:2]] == pytest.approx([5, 5])

    blind = save(PristinePredictor({"low": encoder}, None, name="blind"), packed / "blind")
    made = [
        run("pristine", given, "--output", "x.safetensors", model=blind).stdout for given in ("s-0.tar", "@list.txt")
    ]
    assert made[0] == made[1] and made[0].startswith("x.safetensors: ")
    run("pristine", "a.png", "b.png", "--output", "y.safetensors", model=blind)
    scored = [records(run("score", "a.png", "--pristine", f"{name}.safetensors", model=blind))[0] for name in "xy"]
    assert scored[0]["digest"] != scored[1]["digest"]  # so that --resume does not mix them
