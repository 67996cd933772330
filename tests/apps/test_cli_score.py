from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

import vlqa
from tests.tiny import VIT, backbone, joint_prompts, pictures
from vlqa.apps.cli import app
from vlqa.errors import ConfigError
from vlqa.models.lora import Adapters, LoraOptions
from vlqa.predictors.multitask import MultitaskPredictor
from vlqa.predictors.views import LiqePatches

FIELDS = [
    *("path", "quality", "raw", "quality_probabilities", "scene_probabilities", "distortion_probabilities"),
    *("scene", "distortion", "high", "low", "interval", "out_of_distribution", "model", "digest", "error"),
]


@pytest.fixture
def score(tiny_model: Path):
    def run(*arguments: object):
        return CliRunner().invoke(
            app, ["score", *map(str, arguments), "--model", str(tiny_model), "--device", "cpu"], catch_exceptions=True
        )

    return run


def records(text: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in text.splitlines()]


def test_a_pipe_gets_json_lines_in_the_order_of_the_contract(score, folder, tiny_model) -> None:
    result = score(folder)
    assert result.exit_code == 0, result.output
    found = records(result.stdout)
    assert [list(record) for record in found] == [FIELDS] * 3
    assert [Path(str(record["path"])).name for record in found] == ["a.png", "b.png", "c.png"]
    expected = vlqa.load(tiny_model, device="cpu").predict([str(record["path"]) for record in found])
    assert [record["raw"] for record in found] == pytest.approx(expected.tolist(), abs=1e-5)
    assert all(record["high"] is None and record["interval"] is None and record["error"] is None for record in found)
    assert result.stderr == ""


def test_a_missing_and_a_broken_file_are_records_with_an_error(score, folder) -> None:
    (folder / "bad.png").write_bytes(b"no picture")
    result = score(folder / "a.png", folder / "none.png", folder / "bad.png", folder / "b.png")
    assert result.exit_code == 1
    found = records(result.stdout)
    assert [record["error"] is None for record in found] == [True, False, False, True]
    assert all(record["quality"] is None and record["scene"] is None for record in found[1:3])
    assert result.stderr.count("failed: ") == 2


def test_no_picture_at_all_is_wrong_use(score, tmp_path) -> None:
    (tmp_path / "empty").mkdir()
    result = score(tmp_path / "empty", "--output", tmp_path / "x.jsonl")
    assert isinstance(result.exception, ConfigError) and "no pictures found" in str(result.exception)
    assert "no pictures in it" in result.stderr
    assert not (tmp_path / "x.jsonl").exists()


def test_csv_holds_empty_fields_for_none_and_json_for_probabilities(score, folder) -> None:
    rows = list(csv.DictReader(io.StringIO(score(folder, "--format", "csv").stdout)))
    assert list(rows[0]) == FIELDS and len(rows) == 3
    assert rows[0]["high"] == rows[0]["error"] == ""
    assert sum(json.loads(rows[0]["scene_probabilities"]).values()) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("name", ["s.jsonl", "s.json", "s.csv", "s.parquet"])
def test_the_suffix_chooses_the_format_and_no_partial_file_stays(score, folder, tmp_path, name) -> None:
    output = tmp_path / "new" / name
    result = score(folder, "--output", output)
    assert (result.exit_code, result.stdout) == (0, "")
    assert [path.name for path in output.parent.iterdir()] == [name]
    if name.endswith("parquet"):
        table = pq.read_table(output)
        assert table.column_names == FIELDS and table.num_rows == 3
        assert table["high"].null_count == 3 and dict(table["scene_probabilities"][0].as_py()).keys() == {
            "city",
            "forest",
        }
    else:
        assert len(output.read_text().splitlines()) == 3 + name.endswith("csv")


@pytest.mark.parametrize("name", ["s.jsonl", "s.csv", "s.parquet"])
def test_an_explained_record_has_four_more_fields(score, folder, tmp_path, name) -> None:
    prompts = tmp_path / "mine.yaml"
    prompts.write_text("kind: attributes\npairs: {sharp: [sharp, blurred], bright: [bright, dark]}\n")
    result = score(folder, "--attributes", prompts, "--output", tmp_path / name)
    assert (result.exit_code, result.stdout) == (0, ""), result.output
    if name.endswith("parquet"):
        rows = pq.read_table(tmp_path / name).to_pylist()
        attributes, joint = dict(rows[0]["attributes"]), dict(rows[0]["joint_probabilities"])
    else:
        text = (tmp_path / name).read_text()
        rows = records(text) if name.endswith("jsonl") else list(csv.DictReader(io.StringIO(text)))
        fields = (rows[0]["attributes"], rows[0]["joint_probabilities"])
        attributes, joint = (json.loads(field) if isinstance(field, str) else field for field in fields)
    assert list(rows[0]) == [*FIELDS, "joint_probabilities", "attributes", "shares", "patches"]
    assert list(attributes) == ["sharp", "bright"] and all(0 <= value <= 1 for value in attributes.values())
    assert len(joint) == 12 and sum(joint.values()) == pytest.approx(1, abs=1e-5)


