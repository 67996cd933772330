"""Which pretext task teaches a small encoder most? Trains nothing: reads the encoders, and compares them.

Five encoders of one architecture and one budget (configs/*_small.yaml), and the same architecture with random weights,
on pictures that none of them was trained on:

- probe: SRCC of a ridge regression on the features of clive_train's photographs, 10 random 80/20 splits;
- type, level: linear probes on damaged held-out photographs, tested on other photographs than they were fitted on:
  accuracy over 25 types, mean absolute error in levels (cells that look like the original are left out);
- blind: SRCC of the distance from pristine patches with the strength of the damage, median over types (--json has all);
- pairs: share of damaged pictures whose nearest neighbour among other photographs has the same type and level.

Prints a table and writes benchmarks/results/pretext.json; about half an hour on two quiet cores.

    python benchmarks/pretext.py [--encoders benchmarks/encoders] [--photos ../shared/data/photos] [--count 30] [--json]
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from provenance import provenance
from scipy.stats import spearmanr
from sklearn.linear_model import LogisticRegression, Ridge, RidgeCV
from sklearn.model_selection import ShuffleSplit
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import vlqa
from vlqa.data.degradations import TYPES, degrade
from vlqa.data.images import decode
from vlqa.models.image_encoder import build_encoder
from vlqa.predictors.encoded import EncoderPredictor
from vlqa.predictors.pristine import PristinePredictor, pristine_statistics
from vlqa.predictors.regression import RegressionPredictor
from vlqa.predictors.views import Scales
from vlqa.training.photos import find_photos, split_photos
from vlqa.types import Pixels

RESULTS = Path(__file__).with_name("results") / "pretext.json"
Array = npt.NDArray[Any]

NAMES = ("grepq-low", "contrique", "re-iqa", "qpt", "arniqa")
SHARP = ("bsds500", "urban100", "sunhays80")
HELD_OUT = 60  # as in the recipes
_ALPHAS = np.geomspace(1e-3, 1e5, 9)
_NEARLY_ORIGINAL = {(1, 1), (3, 1), (8, 1), (18, 3), (25, 3)}
CELLS = [
    (kind.number, level) for kind in TYPES for level in range(1, 6) if (kind.number, level) not in _NEARLY_ORIGINAL
]


def main() -> None:
    """Print one row an encoder."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--encoders", type=Path, default=Path("benchmarks/encoders"))
    parser.add_argument("--photos", type=Path, default=Path("../shared/data/photos"))
    parser.add_argument("--labels", type=Path, default=Path("../shared/data/clive_train/labels.csv"))
    parser.add_argument("--count", type=int, default=30, help="held-out photographs to damage")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()

    models: dict[str, EncoderPredictor] = {}
    for name in NAMES:
        folder = arguments.encoders / f"{name}-small"
        if folder.is_dir():
            model = vlqa.load(folder, device="cpu")
            assert isinstance(model, EncoderPredictor)
            models[name] = model
    if not models:
        parser.error(f"no encoders in {arguments.encoders}; configs/*_small.yaml train them")
    models["untrained"] = _untrained(next(iter(models.values())))
    training, held_out = split_photos(find_photos([arguments.photos / name for name in SHARP]), HELD_OUT)

    rated = vlqa.Manifest.read(arguments.labels)
    strengths, pictures = _by_type(held_out[: min(10, arguments.count)])
    damaged = {name: np.stack(rows) for name, rows in _damaged(models, held_out[: arguments.count]).items()}
    table = {}
    for name, model in models.items():
        table[name] = {
            "width": model.width,
            "probe": _probe(model.embed(rated.paths), np.asarray(rated.mos)),
            **_type_and_level(damaged[name]),
            "pairs": _pairs(damaged[name]),
        }
        by_type = _blind(model, training, strengths, pictures)
        table[name] |= {"blind": float(np.median(list(by_type.values()))), "blind_by_type": by_type}
    photographs = {"damaged": arguments.count, "blind": min(10, arguments.count), "rated": len(rated)}
    report = {**provenance(), "photographs": photographs, "encoders": table}
    RESULTS.write_text(json.dumps(report, indent=1) + "\n")
    print(json.dumps(report) if arguments.json else _text(table))


def _untrained(like: EncoderPredictor) -> EncoderPredictor:
    torch.manual_seed(0)
    (encoder,) = like.encoders.values()
    architecture = {name: value for name, value in encoder.architecture.items() if name != "head"}
    fresh = build_encoder(architecture).eval()
    return RegressionPredictor({"encoder": fresh}, Scales((1.0, 0.5)), None, normalize=False, name="untrained")


