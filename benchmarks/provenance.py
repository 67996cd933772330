"""Where a result comes from: the machine, and the commit of the code."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent


def provenance() -> dict[str, Any]:
    """`machine` and `commit`, JSON-able; the commit is "dirty" where more than results differs from it."""
    text = Path("/proc/cpuinfo").read_text()
    model = re.search(r"model name\s*: (.+)", text)
    machine = {
        "cpu": model[1] if model else platform.processor(),
        "cores": os.cpu_count(),
        "amx_bf16": "amx_bf16" in text,
        "avx512_bf16": "avx512_bf16" in text,
        "python": platform.python_version(),
        "load_at_start": os.getloadavg()[0],
    }
    changed = _git("status", "--porcelain", "--untracked-files=no", "--", ".", ":(exclude)benchmarks/results")
    return {"machine": machine, "commit": _git("rev-parse", "--short=12", "HEAD") + ("-dirty" if changed else "")}


def _git(*arguments: str) -> str:
    return subprocess.run(["git", *arguments], capture_output=True, text=True, check=True, cwd=ROOT).stdout.strip()
