"""How good is a model after few labels? The protocols of the literature, for any predictor and any rated pictures.

few-shot (the default; `make few-shot`): N labels drawn at random, all other pictures as test, 20 draws, beside
baselines fitted on the same labels; which pictures to have rated; whether 90 % intervals hold 90 %; how long a fit
takes. supervised: 80 % of the references against the others, 10 draws. published: LIQE's ten splits, from its files.
cross: fitted on all of one set, tested on another.

Correlations are medians (quartiles) over splits, differences are of the first model to each other one with 95 %
intervals and p-values after Holm's correction (`vlqa.evaluation.split_differences`). Features are computed once and
kept. The default, `mini-zero`, saw no score of a real photograph.

    python benchmarks/few_shot.py [--model mini-zero] [--labels FILE.csv] [--heads auto ridge gp] [--against MODEL …]
    python benchmarks/few_shot.py --protocol supervised --labels kadid10k.csv
    python benchmarks/few_shot.py --protocol cross --train koniq10k.csv --test spaq.csv --against mini
    python benchmarks/few_shot.py --protocol published --splits IQA_Database/CSIQ --images CSIQ
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from few_shot_text import agreement_text, coverage_text, selection_plot, selection_text, times_text
from learners import STATISTICS, Array, Learner, learner
from protocols import Splits, agreement, coverage, fit_times, selection
from provenance import ROOT, provenance

import vlqa
from vlqa.data.published_splits import published_split
from vlqa.evaluation import repeated_splits

LABELS = ROOT.parent / "shared" / "data" / "clive_train" / "labels.csv"
BASELINES = (
    (str(ROOT / "benchmarks" / "encoders" / "contrique-small"), "ridge"),
    (STATISTICS, "ridge"),
    (STATISTICS, "svr"),
)
PARTS = ("agreement", "selection", "coverage", "times")


def main() -> None:
    """Measure, print, and write what was measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="mini-zero", help="a name of `vlqa models`, or a folder")
    parser.add_argument("--heads", nargs="+", default=["auto"], help="of the model; the first counts for all parts")
    parser.add_argument("--against", nargs="+", help=f"models in place of the baselines; {STATISTICS} is one")
    parser.add_argument("--protocol", choices=("few-shot", "supervised", "published", "cross"), default="few-shot")
    parser.add_argument("--labels", type=Path, default=LABELS)
    parser.add_argument("--images", type=Path, help="folder that paths start from")
    parser.add_argument("--train", type=Path, help="labels to fit on (cross)")
    parser.add_argument("--test", type=Path, help="labels to test on (cross)")
    parser.add_argument("--splits", type=Path, help="a set's folder of LIQE's IQA_Database (published)")
    parser.add_argument("--counts", type=int, nargs="+", default=[25, 50, 100, 200], help="labels")
    parser.add_argument("--repeats", type=int, help="splits: 20, supervised 10")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS), help="of few-shot")
    parser.add_argument("--features", type=Path, help=".npz with X (n, d): what the model's embed gave, row by row")
    parser.add_argument("--cache", type=Path, default=ROOT / ".features", help="folder of features")
    parser.add_argument("--json", type=Path, help="file for the result and where it comes from")
    parser.add_argument("--plot", type=Path, help="PNG of SRCC against labels by strategy")
    arguments = parser.parse_args()
    if arguments.protocol == "cross" and not (arguments.train and arguments.test):
        parser.error("--protocol cross needs --train and --test")
    if arguments.protocol == "published" and not arguments.splits:
        parser.error("--protocol published needs --splits")

    start = time.perf_counter()
    rated, splits = _rated(arguments)
    others = BASELINES if arguments.against is None else [(name, _head(name)) for name in arguments.against]
    wanted = [(arguments.model, head) for head in arguments.heads] + list(others)
    learners = []
    for name, head in wanted:
        file = arguments.features if name == arguments.model else None
        learners.append(learner(name, head, rated.paths, arguments.cache, file))
        print(f"features of {learners[-1].name} {time.perf_counter() - start:4.0f} s", flush=True)
    result: dict[str, Any] = {"protocol": arguments.protocol, "model": arguments.model, "pictures": len(rated)}
    result |= _measured(arguments, learners, rated, splits)
    result["seconds"] = round(time.perf_counter() - start)
    print(f"{result['seconds']} s in all")
    if arguments.json:
        arguments.json.write_text(json.dumps(provenance() | result, indent=1) + "\n")


