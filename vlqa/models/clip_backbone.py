"""The CLIP-type backbone: an image tower, a text tower, and what belongs to feeding them. No open_clip here."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Float, Int
from PIL import Image
from torch import Tensor, nn

from vlqa import artifacts
from vlqa.errors import ConfigError, TextWarning
from vlqa.models import text_cache
from vlqa.models.folding import forward_clip_resnet
from vlqa.models.image_tower import forward_class_token
from vlqa.models.pixels import normalize
from vlqa.models.text_tower import forward_trimmed
from vlqa.models.weights_digest import WeightsDigest
from vlqa.types import Pixels

if TYPE_CHECKING:
    from vlqa.models.exported import ExportedTower
    from vlqa.models.lora import Adapters

_TEXTS_AT_ONCE = 64
"""Texts a chunk: 495 prompts on ViT-B/32 then need little memory beyond the weights; larger chunks were not faster."""

_SETS_IN_MEMORY = 32
"""Lists of texts whose features stay in memory."""


class ClipBackbone(nn.Module):
    """An image tower and a text tower with one embedding, and all that belongs to feeding them.

    Its state dict has open_clip's names: `visual.*`, `text.*`, `logit_scale`. `.to(device)` moves it; `cast(dtype)`
    sets the precision of the image tower: text features, which are computed once, and the scale stay in float32.

    Args:
        visual: normalised pictures (n, 3, h, w) to features (n, d).
        text: tokens (k, context_length) to features (k, d).
        log_scale: logarithm of the inverse temperature, a scalar parameter.
        tokenizer: texts to tokens; called when texts come.
        mean: of the three channels, in [0, 1].
        std: of the three channels.
        image_size: side of the pictures the towers were trained on.
        fixed_size: whether the image tower takes no other size.
        smallest_size: the shortest side the image tower can take where it takes any.
        embed_dim: width of the embedding.
        context_length: tokens a text.
        architecture: what `build_backbone` needs to build this again; JSON-able.
        interpolation: of `resize`, "bicubic" or "bilinear".
        resize_mode: of `resize`, "shortest" (shorter side, then the centre) or "squash" (both sides).

    Attributes:
        adapters: low-rank adapters on the towers; None where there are none.
        merges: how often an adapter was added to the weights.
        exported: what runs in place of the image tower; see `models.exported`.
    """

    exported: ExportedTower | None = None

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        visual: nn.Module,
        text: nn.Module,
        log_scale: nn.Parameter,
        tokenizer: Callable[[list[str]], Tensor],
        *,
        mean: Sequence[float],
        std: Sequence[float],
        image_size: int,
        fixed_size: bool,
        smallest_size: int = 1,
        embed_dim: int,
        context_length: int,
        architecture: dict[str, Any],
        interpolation: str = "bicubic",
        resize_mode: str = "shortest",
    ) -> None:
        super().__init__()
        self.visual = visual
        self.text = text
        self.log_scale = log_scale
        self.tokenizer = tokenizer
        self.register_buffer("mean", torch.tensor(mean).view(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(3, 1, 1), persistent=False)
        self.image_size = image_size
        self.fixed_size = fixed_size
        self.smallest_size = smallest_size
        self.embed_dim = embed_dim
        self.context_length = context_length
        self.architecture = architecture
        self.interpolation = interpolation
        self.resize_mode = resize_mode
        self.adapters: Adapters | None = None
        self.merges = 0
        self._texts: dict[str, Tensor] = {}
        self._tokens: dict[tuple[str, ...], Tensor] = {}
        self._digest_of_weights = WeightsDigest(self)
        self.register_state_dict_post_hook(_publish_logit_scale)  # type: ignore[no-untyped-call]
        self.register_load_state_dict_pre_hook(_take_logit_scale)  # type: ignore[no-untyped-call]

    @property
    def logit_scale(self) -> float:
        """Inverse temperature of the cosines: 100 for OpenAI's models. Train `log_scale`, its logarithm."""
        return float(self.log_scale.detach().exp())

    def cast(self, dtype: torch.dtype) -> ClipBackbone:
        """Set the precision of the image tower, in place; the text tower and the scale stay as they are."""
        self.visual.to(dtype)
        return self

    def encode_image(self, images: Tensor) -> Float[Tensor, "n d"]:
        """Features of pictures, not unit length, in the precision of the image tower.

        Args:
            images: (n, 3, h, w), uint8 or float in [0, 1], sRGB; normalised here, in float32.

        Raises:
            ConfigError: a size that the image tower does not take.
        """
        height, width = images.shape[-2:]
        if self.fixed_size and (height, width) != (self.image_size, self.image_size):
            raise ConfigError(
                f"this backbone takes {self.image_size}×{self.image_size} images, not {height}×{width}; "
                "resize them, or build it with image_size=… and interpolate_position=True"
            )
        if min(height, width) < self.smallest_size:
            raise ConfigError(f"this backbone takes images of {self.smallest_size} px and more, not {height}×{width}")
        if getattr(self.visual, "counts_pixels", False):
            return self.visual(self.normalized(images), images)
        pictures = self.normalized(images)
        if self.exported is not None and not torch.is_grad_enabled():
            return self.exported(pictures)
        if self.convolves:
            return forward_clip_resnet(self.visual, pictures)
        return forward_class_token(self.visual, pictures)

    def normalized(self, images: Tensor) -> Tensor:
        """Pictures, uint8 or float in [0, 1], as the image tower takes them."""
        pictures = normalize(images, self.mean, self.std, next(self.visual.parameters()))
        return pictures.contiguous(memory_format=torch.channels_last) if self.convolves else pictures

    @property
    def convolves(self) -> bool:
        """Whether the image tower is one of CLIP's ResNets, faster with channels last."""
        return hasattr(self.visual, "attnpool")

    def resize(self, image: Pixels) -> Pixels:
        """A whole picture at `image_size`×`image_size`, as the towers were trained: 8-bit, by Pillow, antialiased."""
        size = self.image_size
        picture = Image.fromarray(image)
        resample = getattr(Image.Resampling, self.interpolation.upper())
        if self.resize_mode == "squash":
            return np.asarray(picture.resize((size, size), resample))
        short = min(picture.size)
        width, height = (int(size * side / short) for side in picture.size)  # rounds down as torchvision's Resize does
        left, top = round((width - size) / 2), round((height - size) / 2)
        resized = picture.resize((width, height), resample)
        return np.asarray(resized.crop((left, top, left + size, top + size)))

    def encode_tokens(self, tokens: Int[Tensor, "k length"]) -> Float[Tensor, "k d"]:
        """Features of tokenised texts, not unit length, with gradient, never from a cache."""
        return forward_trimmed(self.text, tokens.to(next(self.text.parameters()).device))

    def encode_text(self, texts: Sequence[str]) -> Float[Tensor, "k d"]:
        """Unit-length features of texts, float32, in chunks; from memory or disk where they were computed before.

        Computed without autocast and outside training mode, so that one entry of the cache serves every precision of
        the image tower. Not cached under an adapter of peft, whose scale no weight shows.
        """
        texts = [texts] if isinstance(texts, str) else list(texts)
        device = next(self.text.parameters()).device
        if not texts:
            return torch.zeros(0, self.embed_dim, device=device)
        tokens = self._tokenized(texts)
        if any(type(module).__module__.startswith("peft") for module in self.text.modules()):
            return self._compute_text(tokens).to(device)
        key = text_cache.key(self.text_digest, tokens)
        if key not in self._texts:
            self._warn_of_what_is_not_read(texts, tokens)
            features = text_cache.read(key)
            if features is None:
                features = self._compute_text(tokens)
                text_cache.write(key, features)
            while len(self._texts) >= _SETS_IN_MEMORY:
                self._texts.pop(next(iter(self._texts)))
            self._texts[key] = features
        return self._texts[key].to(device, copy=True)

    def _tokenized(self, texts: list[str]) -> Tensor:
        """Tokens of texts, split once: 495 sentences take longer than a small tower does for a picture."""
        key = tuple(texts)
        if key not in self._tokens:
            while len(self._tokens) >= _SETS_IN_MEMORY:
                self._tokens.pop(next(iter(self._tokens)))
            self._tokens[key] = self.tokenizer(texts)
        return self._tokens[key]

    def _warn_of_what_is_not_read(self, texts: list[str], tokens: Tensor) -> None:
        if unknown_words := getattr(self.tokenizer, "unknown_words", None):
            unknown = unknown_words(texts)
            if unknown:
                words = ", ".join(repr(word) for word in unknown[:5]) + (", …" if len(unknown) > 5 else "")
                warnings.warn(
                    f"this model was never taught {words}: it reads no meaning there", TextWarning, stacklevel=2
                )
        # a row without padding at its end is full, and the tokenizers of this field cut in silence
        full = [text for text, row in zip(texts, tokens, strict=True) if row[-1] == row.max()]
        if full:
            message = f"this model reads {self.context_length} tokens; an end beyond them is cut: {full[0][:40]!r}…"
            warnings.warn(message, TextWarning, stacklevel=2)

    def _compute_text(self, tokens: Tensor) -> Tensor:
        training = self.text.training
        self.text.eval()
        try:
            device = next(self.text.parameters()).device
            with torch.inference_mode(), torch.autocast(device.type, enabled=False):
                chunks = [self.encode_tokens(chunk).float().cpu() for chunk in torch.split(tokens, _TEXTS_AT_ONCE)]
                features = nn.functional.normalize(torch.cat(chunks), dim=-1)
        finally:
            self.text.train(training)
        return (
            features.clone()
        )  # outside inference mode: an ordinary tensor, which later maths may differentiate through

    @property
    def text_digest(self) -> str:
        """Digest of all that decides text features: the tower's weights and the settings they do not show."""
        settings = {name: self.architecture.get(name) for name in ("embed_dim", "quick_gelu", "text_cfg")}
        return artifacts.digest_json([settings, self._digest_of_weights("text.")])

    @property
    def digest(self) -> str:
        """Digest of the architecture and of all weights, and of the adapter that is in use."""
        parts: list[Any] = [self.architecture, self._digest_of_weights()]
        if self.adapters is not None and self.adapters.names:
            parts.append(self.adapters.active)
        runtime = self.exported or getattr(self.visual, "exported", None)
        if runtime is not None and runtime.precision != "fp32":
            parts.append(runtime.precision)
        return artifacts.digest_json(parts)


def _publish_logit_scale(module: nn.Module, state: dict[str, Any], prefix: str, _: Any) -> None:
    # open_clip calls the logarithm `logit_scale`; here that word is the scale itself, as in the papers.
    if f"{prefix}log_scale" in state:
        state[f"{prefix}logit_scale"] = state.pop(f"{prefix}log_scale")


def _take_logit_scale(module: nn.Module, state: dict[str, Any], prefix: str, *_: Any) -> None:
    if f"{prefix}logit_scale" in state:
        state[f"{prefix}log_scale"] = state.pop(f"{prefix}logit_scale")
