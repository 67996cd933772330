"""The peer's environment: which Python it runs in, made on first use."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

_REQUIREMENTS = Path(__file__).with_name("requirements.txt")
_SETUPTOOLS = "setuptools==69.5.1"  # the last lines of requirements.txt say why it goes in by itself


def peer_python(folder: Path) -> Path:
    """The Python of the peer's environment; a folder without the mark of a finished one is built, in minutes."""
    python, mark = folder / "bin" / "python", folder / ".installed"
    if not mark.exists() or mark.read_text() != _REQUIREMENTS.read_text():
        print(f"building the peer's environment in {folder} …", file=sys.stderr)
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
        for packages in (["-r", str(_REQUIREMENTS)], [_SETUPTOOLS]):
            subprocess.run([str(python), "-m", "pip", "install", "--quiet", *packages], check=True)
        mark.write_text(_REQUIREMENTS.read_text())
    return python
