"""Named tensors on their way into a module: where they lie in a file, and whether they fit."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from torch import Tensor
from torch.overrides import TorchFunctionMode

from vlqa.errors import CheckpointError

_INITIALIZERS = ("torch.nn.init", "transformers.initialization")  # the second takes the place of the first's functions
_NESTS = ("state_dict", "model_state_dict", "params", "model")


def find_state_dict(checkpoint: Mapping[str, Any]) -> dict[str, Tensor]:
    """The named tensors of a checkpoint: its own, or those under `state_dict`, `model_state_dict`, `params`, `model`.

    Raises:
        CheckpointError: no tensors in any of these places.
    """
    for candidate in (checkpoint, *(checkpoint[nest] for nest in _NESTS if nest in checkpoint)):
        if isinstance(candidate, Mapping):
            tensors = {name: value for name, value in candidate.items() if isinstance(value, Tensor)}
            if tensors:
                return tensors
    found = ", ".join(list(checkpoint)[:4]) or "nothing"
    raise CheckpointError(f"expected named tensors, or a dictionary of them under {', '.join(_NESTS)}; found {found}")


def check_names(weights: Mapping[str, Tensor], expected: Mapping[str, Tensor], what: str) -> None:
    """Refuse weights that do not fit, in one line.

    Args:
        weights: the normalised weights.
        expected: the state dict of the built model.
        what: how to call the architecture in the message.

    Raises:
        CheckpointError: names missing, names left over, or other shapes.
    """
    problems = []
    if missing := expected.keys() - weights.keys():
        problems.append(f"lack {_few(missing)}")
    if unexpected := weights.keys() - expected.keys():
        problems.append(f"have unknown {_few(unexpected)}")
    misshaped = [
        f"{name} {tuple(weights[name].shape)} instead of {tuple(expected[name].shape)}"
        for name in expected
        if name in weights and weights[name].shape != expected[name].shape
    ]
    if misshaped:
        problems.append(f"have {_few(misshaped)}")
    if problems:
        raise CheckpointError(
            f"weights do not fit {what}: they {'; '.join(problems)}; name the architecture they were trained with"
        )


def _few(names: Iterable[str], shown: int = 3) -> str:
    ordered = sorted(names)
    more = f" and {len(ordered) - shown} more" if len(ordered) > shown else ""
    return ", ".join(ordered[:shown]) + more


class WithoutStartValues(TorchFunctionMode):
    """Skips most of the random start, half of the time that loading a ViT-B/32 takes: weights replace it all."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if getattr(func, "__module__", None) in _INITIALIZERS:
            return kwargs["tensor"] if "tensor" in kwargs else args[0]
        return func(*args, **kwargs)
