"""The wheel holds what vlqa needs, and works away from the checkout."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import vlqa

ROOT = Path(__file__).parents[1]
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    options = ["--no-deps", "--no-build-isolation", "--no-index", "--quiet", "--wheel-dir", str(folder)]
    subprocess.run([sys.executable, "-m", "pip", "wheel", *options, str(ROOT)], check=True)
    (found,) = folder.glob("*.whl")
    return found


def test_the_wheel_holds_every_file_that_is_read(wheel: Path) -> None:
    assert wheel.name.startswith(f"vlqa-{vlqa.__version__}-py3-none-any")
    names = set(zipfile.ZipFile(wheel).namelist())
    data = {
        f"vlqa/_data/{path.relative_to(ROOT)}" for kind in ("prompts", "configs") for path in (ROOT / kind).iterdir()
    }
    package = {
        str(path.relative_to(ROOT))
        for path in (ROOT / "vlqa").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and not path.name.startswith(".")
    }
    assert {"vlqa/py.typed", "vlqa/training/wording.yaml"} <= package
    assert data | package <= names
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert not any(name.startswith(("tests/", "benchmarks/")) or "__pycache__" in name for name in names)


def test_the_installed_wheel_reads_its_own_prompts_and_recipes(wheel: Path, tmp_path: Path) -> None:
    target = tmp_path / "installed"
    options = ["--no-deps", "--no-index", "--quiet", "--target", str(target)]
    subprocess.run([sys.executable, "-m", "pip", "install", *options, str(wheel)], check=True)
    code = (
        "import vlqa, vlqa.resources\n"
        "from vlqa.training.config import read_config\n"
        "print(vlqa.__file__)\n"
        "print(*(vlqa.PromptSet.load(name).name for name in vlqa.PromptSet.bundled_names()))\n"
        "print(*(read_config(name).output.name for name in vlqa.resources.bundled('configs')))"
    )
    environment = os.environ | {"PYTHONPATH": str(target)}
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
    )
    where, prompts, recipes = run.stdout.splitlines()
    assert Path(where).is_relative_to(target)
    assert prompts.split() == sorted(path.stem for path in (ROOT / "prompts").glob("*.yaml"))
    assert recipes.split() == sorted(path.stem for path in (ROOT / "configs").glob("*.yaml"))
