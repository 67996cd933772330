"""How good is the bundled default? Real photographs by folds, the zero-shot edition, and damage of other photographs.

Everything comes from committed weights. Real: a fold of clive_train is scored by an adapter that saw no label of it,
over the base of `mini` (benchmarks/adapters/fold0, fold1, …; folds without one there are left out); the bundled adapter
saw all folds and is not measured. Zero-shot: the base alone, `mini-zero`, which saw no score, scene or distortion label
of a real photograph. Damage: KADID-10k's 25 types × 5 levels of photographs held out of every training, against the
mean opinion that people had of that type and level, with the type's own name and LIQE's distortion. Intervals are 95 %
of a bootstrap over pictures.

    python benchmarks/accuracy.py [--base mini-zero] [--adapters FOLDER] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from damages import LEVELS, renderings, sharp_held_out
from provenance import ROOT, provenance

import vlqa
from vlqa.data.degradations import TYPES
from vlqa.data.opinions import OpinionTable
from vlqa.evaluation import plcc, srcc
from vlqa.types import Explanation

SHARED = ROOT.parent / "shared" / "data"
RESAMPLES = 1000

Rows = npt.NDArray[np.intp]


def main() -> None:
    """Measure, print, and write what was measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--base", default="mini-zero")
    parser.add_argument("--adapters", type=Path, default=ROOT / "benchmarks" / "adapters")
    parser.add_argument("--labels", type=Path, default=SHARED / "clive_train" / "labels.csv")
    parser.add_argument("--photos", type=Path, default=SHARED / "photos")
    parser.add_argument("--opinions", type=Path, default=SHARED / "labels" / "kadid10k_level_mos.csv")
    parser.add_argument("--count", type=int, default=10, help="sharp held-out photographs")
    parser.add_argument("--json", type=Path, help="file for the result and where it comes from")
    arguments = parser.parse_args()

    def tuned(fold: int) -> Any:
        return vlqa.load(arguments.base, adapter=arguments.adapters / f"fold{fold}")

    result: dict[str, Any] = {}
    rated = vlqa.Manifest.read(arguments.labels)
    zero = vlqa.load(arguments.base)
    result["zero-shot"] = real(rated, np.zeros(len(rated), dtype=int), lambda _: zero)
    report("zero-shot, all photographs", result["zero-shot"])
    measured = [arguments.adapters / f"fold{fold}" for fold in rated.fold]
    held = rated.subset([folder.is_dir() for folder in measured])
    folds = np.array([int(fold) for fold in held.fold])
    result["folds"] = real(held, folds, tuned)
    report(f"folds {', '.join(map(str, sorted(set(folds.tolist()))))}, each without its labels", result["folds"])
    sharp = sharp_held_out(arguments.photos, arguments.count)
    for name, predictor in (("damage, zero-shot", zero), ("damage, fold 0", tuned(0))):
        result[name] = damage(predictor, sharp, OpinionTable.read(arguments.opinions))
        report(f"{name}: {len(sharp)} held-out photographs", result[name])
    if arguments.json:
        arguments.json.write_text(json.dumps(provenance() | result, indent=1) + "\n")


def real(rated: vlqa.Manifest, folds: Rows, model_of: Callable[[int], Any]) -> dict[str, Any]:
    """Correlations within folds, and how often scene and distortion are right, each photograph by its fold's model."""
    scores = np.full(len(rated), np.nan)
    scene, distortion = np.full(len(rated), np.nan), np.full(len(rated), np.nan)
    for fold in sorted(set(folds.tolist())):
        predictor = model_of(fold)
        rows = np.flatnonzero(folds == fold)
        fold_of = predictor.prompts.fold
        for row, record in zip(rows, predictor.assess([rated.paths[row] for row in rows]), strict=True):
            scores[row] = record.raw
            if rated.scenes is not None and rated.scenes[row]:
                scene[row] = record.scene in {fold_of("scene", name) for name in rated.scenes[row]}
            if rated.distortion is not None and rated.distortion[row]:
                distortion[row] = record.distortion == fold_of("distortion", rated.distortion[row])

    def within(measure: Callable[..., float]) -> Callable[[Rows], float]:
        def mean(rows: Rows) -> float:
            parts = [rows[folds[rows] == fold] for fold in sorted(set(folds.tolist()))]
            return float(np.mean([measure(scores[part], rated.mos[part]) for part in parts]))

        return mean

    everything = np.arange(len(rated))
    return {
        "srcc": with_interval(within(srcc), everything),
        "plcc": with_interval(within(plcc), everything),
        "srcc of each fold": [srcc(scores[folds == k], rated.mos[folds == k]) for k in sorted(set(folds.tolist()))],
        "scene": with_interval(lambda rows: float(np.nanmean(scene[rows])), everything),
        "distortion": with_interval(lambda rows: float(np.nanmean(distortion[rows])), everything),
    }


def damage(predictor: Any, photos: Sequence[Path], opinions: OpinionTable) -> dict[str, Any]:
    """Correlation with people's opinion of the damage, and how often its type and its distortion are named."""
    shape = len(photos), len(TYPES), len(LEVELS)
    names = [kind.name for kind in TYPES]
    score, kind, distortion = np.zeros(shape), np.zeros(shape), np.zeros(shape)
    records = predictor.assess_stream(renderings(photos), attributes="degradations")
    for place, record in zip(np.ndindex(shape), records, strict=True):
        assert isinstance(record, Explanation) and record.attributes is not None
        probabilities = list(record.attributes.values())[: len(TYPES)]  # without "no damage"
        score[place] = record.raw
        kind[place] = int(np.argmax(probabilities)) == place[1]
        distortion[place] = record.distortion == TYPES[place[1]].distortion
    rated = np.broadcast_to(opinions.mean, shape)
    everything = np.arange(len(photos))
    return {
        "srcc": with_interval(lambda rows: srcc(score[rows].ravel(), rated[rows].ravel()), everything),
        "type of 25": with_interval(lambda rows: float(kind[rows].mean()), everything),
        "distortion of 11": with_interval(lambda rows: float(distortion[rows].mean()), everything),
        "srcc of each type": {name: srcc(score[:, i].ravel(), rated[:, i].ravel()) for i, name in enumerate(names)},
        "share named of each type": {name: float(kind[:, i].mean()) for i, name in enumerate(names)},
        "share named at each level": [float(kind[:, :, level - 1].mean()) for level in LEVELS],
    }


def with_interval(measure: Callable[[Rows], float], rows: Rows) -> tuple[float, float, float]:
    """Value, and the 2.5 and 97.5 % quantiles over resampled rows."""
    rng = np.random.default_rng(0)
    values = [measure(rng.choice(rows, len(rows))) for _ in range(RESAMPLES)]
    low, high = np.nanquantile(values, (0.025, 0.975))
    return measure(rows), float(low), float(high)


def report(title: str, result: dict[str, Any]) -> None:
    """Print one group of results."""
    print(title, flush=True)
    for name, value in result.items():
        if isinstance(value, tuple):
            print(f"  {name:<20}{value[0]:6.3f}   ({value[1]:.3f}–{value[2]:.3f})", flush=True)
        elif isinstance(value, list):
            print(f"  {name:<20}" + " ".join(f"{part:6.3f}" for part in value), flush=True)
        else:
            print(f"  {name}\n" + "\n".join(f"    {part:<28}{share:6.2f}" for part, share in value.items()), flush=True)


if __name__ == "__main__":
    main()
