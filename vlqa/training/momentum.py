"""Momentum contrast (MoCo, arXiv 1911.05722): keys from a slowly following encoder, negatives from a queue."""

from __future__ import annotations

import copy

import torch
from jaxtyping import Float
from torch import Tensor, nn

from vlqa.functional.contrastive import info_nce
from vlqa.functional.similarity import unit
from vlqa.training.processes import gather_plain, shuffled, unshuffled


class MomentumContrast(nn.Module):
    """Query encoder, key encoder and queue.

    The queue starts with random directions and forgets the oldest first. Keys are encoded in shuffled order over all
    processes, so that batch norm cannot tell a pair by its batch.

    Args:
        encoder: pictures to features, with its projector; trained.
        width: of the projections.
        queue: number of negatives.
        momentum: of the key encoder.
        temperature: of cosines.
    """

    queue: Tensor
    place: Tensor

    def __init__(self, encoder: nn.Module, width: int, *, queue: int, momentum: float, temperature: float) -> None:
        super().__init__()
        self.encoder = encoder
        self.key_encoder = copy.deepcopy(encoder).requires_grad_(False)
        self.momentum = momentum
        self.temperature = temperature
        self.register_buffer("queue", unit(torch.randn(queue, width)))
        self.register_buffer("place", torch.zeros((), dtype=torch.int64))

    def forward(self, query: Tensor, key: Tensor, step: int, negative: Tensor | None = None) -> Float[Tensor, ""]:
        """InfoNCE of queries, their keys, the queue, and each query's own negatives where there are any.

        Args:
            query: (n, 3, h, w) uint8.
            key: (n, 3, h, w) uint8.
            step: decides how keys are shuffled.
            negative: (n, k, 3, h, w) uint8.
        """
        queries = self.encoder(query)
        with torch.no_grad():
            if self.training:
                self._follow()
            pictures = key if negative is None else torch.cat([key, negative.flatten(0, 1)])
            mixed, order = shuffled(pictures, step)
            encoded = unit(unshuffled(self.key_encoder(mixed), order))
            keys, own = encoded[: len(key)], encoded[len(key) :]
        loss = info_nce(
            queries,
            keys,
            self.queue.clone(),  # the next line changes it, and the backward pass needs it as it was
            self.temperature,
            None if negative is None else own.reshape(*negative.shape[:2], -1),
        )
        if self.training:
            self._push(gather_plain(keys))
        return loss

    @torch.no_grad()
    def _follow(self) -> None:
        for slow, quick in zip(self.key_encoder.parameters(), self.encoder.parameters(), strict=True):
            slow.lerp_(quick, 1 - self.momentum)

    @torch.no_grad()
    def _push(self, keys: Float[Tensor, "n d"]) -> None:
        size = len(self.queue)
        keys = keys[-size:]
        places = (int(self.place) + torch.arange(len(keys), device=keys.device)) % size
        self.queue[places] = keys.to(self.queue)
        self.place.copy_((self.place + len(keys)) % size)
