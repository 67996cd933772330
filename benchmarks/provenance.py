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
    """`machine` and `commit`, JSON-able."""
    text = Path("/proc/cpuinfo").read_text()
    model = re.search(r"model name\s*: (.+)", text)
    machine = {
        "cpu": model[1] if model else platform.processor(),
        "cores": os.cpu_count(),
        "amx_bf16": "amx_bf16" in text,  # without it bf16 is no faster than fp32
        "python": platform.python_version(),
        "load_at_start": os.getloadavg()[0],
    }
    command = ["git", "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"]
    commit = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT).stdout.strip()
    return {"machine": machine, "commit": commit}
