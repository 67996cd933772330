"""Builds CLIP-type backbones: any open_clip model, weights of any layout. The only file that imports open_clip."""

from __future__ import annotations

import contextlib
import copy
import functools
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from vlqa import artifacts
from vlqa.errors import ConfigError, VLQAError
from vlqa.models import clip_hub, clip_weights, transformers_clip
from vlqa.models.attention_pool import AttentionPool
from vlqa.models.clip_backbone import ClipBackbone
from vlqa.models.hub_tokenizer import HubTokenizer
from vlqa.models.loading import WithoutStartValues, check_names, find_state_dict

__all__ = ["ClipBackbone", "bpe_tokenizer", "build_backbone", "download_weights", "resolve_architecture"]

_HUB = "hf-hub:"

_PREPROCESSING: dict[str, Any] = {
    "mean": [0.48145466, 0.4578275, 0.40821073],
    "std": [0.26862954, 0.26130258, 0.27577711],
    "interpolation": "bicubic",
    "resize_mode": "shortest",
}
"""OpenAI's, which most open_clip models share."""


def build_backbone(
    architecture: str | Mapping[str, Any],
    *,
    weights: Mapping[str, Any] | None = None,
    attention_pool_position: bool | None = None,
    interpolate_position: bool = False,
    image_size: int | None = None,
    quick_gelu: bool | None = None,
    copy_weights: bool = True,
) -> ClipBackbone:
    """Build a backbone, in float32 and evaluation mode, on the CPU.

    Args:
        architecture: an open_clip model name ("ViT-B-32", "RN50", "hf-hub:owner/name"), a model of transformers
            ("transformers:owner/name", "transformers:FOLDER"), or open_clip's configuration as a dictionary;
            `backbone.architecture` is one. `vision_cfg` with `"kind": "quality"` gives vlqa's own image
            tower, `text_cfg` with `"vocabulary"` the tokenizer pruned to those byte-pair ids.
        weights: named tensors in open_clip's or OpenAI's names; None leaves the random start.
        attention_pool_position: False leaves the positional embedding out of a CLIP ResNet's attention pool (CLIP-IQA,
            GRepQ), and any image size may come; None takes what the architecture says, else True.
        interpolate_position: allow `image_size` to differ from the size of the weights (bicubic, antialiased).
        image_size: side of the images in pixels; None takes the architecture's.
        quick_gelu: the activation x·σ(1.702x); all weights of OpenAI need it, whatever the model name says, and tensors
            cannot tell. None takes what the architecture says, and True for OpenAI's own archives.
        copy_weights: False makes float32 tensors of `weights` the backbone's own, which saves their size in memory
            where nobody else needs them.

    Raises:
        ConfigError: no such architecture, or options that contradict each other.
        CheckpointError: weights that do not fit, or files that a configuration needs and that cannot be fetched.
    """
    config = resolve_architecture(architecture)
    vision = config["vision_cfg"]
    if quick_gelu is None and weights is not None and clip_weights.is_openai_archive(weights):
        quick_gelu = True
    if quick_gelu is not None:
        config["quick_gelu"] = quick_gelu
    if attention_pool_position is not None:
        config["attention_pool_position"] = attention_pool_position
    trained_size = vision.get("image_size", 224)
    if image_size is not None and image_size != trained_size:
        if weights is not None and not interpolate_position:
            raise ConfigError(f"the weights take {trained_size} px, not {image_size}: pass interpolate_position=True")
        vision["image_size"] = image_size
    with WithoutStartValues() if weights is not None else contextlib.nullcontext():
        visual, text, log_scale = _build_towers(config)
    fixed_size = _takes_one_size(visual)
    if hasattr(visual, "attnpool"):
        visual.attnpool = _attention_pool(
            visual.attnpool, config.get("attention_pool_position", True), interpolate_position
        )
        fixed_size = visual.attnpool.use_position and not interpolate_position
        visual.to(memory_format=torch.channels_last)
    elif config.get("attention_pool_position") is False:
        raise ConfigError(
            "attention_pool_position=False needs a ResNet of CLIP (RN50, RN101 …): no other tower has this pool"
        )
    backbone = ClipBackbone(
        visual,
        text,
        log_scale,
        _tokenizer(config["text_cfg"]),
        **config["preprocess_cfg"],
        image_size=vision.get("image_size", 224),
        fixed_size=fixed_size,
        smallest_size=32 if hasattr(visual, "attnpool") else 1,
        embed_dim=config["embed_dim"],
        context_length=config["text_cfg"].get("context_length", 77),
        architecture=config,
    )
    if weights is not None:
        _load(backbone, weights, interpolate_position, copy_weights)
    return backbone.eval()


