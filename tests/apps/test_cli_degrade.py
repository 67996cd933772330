from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import typer
from PIL import Image
from typer.testing import CliRunner

from vlqa.apps.cli.degrade import degrade as command
from vlqa.data.degradations import degrade, sheet
from vlqa.errors import ConfigError, ImageDecodeError

app = typer.Typer(add_completion=False)
app.command()(command)


@pytest.fixture
def photo(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8)
    path = tmp_path / "photo.png"
    Image.fromarray(pixels).save(path)
    return path, pixels


def run(*arguments: object):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tif", ".tiff", ".webp", ".PNG"])
def test_writes_what_python_gives(photo, tmp_path, suffix) -> None:
    path, pixels = photo
    output = tmp_path / "new" / f"out{suffix}"
    result = run(path, "--type", "white noise", "--level", 4, "--seed", 7, "--output", output)
    assert result.exit_code == 0, result.output
    assert result.stdout.strip() == str(output)
    with Image.open(output) as written:
        np.testing.assert_array_equal(np.asarray(written.convert("RGB")), degrade(pixels, 11, 4, 7))


def test_sheet_needs_no_type(photo, tmp_path) -> None:
    path, pixels = photo
    output = tmp_path / "sheet.png"
    assert run(path, "--sheet", "--seed", 3, "--output", output).exit_code == 0
    with Image.open(output) as written:
        np.testing.assert_array_equal(np.asarray(written), sheet(pixels, 3))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--sheet", "--type", "jpeg"], "leave out --type and --level"),
        (["--sheet", "--level", "2"], "leave out --type and --level"),
        (["--type", "jpeg"], "--level missing"),
        (["--level", "2"], "--type missing"),
        ([], "--type and --level missing"),
        (["--type", "jpeg", "--level", "6"], "level must be 1 to 5, not 6"),
        (["--type", "jpeg", "--level", "0"], "level must be 1 to 5, not 0"),
        (["--type", "fog", "--level", "1"], "no degradation type 'fog'; choose"),
        (["--type", "jpeg", "--level", "1", "--seed", "-1"], "--seed must be 0 or more"),
    ],
)
def test_wrong_options_are_refused(photo, tmp_path, options, message) -> None:
    output = tmp_path / "out.png"
    result = run(photo[0], *options, "--output", output)
    assert isinstance(result.exception, ConfigError)
    assert message in str(result.exception)
    assert not output.exists()


@pytest.mark.parametrize(("name", "message"), [("out.jpg", "add damage of its own"), ("out", "no suffix")])
def test_lossy_outputs_are_refused(photo, tmp_path, name, message) -> None:
    result = run(photo[0], "--type", 1, "--level", 1, "--output", tmp_path / name)
    assert isinstance(result.exception, ConfigError)
    assert message in str(result.exception)


def test_does_not_overwrite_its_input(photo) -> None:
    path, pixels = photo
    assert isinstance(run(path, "--type", 1, "--level", 5, "--output", path).exception, ConfigError)
    with Image.open(path) as kept:
        np.testing.assert_array_equal(np.asarray(kept), pixels)


def test_unreadable_pictures_leave_no_output(tmp_path) -> None:
    (tmp_path / "broken.png").write_bytes(b"no picture")
    result = run(tmp_path / "broken.png", "--type", 1, "--level", 5, "--output", tmp_path / "out.png")
    assert isinstance(result.exception, ImageDecodeError)
    assert not (tmp_path / "out.png").exists()


def test_help_shows_examples() -> None:
    result = run("--help")
    assert result.exit_code == 0
    assert 'vlqa degrade photo.jpg --type "motion blur" --level 3 --output moved.png' in result.stdout


def test_import_is_light() -> None:
    code = "import sys, vlqa.apps.cli.degrade; sys.exit(bool({'torch', 'cv2', 'PIL', 'scipy'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
