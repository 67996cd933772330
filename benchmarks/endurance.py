"""Does a long run end as a short one does? 20 000 pictures, 3 % of them hostile, killed five times and gone on with.

Writes small JPEG, PNG and WebP files (every 33rd one broken in one of several ways), scores them by `vlqa score` once
unbroken and once killed (SIGKILL) at random moments and resumed, and compares: as many rows as pictures, no path
twice, the same errors, scores equal within the stated tolerance. The memory of the unbroken run is watched: its growth
over the last nine tenths is told per 1000 pictures.

    python benchmarks/endurance.py [--pictures 20000] [--kills 5] [--model mini] [--json FILE] [--plot FILE]
    python benchmarks/endurance.py --pictures 100000 --only memory --plot memory.png
"""

from __future__ import annotations

import argparse
import io
import json
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from provenance import ROOT, provenance

HOSTILE_EVERY = 33
TOLERANCE = 1e-4  # of a score; the same picture in another batch differs by less in fp32


def main() -> None:
    """Run, compare, print, and write what was found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=int, default=20_000)
    parser.add_argument("--side", type=int, default=96, help="typical side of a picture, px")
    parser.add_argument("--kills", type=int, default=5)
    parser.add_argument("--model", default="mini")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, help="folder for the pictures and outputs; default: a temporary one")
    parser.add_argument("--only", choices=("memory", "kills"), help="one half: the unbroken run, or kills against it")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--plot", type=Path, help="PNG of memory against pictures")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="vlqa-endurance-") as temporary:
        folder = arguments.keep or Path(temporary)
        write_pictures(folder / "pictures", arguments.pictures, arguments.side)
        result: dict[str, Any] = {"pictures": arguments.pictures, "model": arguments.model}
        whole, broken = folder / "whole.jsonl", folder / "broken.jsonl"
        if arguments.only != "kills":
            curve, seconds = unbroken(folder, whole, arguments.model)
            result |= {"seconds": round(seconds), "memory_mib": curve, "growth": growth(curve)}
            print(f"unbroken: {arguments.pictures} pictures in {seconds:.0f} s; memory {result['growth']}", flush=True)
            if arguments.plot:
                plot(curve, arguments.plot)
        if arguments.only != "memory":
            result["kills"] = killed(
                folder, broken, arguments.model, arguments.kills, arguments.pictures, arguments.seed
            )
            result["compared"] = compared(whole, broken, arguments.pictures)
            print(f"killed {len(result['kills'])} times at {result['kills']}: {result['compared']}", flush=True)
    if arguments.json:
        arguments.json.write_text(json.dumps(provenance() | result, indent=1) + "\n")
    if arguments.only != "memory" and not result["compared"]["equal"]:
        sys.exit("the broken run ended otherwise than the unbroken one")


def write_pictures(folder: Path, count: int, side: int) -> None:
    """Files in folders of a thousand; what is there already stays."""
    bases = [_picture(number, side) for number in range(200)]
    for number in range(count):
        place = folder / f"{number // 1000:03}"
        place.mkdir(parents=True, exist_ok=True)
        kind = ("jpg", "png", "webp")[number % 3]
        file = place / f"{number:06}.{kind}"
        if not file.exists():
            data = _encoded(bases[number * 7 % 200], kind, number)
            file.write_bytes(_hostile(data, number) if number % HOSTILE_EVERY == 7 else data)


def _picture(number: int, side: int) -> np.ndarray:
    rng = np.random.default_rng(number)
    height, width = (int(side * share) for share in rng.choice([0.75, 1.0, 1.5], 2))
    y, x = np.mgrid[:height, :width] / side
    waves = [np.sin(2 * np.pi * (rng.uniform(1, 9) * x + rng.uniform(1, 9) * y) + channel) for channel in range(3)]
    noise = rng.normal(0, rng.uniform(0, 0.3), (height, width, 3))
    return ((np.stack(waves, axis=-1) + noise) * 60 + 128).clip(0, 255).astype(np.uint8)


def _encoded(pixels: np.ndarray, kind: str, number: int) -> bytes:
    file = io.BytesIO()
    options = {"jpg": {"format": "JPEG", "quality": 30 + number % 65}, "png": {"format": "PNG", "compress_level": 1}}
    Image.fromarray(np.roll(pixels, number, axis=1)).save(file, **options.get(kind, {"format": "WEBP", "method": 0}))
    return file.getvalue()


def _hostile(data: bytes, number: int) -> bytes:
    kinds = (
        lambda: b"",
        lambda: data[: len(data) // 2],
        lambda: b"<html>not a picture</html>",
        lambda: np.random.default_rng(number).bytes(200),
        lambda: data[:10] + bytes(40) + data[50:],
        lambda: b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\1\0\0\0\1\0\0\x08\2\0\0\0\0\0\0\0",  # 65 536 × 65 536
    )
    return kinds[number // HOSTILE_EVERY % len(kinds)]()


def _command(folder: Path, output: Path, model: str, *more: str) -> list[str]:
    return [
        sys.executable,
        "-m",
        "vlqa",
        "score",
        str(folder / "pictures"),
        "--model",
        model,
        "--output",
        str(output),
        *more,
    ]


def unbroken(folder: Path, output: Path, model: str) -> tuple[list[tuple[int, float]], float]:
    """Memory, MiB, by the number of pictures that are done; and seconds in all."""
    output.unlink(missing_ok=True)
    partial = output.with_name(f"{output.name}.partial")
    partial.unlink(missing_ok=True)
    begun, curve = time.perf_counter(), []
    process = subprocess.Popen(_command(folder, output, model), cwd=ROOT, stderr=subprocess.DEVNULL)
    lines = _lines(partial)
    while process.poll() is None:
        time.sleep(0.5)
        done = next(lines)
        if done and (memory := _memory(process.pid)):
            curve.append((done, memory))
    return curve, time.perf_counter() - begun


def _lines(file: Path) -> Iterator[int]:
    """How many lines a growing file has, without reading it anew."""
    place = count = 0
    while True:
        if file.exists():
            with file.open("rb") as opened:
                opened.seek(place)
                new = opened.read()
            place, count = place + len(new), count + new.count(b"\n")
        yield count


def _memory(process: int) -> float:
    try:
        found = re.search(r"RssAnon:\s+(\d+)", Path(f"/proc/{process}/status").read_text())
    except OSError:
        return 0.0
    return int(found[1]) / 1024 if found else 0.0


def growth(curve: list[tuple[int, float]]) -> dict[str, float]:
    """Line through the last nine tenths of the curve."""
    done, memory = (np.array(values, float) for values in zip(*curve, strict=True))
    late = done > done[-1] / 10
    slope, _ = np.polyfit(done[late], memory[late], 1)
    first, last = np.array_split(memory[late], 2)
    return {
        "mib_per_1000": round(1000 * float(slope), 3),
        "median_mib_first_half": round(float(np.median(first)), 1),
        "median_mib_second_half": round(float(np.median(last)), 1),
        "peak_mib": round(float(memory.max()), 1),
    }


def killed(folder: Path, output: Path, model: str, kills: int, count: int, seed: int) -> list[int]:
    """Score with kills at random numbers of pictures; the numbers."""
    output.unlink(missing_ok=True)
    partial = output.with_name(f"{output.name}.partial")
    partial.unlink(missing_ok=True)
    chosen = sorted(random.Random(seed).sample(range(count // 20, count), kills))
    found = []
    for number in chosen:
        process = subprocess.Popen(
            _command(folder, output, model, "--resume"), cwd=ROOT, stderr=subprocess.DEVNULL, start_new_session=True
        )
        lines = _lines(partial)
        while process.poll() is None and next(lines) < number:
            time.sleep(0.02)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        found.append(next(_lines(partial)) - 1)
    subprocess.run(_command(folder, output, model, "--resume"), cwd=ROOT, stderr=subprocess.DEVNULL, check=False)
    return found


def compared(whole: Path, broken: Path, count: int) -> dict[str, Any]:
    """Rows of both runs."""
    first, second = ([json.loads(line) for line in file.read_text().splitlines()] for file in (whole, broken))
    paths = [[row["path"] for row in rows] for rows in (first, second)]
    errors = [{row["path"]: row["error"] for row in rows} for rows in (first, second)]
    scores = [{row["path"]: row["raw"] for row in rows if row["error"] is None} for rows in (first, second)]
    apart = (
        max(abs(scores[0][path] - scores[1][path]) for path in scores[0])
        if scores[0].keys() == scores[1].keys()
        else None
    )
    told = {
        "rows": len(second),
        "paths": len(set(paths[1])),
        "same_order": paths[0] == paths[1],
        "same_errors": errors[0] == errors[1],
        "failed": sum(error is not None for error in errors[1].values()),
        "largest_difference": apart,
    }
    equal = told["rows"] == told["paths"] == count and told["same_order"] and told["same_errors"]
    return told | {"equal": bool(equal and apart is not None and apart <= TOLERANCE)}


def plot(curve: list[tuple[int, float]], file: Path) -> None:
    """Memory against pictures."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(7, 3.5), layout="constrained")
    axes.plot(*zip(*curve, strict=True), linewidth=1)
    axes.set_xlabel("pictures scored")
    axes.set_ylabel("memory of its own, MiB")
    axes.set_ylim(0)
    figure.savefig(file, dpi=120)
    plt.close(figure)


if __name__ == "__main__":
    main()
