"""Do bf16 weights, exported towers and Pillow's resizing score as fp32 does? The bundled default, and its time.

Photographs are those of clive_train, whole. Scores of each way are compared with those of fp32 in torch: rank
correlation, largest and mean difference on the scale 1–5; times are ratios of the same pictures, in turns.

    python benchmarks/precision.py [--pictures 300] [--model mini] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
from few_shot import LABELS
from provenance import provenance
from scipy.stats import spearmanr

import vlqa
from vlqa.hub.exports import export

_AT_ONCE = 20  # pictures a turn


def main() -> None:
    """Measure, print, and write what was measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=int, default=300)
    parser.add_argument("--model", default="mini")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    paths = vlqa.Manifest.read(LABELS).paths[: arguments.pictures]
    with tempfile.TemporaryDirectory() as folder:
        exported = export(vlqa.load(arguments.model, device="cpu"), Path(folder) / "exported")
        predictors = {
            "fp32": vlqa.load(arguments.model, device="cpu"),
            "bf16": vlqa.load(arguments.model, device="cpu", precision="bf16"),
            "exported": vlqa.load(exported, device="cpu"),
            "exported bf16": vlqa.load(exported, device="cpu", precision="bf16"),
            "pillow": vlqa.load(arguments.model, device="cpu", resampler="pillow"),
        }
        scores: dict[str, list[float]] = {way: [] for way in predictors}
        times: dict[str, list[float]] = {way: [] for way in predictors}
        for predictor in predictors.values():
            predictor.predict(paths[:2])  # warms up
        for start in range(0, len(paths), _AT_ONCE):
            for way, predictor in predictors.items():
                started = time.perf_counter()
                scores[way] += predictor.predict(paths[start : start + _AT_ONCE]).tolist()
                times[way].append(time.perf_counter() - started)
    found = {}
    for way in list(predictors)[1:]:
        apart = np.abs(np.subtract(scores["fp32"], scores[way]))
        found[way] = {
            "srcc": float(spearmanr(scores["fp32"], scores[way]).statistic),
            "largest": float(apart.max()),
            "mean": float(apart.mean()),
            "faster": statistics.median(np.divide(times["fp32"], times[way]).tolist()),
        }
        told = ", ".join(f"{name} {value:.4g}" for name, value in found[way].items())
        print(f"{arguments.model}, {way} beside fp32 on {len(paths)} photographs: {told}")
    if arguments.json:
        result = provenance() | {"pictures": len(paths), "model": arguments.model, "ways": found}
        arguments.json.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
