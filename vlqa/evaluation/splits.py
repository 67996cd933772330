"""Folds that keep what belongs together on one side."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from vlqa.errors import ConfigError


def group_folds(groups: Sequence[Any] | npt.NDArray[Any] | int, folds: int = 5, seed: int = 0) -> npt.NDArray[np.int64]:
    """A fold for every row; rows of one group, such as the versions of one photograph, share theirs.

    Groups are shuffled, then dealt from the largest to the smallest, each into the fold that has fewest rows.

    Args:
        groups: (n,) group names of the rows; or a number of rows that are each a group of their own.
        folds: how many.
        seed: decides the folds; the order of the rows does not.

    Returns:
        (n,) numbers from 0 to folds − 1.

    Raises:
        ConfigError: fewer than two folds, or fewer groups than folds.
    """
    names = range(groups) if isinstance(groups, int) else groups
    _, group, size = np.unique([str(name) for name in names], return_inverse=True, return_counts=True)
    if folds < 2:
        raise ConfigError(f"at least 2 folds are needed, found {folds}")
    if len(size) < folds:
        raise ConfigError(f"{folds} folds need at least as many groups, found {len(size)}; ask for fewer folds")
    shuffled = np.random.default_rng(seed).permutation(len(size))
    fold_of = np.empty(len(size), np.int64)
    rows = np.zeros(folds, np.int64)
    for index in shuffled[np.argsort(-size[shuffled], kind="stable")]:
        fold_of[index] = rows.argmin()
        rows[fold_of[index]] += size[index]
    return fold_of[group]


def splits(fold: npt.ArrayLike) -> Iterator[tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]]:
    """(rows to train on, rows to test on) for each fold in turn, in the order of the fold numbers."""
    numbers = np.asarray(fold)
    for number in np.unique(numbers):
        yield np.flatnonzero(numbers != number), np.flatnonzero(numbers == number)
