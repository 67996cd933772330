"""What a trunk that is not trained makes of a picture, computed once."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

_AT_ONCE = 16
"""Pictures a pass: a batch of 256 at 448 px holds 10 GB of activations, and is slower than its parts."""


class PooledOnce:
    """Pooled features of pictures that come again, as kept samples do: from memory or a folder after their first time.

    A head over a trunk that stays then trains at the speed of the head. 1000 features take 4 kB a picture.

    Args:
        pooled: pictures (n, 3, h, w) to features (n, width), without anything random.
        folder: where features stay for later runs, each of which writes a file of its own; the caller names it after
            all that decides a feature. None keeps them in memory only.
        width: of the features.
    """

    def __init__(self, pooled: Callable[[Tensor], Tensor], folder: Path | None, width: int) -> None:
        self._pooled = pooled
        self._known: dict[int, Tensor] = {}
        self._record = np.dtype([("identity", "<i8"), ("features", "<f4", (width,))])
        self._file: Path | None = None
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
            for file in sorted(folder.glob("*.bin")):
                self._read(file)
            self._file = folder / f"{uuid.uuid4().hex}.bin"

    def __call__(self, images: UInt8[Tensor, "n 3 h w"], identities: Int[Tensor, " n"]) -> Float[Tensor, "n width"]:
        """Features without gradient.

        Args:
            images: pictures.
            identities: equal for equal pixels only.
        """
        keys = identities.tolist()
        unseen = list({key: row for row, key in enumerate(keys) if key not in self._known}.values())
        if unseen:
            with torch.no_grad():
                found = torch.cat(
                    [self._pooled(images[rows]).float().cpu() for rows in torch.split(torch.tensor(unseen), _AT_ONCE)]
                )
            self._known |= {keys[row]: features for row, features in zip(unseen, found, strict=True)}
            if self._file is not None:
                records = np.empty(len(unseen), self._record)
                records["identity"], records["features"] = [keys[row] for row in unseen], found.numpy()
                with self._file.open("ab") as file:
                    file.write(records.tobytes())
        return torch.stack([self._known[key] for key in keys]).to(images.device)

    def _read(self, file: Path) -> None:
        """Take what an earlier run wrote, but for a last record that was cut when it was killed."""
        records = np.fromfile(file, self._record, count=file.stat().st_size // self._record.itemsize)
        features = torch.from_numpy(records["features"].copy())
        self._known |= dict(zip(records["identity"].tolist(), features, strict=True))
