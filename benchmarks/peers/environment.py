"""The peers' environments: which Python a peer runs in, made on first use."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

_SETUPTOOLS = "setuptools==69.5.1"  # pyiqa.txt says why it goes in by itself


def peer_python(peers: Path, name: str) -> Path:
    """The Python of a peer's environment; a folder without the mark of a finished one is built, in minutes.

    Args:
        peers: folder of the environments.
        name: "pyiqa" or "torchmetrics": which of the lists of packages beside this file.
    """
    requirements = Path(__file__).with_name(f"{name}.txt")
    folder = peers / name
    python, mark = folder / "bin" / "python", folder / ".installed"
    if not mark.exists() or mark.read_text() != requirements.read_text():
        print(f"building the environment of {name} in {folder} …", file=sys.stderr)
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
        further = [[_SETUPTOOLS]] if name == "pyiqa" else []
        for packages in (["-r", str(requirements)], *further):
            subprocess.run([str(python), "-m", "pip", "install", "--quiet", *packages], check=True)
        mark.write_text(requirements.read_text())
    return python
