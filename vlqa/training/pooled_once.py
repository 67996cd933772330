"""What a trunk that is not trained makes of a picture, computed once."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor


class PooledOnce:
    """Pooled features of pictures that come again, as kept samples do: from memory or a folder after their first time.

    A head over a trunk that stays then trains at the speed of the head. 1000 features take 4 kB a picture.

    Args:
        pooled: pictures (n, 3, h, w) to features (n, width), without anything random.
        folder: where features stay for later runs, under the name of what `pooled` makes of one fixed picture; each
            process writes a file of its own. None keeps them in memory only.
    """

    def __init__(self, pooled: Callable[[Tensor], Tensor], folder: Path | None = None) -> None:
        self._pooled = pooled
        self._known: dict[int, Tensor] = {}
        self._folder = folder
        self._file: Path | None = None

    def __call__(self, images: UInt8[Tensor, "n 3 h w"], identities: Int[Tensor, " n"]) -> Float[Tensor, "n width"]:
        """Features without gradient.

        Args:
            images: pictures.
            identities: equal for equal pixels only.
        """
        if self._folder is not None and self._file is None:
            self._file = self._opened(self._folder, images.device)
        keys = identities.tolist()
        unseen = list({key: row for row, key in enumerate(keys) if key not in self._known}.values())
        if unseen:
            with torch.no_grad():
                found = self._pooled(images[unseen]).float().cpu()
            self._known |= {keys[row]: features for row, features in zip(unseen, found, strict=True)}
            if self._file is not None:
                records = np.empty(len(unseen), _record(found.shape[1]))
                records["identity"], records["features"] = [keys[row] for row in unseen], found.numpy()
                with self._file.open("ab") as file:
                    file.write(records.tobytes())
        return torch.stack([self._known[key] for key in keys]).to(images.device)

    def _opened(self, folder: Path, device: torch.device) -> Path:
        """Take what earlier runs wrote; the file for what this one finds."""
        probe = torch.randint(0, 256, (1, 3, 64, 64), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
        with torch.no_grad():
            features = self._pooled(probe.to(device)).float().cpu()
        place = folder / hashlib.sha256(features.numpy().tobytes()).hexdigest()[:16]
        place.mkdir(parents=True, exist_ok=True)
        for file in sorted(place.glob("*.bin")):
            records = _whole_records(file, _record(features.shape[1]))
            kept = torch.from_numpy(records["features"].copy())
            self._known |= dict(zip(records["identity"].tolist(), kept, strict=True))
        return place / f"{uuid.uuid4().hex}.bin"


def _record(width: int) -> np.dtype[np.void]:
    return np.dtype([("identity", "<i8"), ("features", "<f4", (width,))])


def _whole_records(file: Path, record: np.dtype[np.void]) -> npt.NDArray[np.void]:
    """All but the last one of a run that was killed while it wrote."""
    return np.fromfile(file, record, count=file.stat().st_size // record.itemsize)
