"""Folds, and random splits drawn again and again, that keep what belongs together on one side."""

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


def repeated_splits(
    groups: Sequence[Any] | npt.NDArray[Any] | int, train: int | float, repeats: int = 10, seed: int = 0
) -> Iterator[tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]]:
    """(rows to train on, rows to test on), drawn anew each time; no group is on both sides.

    The protocols of the literature: N labels, the rest as test (GRepQ, arXiv 2312.04838: 50, 100 or 200, the median of
    10 draws), and a share of the references, 0.8, against the others (supervised methods, 10 draws).

    Args:
        groups: (n,) group names of the rows, such as the reference each is a version of; or a number of rows that are
            each a group of their own.
        train: how many rows to train on, or, below 1, the share of the groups. Of a group that is needed only in part
            the rest is on neither side.
        repeats: how many splits.
        seed: decides the splits; the first of them do not depend on how many follow.

    Raises:
        ConfigError: nothing to train or to test on.
    """
    names = range(groups) if isinstance(groups, int) else groups
    _, group = np.unique([str(name) for name in names], return_inverse=True)
    sizes = np.bincount(group)
    for repeat in range(repeats):
        order = np.random.default_rng([seed, repeat]).permutation(len(sizes))
        place = np.empty(len(sizes), np.int64)
        place[order] = np.arange(len(sizes))
        count = round(train * len(sizes)) if train < 1 else 1 + int(np.searchsorted(np.cumsum(sizes[order]), train))
        rows = np.flatnonzero(place[group] < count)
        test = np.flatnonzero(place[group] >= count)
        if train >= 1:
            rows = np.sort(rows[np.argsort(place[group[rows]], kind="stable")][: int(train)])
        if not len(rows) or not len(test):
            kind = f"{train} rows" if train >= 1 else f"a share of {train:g}"
            raise ConfigError(
                f"{kind} of {len(group)} rows in {len(sizes)} groups leaves a side empty; ask for another"
            )
        yield rows, test
