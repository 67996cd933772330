from __future__ import annotations

import importlib.metadata
import subprocess
import sys
from pathlib import Path

import pytest

import vlqa

ROOT = Path(__file__).parents[1]


def run(code: str) -> str:
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    return result.stdout.strip()


def test_every_public_name_exists_and_no_other() -> None:
    for name in vlqa.__all__:
        assert getattr(vlqa, name) is not None
    assert list(vlqa.__all__) == sorted(vlqa.__all__)
    assert {"__version__", *vlqa._MODULE_OF} == set(vlqa.__all__)
    assert set(vlqa.__all__) <= set(dir(vlqa))
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = vlqa.nothing


def test_names_promised_by_the_design() -> None:
    promised = "load available_models train evaluate PromptSet Manifest degrade save convert Assessment"
    assert set(promised.split()) <= set(vlqa.__all__)


@pytest.mark.parametrize(
    ("code", "unwanted"),
    [
        ("import vlqa", "torch numpy typer accelerate PIL open_clip"),
        ("import vlqa; vlqa.VLQAError; vlqa.Assessment", "torch typer accelerate PIL open_clip"),
        ("import vlqa; vlqa.available_models()", "torch typer accelerate PIL open_clip"),
        ("import vlqa.types, vlqa.errors", "torch typer accelerate PIL open_clip"),
    ],
)
def test_imports_are_light(code: str, unwanted: str) -> None:
    found = run(f"{code}\nimport sys; print([name for name in {unwanted.split()} if name in sys.modules])")
    assert found == "[]"


def test_import_takes_no_time() -> None:
    code = "import time; start = time.perf_counter(); import vlqa; print(time.perf_counter() - start)"
    assert min(float(run(code)) for _ in range(5)) < 0.5


def test_version_is_that_of_the_package() -> None:
    assert importlib.metadata.version("vlqa") == vlqa.__version__
