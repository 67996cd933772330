"""What `--isolate` costs: decoding in a child process against decoding in this one, and scoring either way.

The pictures are those of `fast_decode.py`; rounds alternate, and the ratio of each round is taken. Scoring includes the
start of the processes, once a call.

    python benchmarks/isolation.py [--pictures 40] [--sides 768 1024] [--rounds 15] [--model mini] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from fast_decode import mosaics
from few_shot import LABELS
from provenance import provenance

import vlqa
from vlqa.data.images import decode
from vlqa.data.isolation import IsolatedDecoder


def main() -> None:
    """Measure, print, and write what was measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=int, default=40)
    parser.add_argument("--sides", type=int, nargs=2, default=[768, 1024], metavar=("HEIGHT", "WIDTH"))
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--model", default="mini")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    result = {}
    with tempfile.TemporaryDirectory() as folder:
        paths = []
        for number, file in enumerate(mosaics(vlqa.Manifest.read(LABELS), arguments.pictures, *arguments.sides)):
            paths.append(Path(folder) / f"{number}.jpg")
            paths[-1].write_bytes(file)
        isolated = IsolatedDecoder()
        result["decode"] = compare(
            lambda: [decode(path) for path in paths], lambda: [isolated(path) for path in paths], arguments.rounds
        )
        isolated.close()
        plain, apart = (vlqa.load(arguments.model, device="cpu", isolate=isolate) for isolate in (False, True))
        result["score"] = compare(lambda: plain.predict(paths), lambda: apart.predict(paths), arguments.rounds)
    for what, values in result.items():
        print(what, {name: round(value, 4) for name, value in values.items()}, flush=True)
    if arguments.json:
        told = {"pictures": arguments.pictures, "sides": arguments.sides, "model": arguments.model}
        arguments.json.write_text(json.dumps(provenance() | told | {"result": result}, indent=1) + "\n")


def compare(plain: Callable[[], object], isolated: Callable[[], object], rounds: int) -> dict[str, float]:
    """Seconds a call of both, and the ratio isolated ÷ plain: median and quartiles of the rounds."""
    times = np.empty((rounds + 1, 2))
    for number in range(rounds + 1):
        for which, work in enumerate((plain, isolated)):
            start = time.perf_counter()
            work()
            times[number, which] = time.perf_counter() - start
    times = times[1:]  # the first one warms up
    low, middle, high = np.quantile(times[:, 1] / times[:, 0], [0.25, 0.5, 0.75]).tolist()
    plain_s, isolated_s = np.median(times, axis=0).tolist()
    return {"plain_s": plain_s, "isolated_s": isolated_s, "ratio": middle, "lower": low, "upper": high}


if __name__ == "__main__":
    main()
