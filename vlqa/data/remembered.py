"""Samples made once and kept on disk: damaging a crop and showing it to a teacher cost more than a training step."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from vlqa.data.crops import order_of_round
from vlqa.data.training_sets import SampleSource
from vlqa.errors import ConfigError

IDENTITY = "identity"
"""Field of a sample: a digest of its pixels, 64 bits, so that what was made of them need not be made again."""

_THERE = "there"


class Remembered:
    """A source of which `count` samples of each size are made, kept, and given again in another order each round.

    A sample that comes again may be mirrored, by a new draw. What is given depends on seed, number and size alone,
    whether it was made now or long ago: a run can be killed at any time, and several may share a folder.

    Args:
        source: what makes a sample from its number.
        folder: of this source alone; the caller names it after all that decides a sample.
        count: samples kept of each size; a multiple of `group`.
        sizes: sides of the pictures, px.
        seed: decides the order of later rounds.
        group: neighbours that stay together, such as the versions of one crop.
        mirrored: whether a kept sample is mirrored half of the times it comes.
        further: what else is kept of a picture (3, h, w), such as what a teacher sees in it; float16.
    """

    def __init__(
        self,
        source: SampleSource,
        folder: Path,
        *,
        count: int,
        sizes: Sequence[int],
        seed: int,
        group: int = 1,
        mirrored: bool = True,
        further: Callable[[Tensor], Mapping[str, Tensor]] | None = None,
    ) -> None:
        if count % group:
            raise ConfigError(f"remembered: {count} samples are no multiple of the {group} that stay together")
        self.source = source
        self.folder = folder
        self.count = count
        self.seed = seed
        self.group = group
        self.mirrored = mirrored
        self.further = further
        folder.mkdir(parents=True, exist_ok=True)
        for size in set(sizes):
            self._prepare(size)
        self._open: dict[int, dict[str, npt.NDArray[Any]]] = {}

    def sample(self, number: int, size: int) -> dict[str, Tensor]:
        """What the source gives for the place that `number` has in its round, with its `identity`."""
        place = self.place(number)
        fields = self._fields(size)
        if not fields[_THERE][place]:
            for name, value in self._make(place, size).items():
                fields[name][place] = value.numpy()
            fields[_THERE][place] = True  # last: a sample that is half written is made again
        kept = {name: torch.from_numpy(np.array(values[place])) for name, values in fields.items() if name != _THERE}
        mirrored = self.mirrored and bool(np.random.default_rng([self.seed, 13, number]).random() < 0.5)
        if mirrored:
            kept["image"] = kept["image"].flip(-1)
        return {**kept, IDENTITY: torch.tensor(_identity(kept["image"]))}

    def place(self, number: int) -> int:
        """Which of the kept samples stands at a number."""
        group, within = divmod(number, self.group)
        groups = self.count // self.group
        round_, position = divmod(group, groups)
        return int(order_of_round(self.seed, 12, round_, groups)[position]) * self.group + within

    def _make(self, place: int, size: int) -> dict[str, Tensor]:
        sample = self.source.sample(place, size)
        if self.further is not None:
            sample |= {name: value.half() for name, value in self.further(sample["image"]).items()}
        return sample

    def _prepare(self, size: int) -> None:
        if (self.folder / f"{size}.{_THERE}.npy").is_file():
            return
        for name, value in {**self._make(0, size), _THERE: torch.tensor(False)}.items():  # the mark comes last
            array = value.numpy()
            path = self.folder / f"{size}.{name}.npy"
            new = path.with_suffix(f".{os.getpid()}")
            np.lib.format.open_memmap(new, "w+", array.dtype, (self.count, *array.shape)).flush()
            with contextlib.suppress(FileExistsError):  # of a run that started at the same moment
                os.link(new, path)
            new.unlink()

    def _fields(self, size: int) -> dict[str, npt.NDArray[Any]]:
        if size not in self._open:  # by each worker for itself
            paths = self.folder.glob(f"{size}.*.npy")
            self._open[size] = {path.name.split(".")[1]: np.load(path, mmap_mode="r+") for path in paths}
        return self._open[size]


def _identity(image: Tensor) -> int:
    digest = hashlib.sha256(image.contiguous().numpy().data).digest()
    return int.from_bytes(digest[:8], "little", signed=True)
