"""What `--fast-decode` does to scores and time: large JPEGs decoded at a part of their size.

The pictures are mosaics of photographs of similar opinions, at their own pixels, as there are no larger rated ones:
each is stored as JPEG and scored both ways by the bundled default.

    python benchmarks/fast_decode.py [--pictures 40] [--sides 3000 4000] [--json FILE]
"""

from __future__ import annotations

import argparse
import io
import json
import statistics
import time
from pathlib import Path

import numpy as np
from few_shot import LABELS
from PIL import Image
from provenance import provenance
from scipy.stats import spearmanr

import vlqa


def main() -> None:
    """Measure, print, and write what was measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=int, default=40)
    parser.add_argument("--sides", type=int, nargs=2, default=[3000, 4000], metavar=("HEIGHT", "WIDTH"))
    parser.add_argument("--models", nargs="+", default=["mini", "mini-zero"])
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    files = mosaics(vlqa.Manifest.read(LABELS), arguments.pictures, *arguments.sides)
    result = {}
    for name in arguments.models:
        exact, fast = (vlqa.load(name, fast_decode=choice) for choice in (False, True))
        scores: dict[str, list[float]] = {"exact": [], "fast": []}
        times: dict[str, list[float]] = {"exact": [], "fast": []}
        for file in files:
            for which, predictor in (("exact", exact), ("fast", fast)):
                start = time.perf_counter()
                scores[which] += predictor.predict(file).tolist()
                times[which].append(time.perf_counter() - start)
        apart = np.abs(np.subtract(scores["exact"], scores["fast"]))
        result[name] = {
            "srcc": float(spearmanr(scores["exact"], scores["fast"]).statistic),
            "largest": float(apart.max()),
            "mean": float(apart.mean()),
            "range": float(np.ptp(scores["exact"])),
            "time_ratio": statistics.median(np.divide(times["exact"], times["fast"]).tolist()),
        }
        print(name, {key: round(value, 4) for key, value in result[name].items()}, flush=True)
    if arguments.json:
        arguments.json.write_text(
            json.dumps(provenance() | {"pictures": len(files), "models": result}, indent=1) + "\n"
        )


def mosaics(rated: vlqa.Manifest, count: int, height: int, width: int) -> list[bytes]:
    """JPEGs of a size, from the worst photographs to the best."""
    rng, order = np.random.default_rng(0), np.argsort(rated.mos)
    files = []
    for part in np.array_split(order, count):
        canvas = np.zeros((height, width, 3), np.uint8)
        tiles = [np.asarray(Image.open(rated.paths[row]).convert("RGB")) for row in part.tolist()]
        for top in range(0, height, 480):
            for left in range(0, width, 480):
                tile = tiles[rng.integers(len(tiles))]
                room = canvas[top : top + 480, left : left + 480]
                cut = tile[: room.shape[0], : room.shape[1]]
                room[: cut.shape[0], : cut.shape[1]] = cut
        file = io.BytesIO()
        Image.fromarray(canvas).save(file, "JPEG", quality=92)
        files.append(file.getvalue())
    return files


if __name__ == "__main__":
    main()
