"""One distribution over quality × scene × distortion, and what is read from it (LIQE, arXiv 2303.14968)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor


def joint_probabilities(logits: Float[Tensor, "n k"], shape: Sequence[int]) -> Float[Tensor, "n ..."]:
    """Softmax over all label combinations at once (LIQE, arXiv 2303.14968).

    Args:
        logits: one column a sentence, in product order (last label varies fastest).
        shape: number of labels of each task, e.g. (5, 9, 11) for quality, scene, distortion.

    Returns:
        Probabilities that sum to 1 over all axes but the first, in float32 or better.
    """
    exact = logits.float() if logits.dtype in (torch.float16, torch.bfloat16) else logits
    return exact.softmax(dim=-1).reshape(len(logits), *shape)


def marginal(joint: Float[Tensor, "n ..."], axis: int) -> Float[Tensor, "n k"]:
    """Probabilities of one task's labels: the joint summed over the other tasks (LIQE, arXiv 2303.14968).

    Args:
        joint: probabilities from `joint_probabilities`.
        axis: the task, counted from 0 without the image axis.

    Returns:
        Probabilities in [0, 1]; rows sum to 1.
    """
    tasks = joint.ndim - 1
    if not 0 <= axis < tasks:
        raise ValueError(f"axis must lie in 0…{tasks - 1} for {tasks} tasks, not {axis}")
    others = [1 + task for task in range(tasks) if task != axis]
    return joint.sum(dim=others) if others else joint


def marginals(joint: Float[Tensor, "n ..."]) -> tuple[Float[Tensor, "n k"], ...]:
    """The marginal of every task, in the order of the axes."""
    return tuple(marginal(joint, axis) for axis in range(joint.ndim - 1))


def expected_quality(
    quality_probabilities: Float[Tensor, "n k"], values: Float[Tensor, " k"] | Sequence[float] | None = None
) -> Float[Tensor, " n"]:
    """Mean quality under a distribution of quality words: Σ_k value_k·p_k (LIQE, arXiv 2303.14968).

    Args:
        quality_probabilities: rows that sum to 1, worst word first.
        values: what each word is worth; 1, 2, …, k when left out.

    Returns:
        Scores between the smallest and the largest value.
    """
    count = quality_probabilities.shape[-1]
    worth = torch.as_tensor(
        range(1, count + 1) if values is None else values,
        dtype=quality_probabilities.dtype,
        device=quality_probabilities.device,
    )
    return quality_probabilities @ worth
