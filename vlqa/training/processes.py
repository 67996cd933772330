"""Several processes as one: features gathered with their gradient, batch norm over all, batches shuffled among them."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.distributed.nn import functional as with_gradient


def world() -> tuple[int, int]:
    """Rank and number of processes."""
    return (dist.get_rank(), dist.get_world_size()) if dist.is_available() and dist.is_initialized() else (0, 1)


def gather(x: Float[Tensor, "n d"]) -> Float[Tensor, "m d"]:
    """Rows of all processes, in the order of their ranks, with gradient to each.

    A loss over gathered rows is the same in every process; with the gradients averaged over processes, as data-parallel
    training does, the step is that of one process with the whole batch.
    """
    return torch.cat(with_gradient.all_gather(x.contiguous())) if world()[1] > 1 else x  # type: ignore[no-untyped-call]


def gather_plain(x: Tensor) -> Tensor:
    """As `gather`, without gradient; also for integers."""
    if world()[1] == 1:
        return x
    parts = [torch.empty_like(x) for _ in range(world()[1])]
    dist.all_gather(parts, x.contiguous())
    return torch.cat(parts)


def own_rows(x: Tensor) -> Tensor:
    """The rows of this process among gathered ones."""
    rank, processes = world()
    count = len(x) // processes
    return x[rank * count : (rank + 1) * count]


def shuffled(images: Tensor, step: int) -> tuple[Tensor, Int[Tensor, " m"]]:
    """Exchange pictures among processes, so that batch norm sees a key beside others than its query (MoCo §3.3).

    Args:
        images: of this process.
        step: decides the permutation, which is the same in every process.

    Returns:
        As many pictures, and the permutation that `unshuffled` needs.
    """
    processes = world()[1]
    order = torch.randperm(len(images) * processes, generator=torch.Generator().manual_seed(step))
    if processes == 1:
        return images[order.to(images.device)], order
    return own_rows(gather_plain(images)[order.to(images.device)]), order


def unshuffled(rows: Tensor, order: Int[Tensor, " m"]) -> Tensor:
    """Rows of shuffled pictures, back at their places in this process."""
    every = gather_plain(rows)
    return own_rows(every[torch.argsort(order).to(rows.device)])


class SynchronisedBatchNorm2d(nn.BatchNorm2d):
    """Batch norm over the batches of all processes, also on CPUs, where torch has none."""

    def forward(self, input: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c h w"]:
        """Normalise; in evaluation as torch's."""
        processes = world()[1]
        if not self.training or processes == 1:
            return super().forward(input)
        x = input.float()
        axes = [axis for axis in range(x.ndim) if axis != 1]
        count = x.new_tensor([x.numel() / x.shape[1]])
        sums = torch.cat([x.sum(axes), x.square().sum(axes), count])
        sums = with_gradient.all_reduce(sums)  # type: ignore[no-untyped-call]
        total = sums[-1].detach()
        mean, square = (sums[:-1] / total).chunk(2)
        variance = square - mean.square()
        self._remember(mean.detach(), variance.detach() * total / (total - 1))
        shape = (1, -1, *([1] * (x.ndim - 2)))
        scale = self.weight.float() * (variance + self.eps).rsqrt()
        normal = (x - mean.view(shape)) * scale.view(shape) + self.bias.float().view(shape)
        return normal.to(input.dtype)

    @torch.no_grad()
    def _remember(self, mean: Tensor, variance: Tensor) -> None:
        assert self.running_mean is not None and self.running_var is not None
        momentum = 0.1 if self.momentum is None else self.momentum
        self.running_mean.lerp_(mean.to(self.running_mean.dtype), momentum)
        self.running_var.lerp_(variance.to(self.running_var.dtype), momentum)
        if self.num_batches_tracked is not None:
            self.num_batches_tracked += 1


class SynchronisedBatchNorm1d(SynchronisedBatchNorm2d):
    """The same for rows of features."""

    def _check_input_dim(self, input: Tensor) -> None:
        if input.ndim not in (2, 3):
            raise ValueError(f"expected 2D or 3D input, got {input.ndim}D")


def synchronise(module: nn.Module) -> nn.Module:
    """Turn all batch norms of a module into synchronised ones, in place; names and weights stay."""
    kinds: dict[Any, Any] = {nn.BatchNorm2d: SynchronisedBatchNorm2d, nn.BatchNorm1d: SynchronisedBatchNorm1d}
    for part in module.modules():
        if type(part) in kinds:
            part.__class__ = kinds[type(part)]
    return module
