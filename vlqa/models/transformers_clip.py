"""CLIP-type models of transformers (CLIP, SigLIP and their kin) as towers of a `ClipBackbone`."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import huggingface_hub
from jaxtyping import Float, Int
from torch import Tensor, nn

from vlqa import artifacts
from vlqa.errors import CheckpointError, ConfigError
from vlqa.models import clip_hub
from vlqa.models.loading import find_state_dict

PREFIX = "transformers:"
"""In front of a hub repository or a folder, where `build_backbone` takes a name."""

_WEIGHTS = ("model.safetensors", "pytorch_model.bin")
_BPE_VOCABULARY = 49408
_TOWERS = ("vision_config", "text_config")


class ImageTower(nn.Module):
    """The image half: pooled output, projected where the model has a projection."""

    fixed_size = True

    def __init__(self, vision_model: nn.Module, projection: nn.Module | None) -> None:
        super().__init__()
        self.vision_model = vision_model
        self.visual_projection = projection

    def forward(self, images: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "n d"]:
        """Features of normalised pictures, not unit length."""
        pooled: Tensor = self.vision_model(pixel_values=images).pooler_output
        return pooled if self.visual_projection is None else self.visual_projection(pooled)


class TextTower(nn.Module):
    """The text half: pooled output, projected where the model has a projection."""

    def __init__(self, text_model: nn.Module, projection: nn.Module | None) -> None:
        super().__init__()
        self.text_model = text_model
        self.text_projection = projection

    def forward(self, tokens: Int[Tensor, "k length"]) -> Float[Tensor, "k d"]:
        """Features of tokens, not unit length."""
        pooled: Tensor = self.text_model(input_ids=tokens).pooler_output
        return pooled if self.text_projection is None else self.text_projection(pooled)


def read_architecture(name: str) -> dict[str, Any]:
    """Configuration for `build_backbone` of a model in transformers' format.

    Args:
        name: a folder that `save_pretrained` wrote, or a repository of the Hugging Face hub.

    Raises:
        CheckpointError: neither a folder nor to be had from the hub.
        ConfigError: not a model with an image and a text tower.
    """
    config = artifacts.read_json(_file(name, "config.json"))
    complete = _config_of(config, name) if all(isinstance(config.get(part), dict) for part in _TOWERS) else None
    image: Any = getattr(complete, "vision_config", None)
    text: Any = getattr(complete, "text_config", None)
    if not hasattr(image, "image_size") or not hasattr(text, "max_position_embeddings"):
        raise ConfigError(f"{name}: transformers' {config.get('model_type')!r} has no image and text tower like CLIP's")
    processing = _preprocessing(name)
    text_cfg: dict[str, Any] = {"context_length": text.max_position_embeddings}
    if config["model_type"] != "clip" or text.vocab_size != _BPE_VOCABULARY:
        folder = Path(name).expanduser()  # in full: a saved model finds it from any other place
        text_cfg["hf_tokenizer_name"] = str(folder.resolve()) if folder.is_dir() else name
    return {
        "embed_dim": getattr(complete, "projection_dim", None) or image.hidden_size,
        "transformers": config,
        "vision_cfg": {"image_size": image.image_size},
        "text_cfg": text_cfg,
        "preprocess_cfg": {
            "mean": processing["image_mean"],
            "std": processing["image_std"],
            "interpolation": "bilinear" if processing.get("resample", 3) == 2 else "bicubic",  # Pillow's numbers
            "resize_mode": "shortest" if processing.get("do_center_crop") else "squash",
        },
    }


def read_weights(name: str) -> dict[str, Tensor]:
    """Weights of a model in transformers' format, under the names of a `ClipBackbone`.

    Raises:
        CheckpointError: neither a folder nor to be had from the hub, or no weights in it.
    """
    for number, file in enumerate(_WEIGHTS, start=1):
        try:
            found = _file(name, file)
        except CheckpointError:
            if number == len(_WEIGHTS):
                raise
            continue
        return dict(_renamed(find_state_dict(artifacts.read_checkpoint(found))))
    raise AssertionError("unreachable: the last file that is missing raises")


def build_towers(config: Mapping[str, Any]) -> tuple[nn.Module, nn.Module, nn.Parameter]:
    """Image tower, text tower and logarithm of the inverse temperature, with random weights.

    Raises:
        ConfigError: a model without the two towers.
    """
    import transformers

    with _quiet(transformers):
        model: Any = transformers.AutoModel.from_config(_config_of(config, "this architecture"))  # type: ignore[no-untyped-call]
    if not all(hasattr(model, part) for part in ("vision_model", "text_model", "logit_scale")):
        raise ConfigError(f"transformers' {type(model).__name__} has no vision_model, text_model and logit_scale")
    visual = ImageTower(model.vision_model, getattr(model, "visual_projection", None))
    text = TextTower(model.text_model, getattr(model, "text_projection", None))
    return visual, text, nn.Parameter(model.logit_scale.detach().clone().reshape(()))


def _config_of(config: Mapping[str, Any], what: str) -> Any:
    import transformers

    kind = str(config.get("model_type"))
    with _quiet(transformers):
        try:
            return transformers.CONFIG_MAPPING[kind].from_dict(dict(config))
        except KeyError:
            raise ConfigError(f"{what}: this transformers has no model type {kind!r}; update it") from None
        except Exception as error:  # its checks raise classes of several libraries
            reason = " ".join(str(error).split())
            raise ConfigError(f"{what}: transformers refuses the configuration ({reason}); copy it again") from None


def _preprocessing(name: str) -> dict[str, Any]:
    """How a model's pictures are prepared, with a mean and a deviation of each channel."""
    file = _file(name, "preprocessor_config.json")
    processing = artifacts.read_json(file)
    for part in ("image_mean", "image_std"):
        values: Any = processing.get(part)
        numbers = isinstance(values, list) and all(isinstance(value, int | float) for value in values)
        if not numbers or len(values) != 3 or (part == "image_std" and min(values) <= 0):
            raise CheckpointError(f"{file}: {part} must be three numbers, a deviation above 0, found {values!r}")
    return processing


def _renamed(weights: Mapping[str, Tensor]) -> Iterator[tuple[str, Tensor]]:
    for name, tensor in weights.items():
        if name.endswith("position_ids"):  # a buffer that transformers no longer stores
            continue
        if name.startswith(("vision_model.", "visual_projection.")):
            yield f"visual.{name}", tensor
        elif name.startswith(("text_model.", "text_projection.")):
            yield f"text.{name}", tensor
        else:
            yield name, tensor


def _file(name: str, file: str) -> Path:
    folder = Path(name).expanduser()
    if folder.is_dir():
        if not (folder / file).is_file():
            raise CheckpointError(f"{folder}: no model in transformers' format: {file} is missing")
        return folder / file
    fetch: Callable[[], str] = lambda: huggingface_hub.hf_hub_download(name, file)  # noqa: E731
    return Path(clip_hub.fetch(fetch, f"{file} of {name}", ", or give a folder that save_pretrained wrote"))


@contextlib.contextmanager
def _quiet(transformers: Any) -> Iterator[None]:
    """Without advice on tokens that a tower of pictures never sees."""
    before = transformers.logging.get_verbosity()
    transformers.logging.set_verbosity_error()
    try:
        yield
    finally:
        transformers.logging.set_verbosity(before)