def resolve_architecture(architecture: str | Mapping[str, Any]) -> dict[str, Any]:
    """open_clip's configuration of a model name, or a copy of a given one, with `preprocess_cfg` filled in.

    Raises:
        ConfigError: no such model name, or a dictionary without `embed_dim`, `vision_cfg` and `text_cfg`.
        CheckpointError: a configuration on the Hugging Face hub that cannot be fetched.
    """
    config = _named_architecture(architecture) if isinstance(architecture, str) else copy.deepcopy(dict(architecture))
    if "model_cfg" in config:  # open_clip_config.json
        config = {**config["model_cfg"], "preprocess_cfg": config.get("preprocess_cfg", {})}
    if lacking := [part for part in ("embed_dim", "vision_cfg", "text_cfg") if part not in config]:
        raise ConfigError(f"an architecture is open_clip's configuration; this one lacks {', '.join(lacking)}")
    for part in ("vision_cfg", "text_cfg"):
        if not isinstance(config[part], Mapping):
            raise ConfigError(f"an architecture's {part} holds names and values, not {config[part]!r}")
    given = config.get("preprocess_cfg", {})
    config["preprocess_cfg"] = {name: given.get(name, default) for name, default in _PREPROCESSING.items()}
    return config


def download_weights(architecture: str, tag: str | None = None) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Published weights of an open_clip model, from the Hugging Face cache or the hub.

    Args:
        architecture: an open_clip model name, "hf-hub:owner/name", "transformers:owner/name" or "transformers:FOLDER".
        tag: which weights ("openai", "laion2b_s34b_b79k", …); only a model name needs one.

    Returns:
        The architecture with the activation and the preprocessing of these weights, and the weights, for
        `build_backbone`.

    Raises:
        ConfigError: no such model or tag.
        CheckpointError: neither in the cache nor to be had; the message names the remedies.
    """
    import open_clip

    config = resolve_architecture(architecture)
    if architecture.startswith(transformers_clip.PREFIX):
        return config, transformers_clip.read_weights(architecture.removeprefix(transformers_clip.PREFIX))
    if architecture.startswith(_HUB):
        load = functools.partial(_download_from_hub, architecture.removeprefix(_HUB))
    else:
        published = open_clip.get_pretrained_cfg(architecture, tag or "")
        if not published:
            tags = ", ".join(open_clip.list_pretrained_tags_by_model(architecture)) or "none"
            raise ConfigError(f"{architecture} has no weights {tag!r}; published are: {tags}")
        config["quick_gelu"] = config.get("quick_gelu", False) or published.get("quick_gelu", False)
        config["preprocess_cfg"] |= {key: _plain(published[key]) for key in _PREPROCESSING if key in published}
        load = functools.partial(open_clip.download_pretrained, published)
    file = clip_hub.fetch(load, f"weights {architecture}{f' {tag}' if tag else ''}", ", or give a file with --weights")
    return config, find_state_dict(artifacts.read_checkpoint(file))


def _download_from_hub(repository: str, filename: str | None = None) -> str:
    import open_clip

    return open_clip.pretrained.download_pretrained_from_hf(repository, filename=filename)


def _named_architecture(name: str) -> dict[str, Any]:
    import open_clip

    if name.startswith(transformers_clip.PREFIX):
        return transformers_clip.read_architecture(name.removeprefix(transformers_clip.PREFIX))
    if name.startswith(_HUB):
        load = functools.partial(_download_from_hub, name.removeprefix(_HUB), filename="open_clip_config.json")
        return artifacts.read_json(clip_hub.fetch(load, f"architecture {name}"))
    config = open_clip.get_model_config(name)
    if config is None:
        raise ConfigError(
            f"{name!r} is no open_clip model; open_clip.list_models() names them all, ViT-B-32 and RN50 among them"
        )
    tags = [open_clip.get_pretrained_cfg(name, tag) for tag in open_clip.list_pretrained_tags_by_model(name)]
    shared = [{key: _plain(tag[key]) for key in _PREPROCESSING if key in tag} for tag in tags]
    if shared and all(other == shared[0] for other in shared):  # SigLIP and others have means of their own
        config["preprocess_cfg"] = shared[0]
    return config


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _build_towers(config: dict[str, Any]) -> tuple[nn.Module, nn.Module, nn.Parameter]:
    import open_clip

    if "transformers" in config:
        return transformers_clip.build_towers(config["transformers"])
    text_cfg = {name: value for name, value in config["text_cfg"].items() if name not in ("vocabulary", "untaught")}
    vision_cfg = dict(config["vision_cfg"])
    if "vocabulary" in config["text_cfg"]:
        text_cfg["vocab_size"] = _tokenizer(config["text_cfg"]).vocab_size
    own = vision_cfg.pop("kind", None)
    if own not in (None, "quality"):
        raise ConfigError(f"vision_cfg kind must be 'quality' or left out, not {own!r}")
    stand_in = {"image_size": 32, "patch_size": 32, "width": 64, "layers": 1}
    build = functools.partial(
        open_clip.CustomTextCLIP,  # also for plain and CoCa models: one set of names, whatever the model
        config["embed_dim"],
        stand_in if own else vision_cfg | {"output_tokens": False},
        text_cfg | {"output_tokens": False, "hf_model_pretrained": False},
        quick_gelu=config.get("quick_gelu", False),
    )
    try:
        model = clip_hub.fetch(build, f"text tower {name}") if (name := text_cfg.get("hf_model_name")) else build()
    except (TypeError, AssertionError, RuntimeError) as error:
        if isinstance(error, VLQAError):
            raise
        raise ConfigError(f"open_clip cannot build this architecture: {error}") from error
    if "timm_model_name" in vision_cfg and "image_size" in vision_cfg:
        model.visual.set_input_size(vision_cfg["image_size"])  # timm starts at the size of the model's name
    if own is None:
        return model.visual, model.text, model.logit_scale
    from vlqa.models.quality_encoder import QualityEncoder

    vision_cfg.pop("image_size", None)
    try:
        return QualityEncoder(embed_dim=config["embed_dim"], **vision_cfg), model.text, model.logit_scale
    except (TypeError, ValueError) as error:
        raise ConfigError(f"vision_cfg of kind quality: {error}") from None


def _attention_pool(pool: Any, use_position: bool, interpolate: bool) -> AttentionPool:
    return AttentionPool(
        pool.positional_embedding,
        pool.q_proj,
        pool.k_proj,
        pool.v_proj,
        pool.c_proj,
        num_heads=pool.num_heads,
        use_position=use_position,
        interpolate=interpolate,
    )


def _takes_one_size(visual: Any) -> bool:
    """Transformers with a positional embedding take one size; nets of convolutions take any."""
    if hasattr(visual, "fixed_size"):
        return bool(visual.fixed_size)
    return hasattr(visual, "positional_embedding") or hasattr(getattr(visual, "trunk", None), "patch_embed")


def _load(backbone: ClipBackbone, weights: Mapping[str, Any], interpolate: bool, copy_weights: bool) -> None:
    named = clip_weights.normalize_names(weights)
    expected = backbone.state_dict()
    if interpolate:
        clip_weights.interpolate_positions(named, expected)
    if "logit_scale" in named:
        named["logit_scale"] = named["logit_scale"].reshape(())  # some files store one row
    named |= {name: expected[name] for name in expected if name.endswith("num_batches_tracked") and name not in named}
    check_names(named, expected, "this architecture")
    if not copy_weights:
        named = {name: clip_weights.placed_like(tensor, expected[name]) for name, tensor in named.items()}
    backbone.load_state_dict(named, assign=not copy_weights)


def _tokenizer(text_cfg: Mapping[str, Any]) -> Any:
    length = text_cfg.get("context_length", 77)
    if "vocabulary" in text_cfg:
        from vlqa.models.vocabulary import PrunedTokenizer

        return PrunedTokenizer(text_cfg["vocabulary"], length, text_cfg.get("untaught", ()))
    options = text_cfg.get("tokenizer_kwargs") or {}
    if name := text_cfg.get("hf_tokenizer_name"):
        options = {"context_length": length, "tokenizer_mode": text_cfg.get("tokenizer_mode"), **options}
        return HubTokenizer(name, functools.partial(_read_tokenizer, **options))
    return functools.partial(bpe_tokenizer(**options), context_length=length)


def _read_tokenizer(source: str, **options: Any) -> Any:
    import open_clip

    return open_clip.tokenizer.HFTokenizer(source, **options)


@functools.cache
def bpe_tokenizer(clean: str = "lower") -> Any:
    """open_clip's byte-pair tokenizer (its vocabulary is a file of the package: no network)."""
    import open_clip

    return open_clip.SimpleTokenizer(clean=clean)
