"""How much memory do the largest pictures take? JPEG files of 200 megapixels, and a PNG file of 600.

Each round is a `vlqa score` of its own over some of them, as many at once as there are decoding threads: what it takes
of memory at most, and how many were scored. The PNG is beyond the limit that is stated; once it is allowed.

    python benchmarks/large_pictures.py [--model mini] [--pictures 8] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from provenance import ROOT, provenance

_TILE = 500
Image.MAX_IMAGE_PIXELS = None


def main() -> None:
    """Write the pictures, score them, print, and write what was measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="mini")
    parser.add_argument("--pictures", type=int, default=8, help="JPEG files of 200 megapixels")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    rounds = {
        "JPEG, one thread": ("*.jpg", "--workers", "1"),
        "JPEG, two threads": ("*.jpg", "--workers", "2"),
        "JPEG, two threads, isolated": ("*.jpg", "--workers", "2", "--isolate"),
        "PNG of 600 megapixels": ("*.png",),
        "PNG of 600 megapixels, allowed": ("*.png", "--max-image-pixels", "600000000"),
    }
    found = {}
    with tempfile.TemporaryDirectory(prefix="vlqa-large-") as folder:
        # in a process of its own: the kernel counts the memory of a parent as that of its children
        writing = multiprocessing.get_context("spawn").Process(target=write_pictures, args=(folder,))
        writing.start()
        writing.join()
        for number in range(1, arguments.pictures):
            (Path(folder) / f"{number}.jpg").hardlink_to(Path(folder) / "0.jpg")
        for name, (pattern, *options) in rounds.items():
            found[name] = measured(str(Path(folder) / pattern), arguments.model, options)
            print(f"{name}: {found[name]}", flush=True)
    if arguments.json:
        arguments.json.write_text(
            json.dumps(provenance() | {"model": arguments.model, "rounds": found}, indent=1) + "\n"
        )


def write_pictures(folder: str) -> None:
    """The two files."""
    mosaic(20_000, 10_000).save(Path(folder) / "0.jpg", quality=85)
    mosaic(30_000, 20_000).save(Path(folder) / "0.png", compress_level=1)


def mosaic(width: int, height: int) -> Image.Image:
    """A picture that one tile fills."""
    tile = (
        np.random.default_rng(0).integers(0, 256, (_TILE // 4, _TILE // 4, 3), dtype=np.uint8).repeat(4, 0).repeat(4, 1)
    )
    return Image.fromarray(np.tile(tile, (height // _TILE, width // _TILE, 1)))


def measured(pattern: str, model: str, options: list[str]) -> dict[str, Any]:
    """Records, failures, and the peak memory of the process or of the largest of its children."""
    command = [sys.executable, "-m", "vlqa", "score", pattern, "--model", model, "--format", "jsonl", *options]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, cwd=ROOT, text=True)
    assert process.stdout is not None
    rows = [json.loads(line) for line in process.stdout]
    _, status, usage = os.wait4(process.pid, 0)
    errors = [row["error"] for row in rows if row["error"]]
    return {
        "status": os.waitstatus_to_exitcode(status),
        "scored": len(rows) - len(errors),
        "peak_mib": round(usage.ru_maxrss / 1024),
        **({"error": errors[0]} if errors else {}),
    }


if __name__ == "__main__":
    main()