def _head(name: str) -> str:
    return "svr" if name == STATISTICS else "auto"


def _rated(arguments: argparse.Namespace) -> tuple[vlqa.Manifest, Splits | None]:
    """Rated pictures, and the splits where the protocol prescribes them."""
    if arguments.protocol == "cross":
        parts = [vlqa.Manifest.read(file, images=arguments.images) for file in (arguments.train, arguments.test)]
        return _joined(parts), [(np.arange(len(parts[0])), len(parts[0]) + np.arange(len(parts[1])))]
    if arguments.protocol == "published":
        pairs = [published_split(arguments.splits, number, images=arguments.images) for number in range(1, 11)]
        rated = _joined(pairs[0])
        row = {name: number for number, name in enumerate(rated.names)}
        return rated, [tuple(np.array([row[name] for name in part.names]) for part in pair) for pair in pairs]
    return vlqa.Manifest.read(arguments.labels, images=arguments.images), None


def _joined(parts: Sequence[vlqa.Manifest]) -> vlqa.Manifest:
    """Rows of both; what a split needs of them."""
    first, second = parts
    return vlqa.Manifest(
        source=first.source,
        images=first.images,
        names=first.names + second.names,
        paths=first.paths + second.paths,
        mos=np.concatenate([first.mos, second.mos]),
    )


def _measured(
    arguments: argparse.Namespace, learners: Sequence[Learner], rated: vlqa.Manifest, splits: Splits | None
) -> dict[str, Any]:
    mos: Array = rated.mos
    groups = rated.reference or rated.group
    usable = np.isfinite(mos) & np.all([np.isfinite(each.features).all(axis=1) for each in learners], axis=0)
    if not usable.all():
        print(f"{(~usable).sum()} pictures have no features or no opinion and are left out")
    kept = np.flatnonzero(usable)
    learners = [each.of(kept) for each in learners]
    mos = mos[kept]
    groups = None if groups is None else [groups[row] for row in kept.tolist()]
    if splits is not None:
        place = np.cumsum(usable) - 1
        splits = [tuple(place[part[usable[part]]] for part in pair) for pair in splits]
        table = agreement(learners, mos, splits, None)
        print(agreement_text({arguments.protocol: table}), flush=True)
        return {"agreement": {arguments.protocol: table}}
    if arguments.protocol == "supervised":
        splits = list(repeated_splits(len(mos) if groups is None else groups, 0.8, arguments.repeats or 10))
        table = agreement(learners, mos, splits, groups)
        print(agreement_text({"80 %": table}), flush=True)
        return {"agreement": {"supervised": table}}
    result: dict[str, Any] = {}
    repeats = arguments.repeats or 20
    if "agreement" in arguments.parts:
        result["agreement"] = {}
        for count in arguments.counts:
            splits = list(repeated_splits(len(mos) if groups is None else groups, count, repeats))
            result["agreement"][str(count)] = agreement(learners, mos, splits, groups)
        print(agreement_text(result["agreement"]), flush=True)
    if "selection" in arguments.parts:
        result["selection"] = selection(learners[0], mos, sorted({10, *arguments.counts}), repeats, groups)
        print(selection_text(result["selection"]), flush=True)
        if arguments.plot:
            selection_plot(result["selection"], arguments.plot)
    if "coverage" in arguments.parts:
        result["coverage"] = {
            str(count): coverage(learners[0], mos, count, splits)
            for count, splits in ((100, 10 * repeats), (200, 2 * repeats))
        }
        print(coverage_text(result["coverage"]), flush=True)
    if "times" in arguments.parts:
        result["times"] = fit_times(learners[0], mos, [25, 50, 100, 200, 500, 1000], 5)
        print(times_text(result["times"]), flush=True)
    return result


if __name__ == "__main__":
    main()
