"""Does the score follow people's opinion of damage? Held-out photographs × 25 types × 5 levels, rated by KADID-10k.

Each rendering is paired with the mean opinion that KADID-10k's people had of its type and level over 81 references.
Prints Spearman's correlation over all renderings, and of each type: there photographs differ too, so 1 is out of reach.

    python benchmarks/synthetic_damage.py [--model mini] [--photos ../shared/data/photos] [--count 10] [--json]
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
from damages import LEVELS, renderings, sharp_held_out

import vlqa
from vlqa.data.degradations import TYPES
from vlqa.data.opinions import OpinionTable
from vlqa.evaluation import srcc


def main() -> None:
    """Print the correlation over all and of each type."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="mini")
    parser.add_argument("--photos", type=Path, default=Path("../shared/data/photos"))
    parser.add_argument("--opinions", type=Path, default=Path("../shared/data/labels/kadid10k_level_mos.csv"))
    parser.add_argument("--count", type=int, default=10, help="sharp held-out photographs, as in configs/mini.yaml")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()

    sharp = sharp_held_out(arguments.photos, arguments.count)
    scores = vlqa.load(arguments.model).predict(renderings(sharp)).reshape(len(sharp), len(TYPES), len(LEVELS))
    rated = np.broadcast_to(OpinionTable.read(arguments.opinions).mean, scores.shape)
    result = {
        "photographs": len(sharp),
        "srcc": srcc(scores.ravel(), rated.ravel()),
        "types": {k.name: srcc(scores[:, i].ravel(), rated[:, i].ravel()) for i, k in enumerate(TYPES)},
    }
    if arguments.json:
        print(json.dumps(result))
        return
    print(f"{len(sharp)} photographs × {len(TYPES)} types × {len(LEVELS)} levels: SRCC {result['srcc']:.3f}")
    for name, value in result["types"].items():
        print(f"  {name:<28}{value:6.2f}")


if __name__ == "__main__":
    main()
