"""What `vlqa fit --adapt lora` gains: SRCC and intervals on pictures without a label.

Labels are drawn at random, all other pictures are the test; the differences are paired. The trunk of `mini-zero`
stays, so that it sees each picture once for all splits.

    python benchmarks/adapting.py [--counts 100 200 400] [--repeats 10] [--json FILE]
"""

from __future__ import annotations

import argparse
import copy
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from few_shot import LABELS
from learners import learner
from provenance import ROOT, provenance

import vlqa
from vlqa.evaluation import plcc, repeated_splits, srcc
from vlqa.fewshot.fitted import cross_validated
from vlqa.fewshot.predictor import FewShotPredictor
from vlqa.predictors.ensemble import EnsemblePredictor, vision_language_view
from vlqa.training.adapt import FOLDS, Adapting, copy_to_adapt
from vlqa.training.shown import Shown, shown


class Some:
    """Some of the pictures that are shown, under numbers of their own."""

    def __init__(self, pictures: Shown, rows: npt.NDArray[np.intp]) -> None:
        self.pictures, self.rows = pictures, rows

    def batch(self, rows: npt.NDArray[np.intp], rng: np.random.Generator) -> Any:
        """See `Shown`."""
        return self.pictures.batch(self.rows[rows], rng)

    def features(self, rows: npt.NDArray[np.intp]) -> Any:
        """See `Shown`."""
        return self.pictures.features(self.rows[rows])


def main() -> None:
    """Measure, print, and write what was measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="mini-zero")
    parser.add_argument("--labels", type=Path, default=LABELS)
    parser.add_argument("--counts", type=int, nargs="+", default=[100, 200, 400])
    parser.add_argument("--repeats", type=int, default=10)
    parser.add_argument("--cache", type=Path, default=ROOT / ".features", help="folder of features")
    parser.add_argument("--json", type=Path, help="file for the result and where it comes from")
    arguments = parser.parse_args()

    rated = vlqa.Manifest.read(arguments.labels)
    kept = learner(arguments.model, "auto", rated.paths, arguments.cache)
    assert isinstance(kept.predictor, EnsemblePredictor)
    view = vision_language_view(kept.predictor)
    assert view is not None
    pictures = shown(view, rated.paths)  # the trunk is the same in every copy
    result: dict[str, Any] = {"model": arguments.model, "pictures": len(rated), "splits": arguments.repeats}
    print(f"{'labels':<8}{'':<10}{'SRCC':<24}{'PLCC':<24}{'90 % intervals hold':<22}{'width':<8}seconds")
    for count in arguments.counts:
        rows = [_split(kept.predictor, kept.features, rated.mos, pictures, *split)
                for split in repeated_splits(len(rated), count, arguments.repeats)]  # fmt: skip
        table = {name: {key: [row[name][key] for row in rows] for key in rows[0][name]} for name in rows[0]}
        result[str(count)] = table
        for place, (name, values) in enumerate(table.items()):
            cells = [_quartiles(values[key]) for key in ("srcc", "plcc")]
            print(
                f"{count if place == 0 else '':<8}{name:<10}{cells[0]:<24}{cells[1]:<24}"
                f"{np.mean(values['holds']):<22.1%}{np.mean(values['width']):<8.1f}{np.median(values['seconds']):.1f}",
                flush=True,
            )
        gained = np.subtract(table["adapted"]["srcc"], table["as it was"]["srcc"])
        taken = np.mean(np.greater(table["adapted"]["held"], table["as it was"]["held"]))
        print(f"{'':<8}SRCC {gained.mean():+.3f} on average, better in {np.mean(gained > 0):.0%} of the splits; "
              f"kept in {taken:.0%}")  # fmt: skip
    if arguments.json:
        arguments.json.write_text(json.dumps(provenance() | result, indent=1) + "\n")


def _split(
    predictor: EnsemblePredictor, features: Any, mos: Any, pictures: Shown, train: Any, test: Any
) -> dict[str, dict[str, float]]:
    start = time.perf_counter()
    few = FewShotPredictor(predictor).fit_features(features[train], mos[train])
    middle = time.perf_counter()
    table, _ = few.labelled(features[train], mos[train])
    rival = cross_validated(table, "auto", FOLDS)[1].srcc  # what `adapt` compares with
    view = copy_to_adapt(predictor.high)
    run = Adapting(few, view, table, Some(_by_head_of(pictures, view), train))
    adapted = FewShotPredictor(run.predictor)
    adapted.fitted_ = fitted = run.fitted()
    assert fitted.held is not None
    times = (middle - start, time.perf_counter() - middle)
    unseen = features[test].copy()
    unseen[:, predictor.feature_slices["high"]] = run.pictures.pictures.features(test)
    told = {"as it was": (few, features[test]), "adapted": (adapted, unseen)}
    heard = {"as it was": rival, "adapted": fitted.held.srcc}
    return {
        name: _measured(each, rows, mos[test]) | {"seconds": seconds, "held": heard[name]}
        for (name, (each, rows)), seconds in zip(told.items(), times, strict=True)
    }


def _by_head_of(pictures: Any, view: Any) -> Any:
    """The same pictures before the head of another copy of the tower."""
    other = copy.copy(pictures)
    other._head = view.backbone.visual.head
    return other


def _measured(few: FewShotPredictor, rows: Any, mos: Any) -> dict[str, float]:
    predicted, ends = few.predict_features(rows), few.predict_interval_features(rows, 0.9)
    inside = (ends[:, 0] <= mos) & (mos <= ends[:, 1])
    return {
        "srcc": srcc(predicted, mos),
        "plcc": plcc(predicted, mos),
        "holds": float(inside.mean()),
        "width": float(np.diff(ends).mean()),
    }


def _quartiles(values: Any) -> str:
    low, middle, high = np.quantile(values, [0.25, 0.5, 0.75])
    return f"{middle:.3f} ({low:.3f}–{high:.3f})"


if __name__ == "__main__":
    main()
