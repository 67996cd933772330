"""Do quality maps show where a picture is damaged? Ten held-out photographs, the right half of each damaged otherwise.

For each: the mean of the map over the undamaged and over the damaged half, before and after the damage. What the damage
took from the damaged half beyond what it took from the other is what the map shows of it; the columns next to the seam
see both and are left out.

    python benchmarks/half_damaged.py [--model mini] [--sheet FILE.png]
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from damages import sharp_held_out
from provenance import ROOT

import vlqa
from vlqa.data.degradations import degrade
from vlqa.data.images import decode
from vlqa.predictors.quality_map import quality_map
from vlqa.types import Pixels

DAMAGES = (
    ("gaussian blur", 4), ("motion blur", 4), ("jpeg", 4), ("jpeg2000", 4), ("white noise", 4),
    ("impulse noise", 4), ("brighten", 5), ("darken", 5), ("pixelate", 4), ("contrast change", 5),
)  # fmt: skip
_WINDOW = 4  # of them beside each other on the shorter side, as `quality_map` cuts them


def main() -> None:
    """Measure, print, and draw the maps where asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="mini")
    parser.add_argument("--photos", type=Path, default=ROOT.parent / "shared" / "data" / "photos")
    parser.add_argument("--sheet", type=Path, help="file for the pictures beside their maps")
    arguments = parser.parse_args()
    predictor = vlqa.load(arguments.model)
    rows = []
    print(f"{'damage':<18}{'level':>6}{'left':>8}{'right':>8}{'left, was':>11}{'right, was':>12}{'shown':>8}")
    for photo, (damage, level) in zip(sharp_held_out(arguments.photos, len(DAMAGES)), DAMAGES, strict=True):
        whole = decode(photo)
        spoiled = half_damaged(whole, damage, level)
        before, _ = quality_map(predictor, whole)
        after, shown = quality_map(predictor, spoiled)
        was, now = halves(before), halves(after)
        difference = (was[1] - now[1]) - (was[0] - now[0])
        rows.append((shown, after, difference))
        print(
            f"{damage:<18}{level:>6}{now[0]:8.2f}{now[1]:8.2f}{was[0]:11.2f}{was[1]:12.2f}{difference:8.2f}", flush=True
        )
    low, high = predictor.scale
    clear = sum(difference > 0.1 * (high - low) for *_, difference in rows)
    print(f"{clear} of {len(rows)} maps show the damaged half by more than a tenth of the scale")
    if arguments.sheet:
        draw(rows, predictor.scale, arguments.sheet)


def half_damaged(pixels: Pixels, damage: str, level: int) -> Pixels:
    """The picture with its right half as if the whole were damaged."""
    middle = pixels.shape[1] // 2
    return np.hstack([pixels[:, :middle], degrade(pixels, damage, level, 0)[:, middle:]])


def halves(values: np.ndarray) -> tuple[float, float]:
    """Mean of a map over its left and its right half, without the seam and what no patch sees."""
    width = values.shape[1]
    near = min(values.shape) // _WINDOW
    left, right = values[:, : width // 2 - near], values[:, width // 2 + near :]
    return float(np.nanmean(left)), float(np.nanmean(right))


def draw(rows: list[tuple[Pixels, np.ndarray, float]], scale: tuple[float, float], file: Path) -> None:
    """Each picture above its map, with what the map shows of the damage."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(4, 5, figsize=(18, 12), layout="constrained")
    for number, (pixels, values, difference) in enumerate(rows):
        row, column = 2 * (number // 5), number % 5
        axes[row, column].imshow(pixels)
        axes[row, column].set_title(f"{DAMAGES[number][0]}: {difference:.2f}")
        axes[row + 1, column].imshow(pixels.mean(axis=2), cmap="gray")
        axes[row + 1, column].imshow(values, cmap="RdYlGn", vmin=scale[0], vmax=scale[1], alpha=0.6)
    for axis in axes.flat:
        axis.set_axis_off()
    figure.savefig(file, dpi=70)


if __name__ == "__main__":
    main()