def test_an_explanation_of_a_comparison_is_wrong_use(score, folder) -> None:
    result = score(folder, "--explain", "--reference", folder)
    assert isinstance(result.exception, ConfigError) and "--explain" in str(result.exception)


def test_a_table_names_every_picture(score, folder, monkeypatch) -> None:
    monkeypatch.setenv("COLUMNS", "250")
    table = score(folder, "--format", "table").stdout
    assert all(word in table for word in ("a.png", "b.png", "c.png", "score 1–3", "█"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--format", "parquet"], "--format parquet needs --output"),
        (["--format", "table", "--explain"], "a table has no room for --explain"),
        (["--output", "scores.xlsx"], "unknown suffix; use .jsonl, .csv or .parquet"),
        (["--output", ".", "--format", "csv"], "is a directory"),
        (["--prompts", "clip_iqq"], "clip_iqq"),
    ],
)
def test_wrong_options_are_config_errors(score, folder, options, message) -> None:
    result = score(folder, *options)
    assert isinstance(result.exception, ConfigError) and message in str(result.exception)
    assert result.stdout == ""


def vlqa_command(*arguments: object, **options: object) -> subprocess.CompletedProcess[bytes]:
    code = "import torch; torch.set_num_threads(1); from vlqa.apps.cli import main; main()"
    command = [sys.executable, "-c", code, *map(os.fsencode, arguments)]  # type: ignore[arg-type]
    return subprocess.run(command, capture_output=True, check=False, timeout=300, **options)  # type: ignore[call-overload]


def test_the_command_reports_wrong_use_in_one_line_and_status_2(tmp_path) -> None:
    result = vlqa_command("score", "x.png", "--format", "parquet", cwd=Path(__file__).parents[2])
    assert (result.returncode, result.stdout) == (2, b"")
    assert result.stderr.startswith(b"error: --format parquet") and result.stderr.count(b"\n") == 1


@pytest.mark.skipif(sys.platform != "linux", reason="file names are bytes on Linux only")
def test_file_names_that_are_no_utf8_are_scored(folder, tiny_model) -> None:
    odd = os.fsencode(folder) + b"/\xff\xfe.png"
    Path(os.fsdecode(odd)).write_bytes((folder / "a.png").read_bytes())
    root = Path(__file__).parents[2]
    result = vlqa_command("score", os.fsdecode(odd), "--model", str(tiny_model), "--device", "cpu", cwd=root)
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout)["path"] == os.fsdecode(odd)


def test_a_reader_that_leaves_early_is_no_traceback(folder, tiny_model) -> None:
    code = "from vlqa.apps.cli import main; main()"
    arguments = ["score", *[str(folder)] * 2, "--model", str(tiny_model), "--device", "cpu"]
    run = subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=Path(__file__).parents[2],
    )  # fmt: skip
    assert run.stdout is not None and run.stderr is not None
    run.stdout.close()  # before the first record
    message = run.stderr.read()
    run.stderr.close()
    assert run.wait(timeout=300) == 1
    assert b"Traceback" not in message and b"Broken" not in message


def test_bf16_scores_are_near_those_of_fp32(score, folder) -> None:
    exact = [record["raw"] for record in records(score(folder).stdout)]
    coarse = [record["raw"] for record in records(score(folder, "--precision", "bf16").stdout)]
    assert coarse == pytest.approx(exact, abs=0.05) and coarse != exact
    refused = score(folder, "--precision", "fp16")
    assert isinstance(refused.exception, ConfigError) and "--precision bf16 or fp32" in str(refused.exception)


def test_ctrl_c_is_status_130_and_keeps_what_was_written(folder, tiny_model, tmp_path) -> None:
    code = (
        "import importlib, signal\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # a background shell may have told us to ignore it
        "command = importlib.import_module('vlqa.apps.cli.score')\n"
        "echo = command._echo_error\n"
        "def interrupt(record, *rest):\n"
        "    if record.path.endswith('b.png'):\n"
        "        signal.raise_signal(signal.SIGINT)\n"
        "    echo(record, *rest)\n"
        "command._echo_error = interrupt\n"
        "from vlqa.apps.cli import main; main()"
    )
    output = tmp_path / "scores.jsonl"
    arguments = ["score", str(folder), "--model", str(tiny_model), "--device", "cpu", "--output", str(output)]
    root = Path(__file__).parents[2]
    run = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, cwd=root, timeout=300)
    assert run.returncode == 130 and b"Traceback" not in run.stderr
    assert not output.exists()
    _, *kept = records((tmp_path / "scores.jsonl.partial").read_text())
    assert [Path(str(record["path"])).name for record in kept] == ["a.png", "b.png"]


