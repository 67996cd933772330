"""CLIP weights by name: every published layout is brought to the names `ClipBackbone` loads. No open_clip here."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from vlqa.errors import CheckpointError
from vlqa.models.loading import find_state_dict

_TEXT_ROOTS = ("positional_embedding", "text_projection", "token_embedding.", "transformer.", "ln_final.", "cls_emb")
"""First words of the text tower's names where it is not under `text.`: OpenAI's files and open_clip's plain CLIP."""

_ARCHIVE_NAMES = ("input_resolution", "context_length", "vocab_size")
"""Numbers that OpenAI's archives store between the weights; no other publisher does."""

_UNUSED = (
    *_ARCHIVE_NAMES,
    "logit_bias",  # SigLIP's: the same for every text, so that no softmax or ranking over texts changes
    "text_decoder.",  # CoCa's captioner
    "text.transformer.embeddings.position_ids",  # a buffer that transformers ≥ 4.31 no longer stores
)

_CACHE_LINE = 64


def is_openai_archive(weights: Mapping[str, Any]) -> bool:
    """Whether the names carry the mark of OpenAI's own archives, whose activations are QuickGELU."""
    return all(any(name.endswith(mark) for name in weights) for mark in _ARCHIVE_NAMES)


def normalize_names(weights: Mapping[str, Any]) -> dict[str, Tensor]:
    """Bring open_clip's or OpenAI's names to `visual.*`, `text.*`, `logit_scale`.

    A `module.` prefix (data-parallel training) goes, what no backbone uses is left out. Half precision stays: it turns
    into float32 when it is copied into the model, without a second copy in memory.

    Args:
        weights: named tensors, or a checkpoint that `find_state_dict` understands.

    Raises:
        CheckpointError: no tensors inside.
    """
    result = {}
    for name, tensor in find_state_dict(weights).items():
        name = name.removeprefix("module.")
        if name.startswith(_TEXT_ROOTS):
            name = f"text.{name}"
        if name.startswith(_UNUSED):
            continue
        result[name] = tensor
    return result


def architecture_of_openai(weights: Mapping[str, Any]) -> dict[str, Any]:
    """open_clip's configuration of an OpenAI CLIP, read from its tensors.

    Args:
        weights: OpenAI's names (`visual.conv1.weight`, `transformer.resblocks.0…`), with or without `text.`.

    Returns:
        `embed_dim`, `quick_gelu` (true: all of OpenAI's), `vision_cfg`, `text_cfg`.

    Raises:
        CheckpointError: these are not the tensors of an OpenAI CLIP.
    """
    named = normalize_names(weights)
    try:
        width = named["text.ln_final.weight"].shape[0]
        return {
            "embed_dim": named["text.text_projection"].shape[1],
            "quick_gelu": True,
            "vision_cfg": _openai_transformer(named) if "visual.proj" in named else _openai_resnet(named),
            "text_cfg": {
                "context_length": named["text.positional_embedding"].shape[0],
                "vocab_size": named["text.token_embedding.weight"].shape[0],
                "width": width,
                "heads": width // 64,
                "layers": _count(named, "text.transformer.resblocks."),
            },
        }
    except KeyError as error:
        raise CheckpointError(f"not the weights of an OpenAI CLIP: {error.args[0]} is missing") from None
    except (IndexError, ZeroDivisionError, ValueError):
        raise CheckpointError("not the weights of an OpenAI CLIP: a tensor has a shape that none has") from None


def _openai_transformer(named: Mapping[str, Tensor]) -> dict[str, Any]:
    kernel = named["visual.conv1.weight"]
    grid = round((named["visual.positional_embedding"].shape[0] - 1) ** 0.5)
    return {
        "image_size": grid * kernel.shape[-1],
        "layers": _count(named, "visual.transformer.resblocks."),
        "width": kernel.shape[0],
        "patch_size": kernel.shape[-1],
    }


def _openai_resnet(named: Mapping[str, Tensor]) -> dict[str, Any]:
    grid = round((named["visual.attnpool.positional_embedding"].shape[0] - 1) ** 0.5)
    return {
        "image_size": grid * 32,
        "layers": [_count(named, f"visual.layer{stage}.") for stage in (1, 2, 3, 4)],
        "width": named["visual.layer1.0.conv1.weight"].shape[0],
    }


def _count(names: Iterable[str], prefix: str) -> int:
    return len({name.removeprefix(prefix).split(".")[0] for name in names if name.startswith(prefix)})


def interpolate_positions(weights: dict[str, Tensor], expected: Mapping[str, Tensor]) -> None:
    """Resample, in place, the image tower's positional embedding to the square grid of the built model."""
    for name in ("visual.positional_embedding", "visual.attnpool.positional_embedding"):
        if name in weights and name in expected:
            side = round((len(expected[name]) - 1) ** 0.5)
            weights[name] = interpolate_position(weights[name], (side, side))
    name = "visual.trunk.pos_embed"  # of timm; (1, cells, d), or with one row more for the class
    if name in weights and name in expected and weights[name].ndim == 3:
        cells, first = _grid_and_first(expected[name].shape[1])
        weights[name] = interpolate_position(weights[name][0], (cells, cells), first)[None]


def _grid_and_first(rows: int) -> tuple[int, int]:
    side = math.isqrt(rows)
    return side, rows - side * side


def interpolate_position(embedding: Tensor, grid: tuple[int, int], first_rows: int = 1) -> Tensor:
    """Resample a positional embedding to another grid, bicubic and antialiased as open_clip does.

    Args:
        embedding: (first_rows + s², d): rows for the class or mean token, then a square grid row by row.
        grid: rows and columns wanted.
        first_rows: rows that stay as they are.

    Returns:
        (first_rows + rows · columns, d)
    """
    first, cells = embedding[:first_rows], embedding[first_rows:]
    side = round(len(cells) ** 0.5)
    if (side, side) == grid:
        return embedding
    picture = cells.float().T.reshape(1, -1, side, side)
    picture = F.interpolate(picture, size=grid, mode="bicubic", antialias=True, align_corners=False)
    return torch.cat([first, picture.flatten(2)[0].T.to(first.dtype)])


def placed_like(tensor: Tensor, built: Tensor) -> Tensor:
    """A tensor in float32 as the one whose place it takes lies in memory: speed and rounding depend on it.

    Kernels sum in another order where the layout is another, or where a file's tensor starts between cache lines.
    """
    if not tensor.is_floating_point():
        return tensor
    layout = torch.contiguous_format if built.is_contiguous() else torch.channels_last
    placed = tensor.float().contiguous(memory_format=layout)
    return placed if placed.data_ptr() % _CACHE_LINE == 0 else placed.clone()
