"""What a trunk that is not trained makes of a picture, computed once a run."""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor


class PooledOnce:
    """Pooled features of pictures that come again, as kept samples do: from memory after their first time.

    A head over a trunk that stays then trains at the speed of the head. 960 features take 4 kB a picture.

    Args:
        pooled: pictures (n, 3, h, w) to features (n, width), without anything random.
    """

    def __init__(self, pooled: Callable[[Tensor], Tensor]) -> None:
        self._pooled = pooled
        self._known: dict[int, Tensor] = {}

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
                found = self._pooled(images[unseen]).float().cpu()
            self._known |= {keys[row]: features for row, features in zip(unseen, found, strict=True)}
        return torch.stack([self._known[key] for key in keys]).to(images.device)
