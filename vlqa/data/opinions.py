"""Mean human opinion of each degradation type and level: real scores for pictures that nobody has rated."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from vlqa.errors import ManifestError

PRISTINE_OPINION = 4.6
"""Opinion of the undamaged picture: the mean-shift level that changes nothing was rated 4.603 (KADID-10k)."""


@dataclass(frozen=True)
class OpinionTable:
    """Mean opinion (1–5, higher is better) over KADID-10k's 81 references (Lin et al., QoMEX 2019).

    Attributes:
        mean: (25, 5) float64, rows types 1–25, columns levels 1–5.
    """

    mean: npt.NDArray[np.float64]

    @classmethod
    def read(cls, path: str | Path) -> OpinionTable:
        """Read a CSV with the columns type_id, level and mean_mos.

        Raises:
            ManifestError: the file is missing, or not every one of the 125 cells is there.
        """
        mean = np.full((25, 5), np.nan)
        try:
            with Path(path).open(encoding="utf-8", newline="") as file:
                for row in csv.DictReader(file):
                    number, level = int(row["type_id"]), int(row["level"])
                    if not (1 <= number <= 25 and 1 <= level <= 5):
                        raise ValueError(f"type_id {number} at level {level}, expected 1–25 at 1–5")
                    mean[number - 1, level - 1] = float(row["mean_mos"])
        except (OSError, KeyError, ValueError, TypeError, csv.Error) as error:
            reason = f"no column {error}" if isinstance(error, KeyError) else error
            raise ManifestError(f"{path}: not a table of type_id, level, mean_mos ({reason})") from None
        if np.isnan(mean).any():
            raise ManifestError(f"{path}: {int(np.isnan(mean).sum())} of the 125 types and levels have no mean_mos")
        return cls(mean)

    def opinion(self, number: int, level: float) -> float:
        """Opinion of type 1–25 at a level 1–5; between levels, and from level 0 (undamaged) to 1, linear."""
        row = self.mean[number - 1]
        if level < 1 and number not in (18, 25):  # the signed types start from a damaged level 1
            return float(np.interp(level, [0, 1], [max(PRISTINE_OPINION, row[0]), row[0]]))
        return float(np.interp(level, np.arange(1, 6), row))

    def visibility(self, number: int, level: float) -> float:
        """How little of the damage is seen: 1 none, 0 the worst opinion of the scale."""
        return float(np.clip((self.opinion(number, level) - 1) / (PRISTINE_OPINION - 1), 0, 1))


def combined_opinion(first: float, second: float) -> float:
    """Opinion after two independent damages: the shares of quality that each leaves multiply.

    No set here has rated mixtures with a known recipe; the product is bounded by the worse of the two.
    """
    left = [max(opinion - 1, 0) / (PRISTINE_OPINION - 1) for opinion in (first, second)]
    return 1 + (PRISTINE_OPINION - 1) * min(left[0], 1) * min(left[1], 1)