def _renderings(photo: Path) -> Iterator[Pixels]:
    pixels = decode(photo)
    for number, level in CELLS:
        yield degrade(pixels, number, level, 0)


def _damaged(models: dict[str, EncoderPredictor], photos: list[Path]) -> dict[str, list[Array]]:
    """Of each model (photos, cells, width) features."""
    rows: dict[str, list[Array]] = {name: [] for name in models}
    for photo in photos:
        pictures = list(_renderings(photo))
        for name, model in models.items():
            rows[name].append(model.embed(pictures))
    return rows


def _probe(features: Array, mos: Array) -> list[float]:
    """Median, lowest and highest of 10 splits."""
    values = []
    for fit, test in ShuffleSplit(10, test_size=0.2, random_state=0).split(features):
        ridge = make_pipeline(StandardScaler(), RidgeCV(_ALPHAS)).fit(features[fit], mos[fit])
        values.append(spearmanr(ridge.predict(features[test]), mos[test])[0])
    return [float(np.median(values)), float(min(values)), float(max(values))]


def _type_and_level(features: Array) -> dict[str, float]:
    half = len(features) // 2
    types = np.array([number for number, _ in CELLS])
    levels = np.array([level for _, level in CELLS], float)
    fit, test = (part.reshape(-1, part.shape[-1]) for part in (features[:half], features[half:]))
    scaler = StandardScaler().fit(fit)
    fit, test = scaler.transform(fit), scaler.transform(test)
    counts = half, len(features) - half
    chosen = LogisticRegression(C=0.1, max_iter=300).fit(fit, np.tile(types, counts[0])).predict(test)
    level = Ridge(100.0).fit(fit, np.tile(levels, counts[0])).predict(test)
    return {
        "type": float(np.mean(chosen == np.tile(types, counts[1]))),
        "level": float(np.abs(level.clip(1, 5) - np.tile(levels, counts[1])).mean()),
    }


def _pairs(features: Array) -> float:
    photos, cells, width = features.shape
    rows = torch.from_numpy(features.reshape(-1, width)).float()
    rows = torch.nn.functional.normalize((rows - rows.mean(0)) / (rows.std(0) + 1e-6), dim=1)
    alike = rows @ rows.T
    photo = torch.arange(photos).repeat_interleave(cells)
    alike[photo[:, None] == photo] = -torch.inf
    nearest = alike.argmax(1) % cells
    return float((nearest == torch.arange(cells).repeat(photos)).float().mean())


def _by_type(photos: list[Path]) -> tuple[dict[str, list[float]], list[Pixels]]:
    """Of each type how far each level's parameter lies from doing nothing, and all types × photographs × levels."""
    strengths = {}
    for kind in TYPES:
        neutral = kind.levels[0] if kind.neutral is None else kind.neutral
        strengths[str(kind)] = [abs(parameter - neutral) for parameter in kind.levels] * len(photos)
    pixels = [decode(photo) for photo in photos]
    return strengths, [degrade(photo, kind, level, 0) for kind in TYPES for photo in pixels for level in range(1, 6)]


def _blind(
    model: EncoderPredictor, training: list[Path], strengths: dict[str, list[float]], pictures: list[Pixels]
) -> dict[str, float]:
    """Of each type the correlation of damage with a falling score, pooled over photographs."""
    blind = PristinePredictor(model.encoders, None, name=model.name)
    blind.statistics = pristine_statistics(blind, training[::4])
    scores = blind.predict(pictures).reshape(len(strengths), -1)
    return {
        name: -float(spearmanr(own, damage)[0]) for own, (name, damage) in zip(scores, strengths.items(), strict=True)
    }


def _text(table: dict[str, dict[str, Any]]) -> str:
    lines = [
        f"{'encoder':<12}{'width':>6}  {'probe SRCC (10 splits)':<24}{'type':>6}{'level':>7}{'blind':>7}{'pairs':>7}"
    ]
    for name, row in table.items():
        median, low, high = row["probe"]
        probe = f"{median:.3f} ({low:.3f}–{high:.3f})"
        numbers = f"{row['type']:>6.3f}{row['level']:>7.2f}{row['blind']:>7.2f}{row['pairs']:>7.3f}"
        lines.append(f"{name:<12}{row['width']:>6}  {probe:<24}{numbers}")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
