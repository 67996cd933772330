"""Degradation spaces: from which damages, in which order, a pretext task draws."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from vlqa.data.crops import degrade_crop
from vlqa.data.degradations import LEVELS, TYPES
from vlqa.types import Pixels

Chain: TypeAlias = tuple[tuple[int, int], ...]
"""(type 1–25, level 1–5) of damages one after another; empty for an undamaged picture."""

PRISTINE_CLASS = len(TYPES) * LEVELS
"""Class of an undamaged picture; the others are type · 5 + level, both from 0: 126 in all (CONTRIQUE)."""


def apply_chain(image: Pixels, chain: Chain, seed: Sequence[int]) -> Pixels:
    """Damage a picture by a chain; the same chain and seed do the same to every picture of one size."""
    for place, (number, level) in enumerate(chain):
        image = degrade_crop(image, number, level, np.random.default_rng([*seed, place]))
    return image


def draw_single(rng: np.random.Generator) -> tuple[Chain, int]:
    """One of the 126 classes of CONTRIQUE, each as likely: a chain of one damage or none, and its class."""
    label = int(rng.integers(PRISTINE_CLASS + 1))
    return ((), label) if label == PRISTINE_CLASS else (((label // LEVELS + 1, label % LEVELS + 1),), label)


_GROUPS = {
    group: [kind.number for kind in TYPES if kind.group == group] for group in dict.fromkeys(k.group for k in TYPES)
}
_LEVEL_WEIGHTS = np.exp(-0.5 * (np.arange(LEVELS) / 2.5) ** 2)


def draw_arniqa(rng: np.random.Generator, most: int = 4, pristine_share: float = 0.05) -> Chain:
    """A chain of ARNIQA (arXiv 2310.14918): 1 to `most` of the 7 groups in random order, one type of each.

    Levels follow half a Gaussian, weak ones more often; with `pristine_share` there is no damage at all.
    """
    if rng.random() < pristine_share:
        return ()
    groups = rng.permutation(list(_GROUPS))[: int(rng.integers(1, most + 1))]
    weights = _LEVEL_WEIGHTS / _LEVEL_WEIGHTS.sum()
    return tuple((int(rng.choice(_GROUPS[group])), int(rng.choice(LEVELS, p=weights)) + 1) for group in groups)


@dataclass(frozen=True)
class QptSpace:
    """The space of QPT (arXiv 2303.00521, §3.2): stages in random order, some skipped, the whole run through twice.

    The paper names its operations only by family and has no public code. Here the 25 types are sorted into its three
    families; a stage draws one type and level of its family.

    Attributes:
        skip: probability that a stage is left out.
        second: probability of the second run ("high order").
        families: stages and their types.
    """

    skip: float = 0.3
    second: float = 0.5

    families: tuple[tuple[str, tuple[int, ...]], ...] = (
        ("geometric", (19, 20, 21, 23)),
        ("colour", (4, 5, 6, 7, 8, 16, 17, 18, 22, 25)),
        ("texture", (1, 2, 3, 9, 10, 11, 12, 13, 14, 15, 24)),
    )

    def draw(self, rng: np.random.Generator) -> Chain:
        """One member."""
        runs = 2 if rng.random() < self.second else 1
        return tuple(itertools.chain.from_iterable(self._run(rng) for _ in range(runs)))

    def _run(self, rng: np.random.Generator) -> Chain:
        stages = [self.families[place][1] for place in rng.permutation(len(self.families)) if rng.random() >= self.skip]
        return tuple((int(rng.choice(types)), int(rng.integers(1, LEVELS + 1))) for types in stages)

    def size(self) -> int:
        """How many different chains there are: stages in any order, some left out, one run or two."""
        options = {name: len(types) * LEVELS for name, types in self.families}
        runs = [order for count in range(len(options) + 1) for order in itertools.permutations(options, count)]
        orders = {(*first, *second) for first in runs for second in runs}  # equal ones count once
        return sum(math.prod(options[name] for name in order) for order in orders)
