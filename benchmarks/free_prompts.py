"""Do free sentences follow the damage? Held-out photographs × four damages × five levels, with no label used.

For each damage: Spearman's correlation of the level with P(positive sentence) of a pair that names the damage, and with
the quality score. Both fall as damage grows, so −1 is perfect. Medians over photographs, and pooled over all pictures.

    python benchmarks/free_prompts.py [--model mini] [--photos ../shared/data/photos] [--json]
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np

import vlqa
from vlqa.data.degradations import degrade
from vlqa.data.images import decode
from vlqa.evaluation import srcc
from vlqa.training.photos import find_photos, split_photos

PAIRS = {
    "gaussian blur": ("a sharp photo", "a blurry photo"),
    "jpeg": ("a photo without compression artifacts", "a photo with compression artifacts"),
    "white noise": ("a clean photo", "a noisy photo"),
    "darken": ("a bright photo", "a dark photo"),
}
LEVELS = np.arange(1, 6)


def main() -> None:
    """Print one row a damage."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="mini")
    parser.add_argument("--photos", type=Path, default=Path("../shared/data/photos"))
    parser.add_argument("--count", type=int, default=60, help="held-out photographs, as in configs/mini.yaml")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()

    predictor = vlqa.load(arguments.model)
    folders = sorted(folder for folder in arguments.photos.iterdir() if folder.is_dir())
    _, held_out = split_photos(find_photos(folders), arguments.count)
    photographs = [decode(path) for path in held_out]
    rows = {damage: _row(predictor, photographs, damage) for damage in PAIRS}
    if arguments.json:
        print(json.dumps(rows, indent=2))
        return
    print(f"{len(photographs)} held-out photographs × 5 levels; Spearman with the level, −1 is perfect")
    print(f"{'damage':<15}{'pair: median':>14}{'pooled':>9}{'score: median':>16}{'pooled':>9}")
    for damage, row in rows.items():
        pair, score = row["pair"], row["score"]
        print(
            f"{damage:<15}{pair['median']:>14.3f}{pair['pooled']:>9.3f}{score['median']:>16.3f}{score['pooled']:>9.3f}"
        )


def _row(predictor: vlqa.MultitaskPredictor, photographs: list[np.ndarray], damage: str) -> dict[str, dict[str, float]]:
    pictures = [degrade(photo, damage, int(level), 0) for photo in photographs for level in LEVELS]
    features = predictor.embed(pictures)  # once: prompts and score are both read from features
    likelihood = predictor.probabilities_features(features, [PAIRS[damage]])[:, 0]
    return {
        "pair": _correlations(likelihood.reshape(-1, len(LEVELS))),
        "score": _correlations(predictor.predict_features(features).reshape(-1, len(LEVELS))),
    }


def _correlations(values: np.ndarray) -> dict[str, float]:
    each = [srcc(row, LEVELS) for row in values]
    return {"median": float(np.median(each)), "pooled": srcc(values.ravel(), np.tile(LEVELS, len(values)))}


if __name__ == "__main__":
    main()