def test_a_warning_is_one_line_on_standard_error(folder) -> None:
    result = vlqa_command("score", str(folder / "a.png"), "--prompts", "words.yaml", cwd=folder)
    assert result.returncode == 2  # no such file: now it is written
    (folder / "words.yaml").write_text("kind: antonyms\npairs:\n  sharpness: [a zorgly photo, a blurry photo]\n")
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    result = vlqa_command("score", str(folder / "a.png"), "--prompts", "words.yaml", cwd=folder, env=environment)
    assert result.returncode == 0, result.stderr
    assert result.stderr.decode().splitlines() == [
        "warning: this model was never taught 'zorgly': it reads no meaning there"
    ]
    assert json.loads(result.stdout)["raw"] is not None


def test_an_adapter_changes_the_scores(score, folder, tiny_model: Path, tmp_path: Path) -> None:
    tuned = vlqa.load(tiny_model, device="cpu")
    adapters = Adapters(tuned.backbone)
    adapters.add("mine", LoraOptions(targets="all"))
    for name, parameter in tuned.backbone.named_parameters():
        if "lora_B" in name:
            parameter.data.normal_(0, 0.3, generator=torch.Generator().manual_seed(0))
    adapters.write("mine", tmp_path / "mine")
    plain, adapted = score(folder), score(folder, "--adapter", tmp_path / "mine")
    assert adapted.exit_code == 0, adapted.output
    found = [record["raw"] for record in records(adapted.stdout)]
    assert found == pytest.approx(tuned.predict([str(record["path"]) for record in records(adapted.stdout)]), abs=1e-5)
    assert found != pytest.approx([record["raw"] for record in records(plain.stdout)], abs=1e-3)
    refused = score(folder, "--adapter", "none")
    assert isinstance(refused.exception, ConfigError) and "no adapter 'none'" in str(refused.exception)


def test_a_map_is_drawn_beside_each_score(score, tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        Image.fromarray(pictures(1, lowest=80)[0]).save(tmp_path / folder / "same.png")
    (tmp_path / "a" / "broken.png").write_bytes(b"no picture")
    result = score(tmp_path / "a", tmp_path / "b", "--map", tmp_path / "maps")
    assert result.exit_code == 1, result.output
    assert sorted(path.name for path in (tmp_path / "maps").iterdir()) == ["same.png", "same_2.png"]
    with Image.open(tmp_path / "maps" / "same.png") as drawn:
        assert min(drawn.size) > 100
    for name in ("same.png", "same_2.png"):  # one map may replace another, but nothing else
        Image.new("RGB", (9, 9)).save(tmp_path / "b" / name)
    again = score(tmp_path / "a", "--map", tmp_path / "maps")
    assert again.exit_code == 1 and "no map" not in again.stderr
    kept = score(tmp_path / "b", "--map", tmp_path / "b")
    assert (
        f"warning: no map: {tmp_path / 'b' / 'same.png'}" in kept.stderr and "is in the way and no map" in kept.stderr
    )
    with Image.open(tmp_path / "b" / "same.png") as picture:
        assert picture.size == (9, 9)
    refused = score(tmp_path / "a", "--map", tmp_path / "a" / "broken.png")
    assert isinstance(refused.exception, ConfigError) and "name a folder" in str(refused.exception)


def test_a_strip_has_a_map_too_and_what_fails_is_named(tmp_path: Path) -> None:
    for name, size in (("row.png", (3000, 1)), ("column.png", (1, 3000))):
        Image.new("RGB", size, "grey").save(tmp_path / name)
    windows = MultitaskPredictor(backbone(VIT), joint_prompts(), LiqePatches(size=32), name="windows")
    model = str(vlqa.save(windows, tmp_path / "model"))
    command = ["score", *(str(tmp_path / name) for name in ("row.png", "column.png"))]
    result = CliRunner().invoke(app, [*command, "--model", model, "--map", str(tmp_path / "maps")])
    assert result.exit_code == 0, result.output
    assert sorted(path.name for path in (tmp_path / "maps").iterdir()) == ["column.png", "row.png"]
    refused = CliRunner().invoke(app, command)
    assert refused.exit_code == 1 and f"failed: {tmp_path / 'row.png'}: a picture of 3000×1 px" in refused.stderr


def test_a_profile_tells_the_stages(score, folder) -> None:
    result = score(folder, "--profile")
    assert result.exit_code == 0 and len(records(result.stdout)) == 3
    assert "3 pictures in" in result.stderr and all(word in result.stderr for word in ("decode", "encode", "write"))


def test_fast_decoding_is_for_scores_alone(score, folder, tmp_path) -> None:
    plain, fast = (records(score(folder, *more).stdout) for more in ((), ("--fast-decode",)))
    assert [record["raw"] for record in fast] == [record["raw"] for record in plain]  # no large JPEG among them
    for more in (("--explain",), ("--features", tmp_path / "store"), ("--map", tmp_path / "maps")):
        assert "--fast-decode looks at less" in str(score(folder, "--fast-decode", *more).exception)
