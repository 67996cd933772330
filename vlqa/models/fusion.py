"""Two views of the same pixels in one row of features: a vision-language tower and a low-level encoder."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from vlqa import artifacts
from vlqa.errors import ConfigError
from vlqa.functional.similarity import unit
from vlqa.models.clip import build_backbone
from vlqa.models.clip_backbone import ClipBackbone
from vlqa.models.image_encoder import ImageEncoder, build_encoder
from vlqa.models.loading import WithoutStartValues, check_names
from vlqa.models.weights_digest import WeightsDigest


class FusionEncoder(nn.Module):
    """Features of both encoders side by side, [high | low], of any picture.

    As they are, which is GRepQ's row of 1024 | 128 (arXiv 2312.04838, §3.3), unless the options say otherwise: a norm
    of 10 beside one of 1 decides every distance and every ridge. With z = [high | low], the gate gives
    [2σ(w_h·z + b_h)·high | 2σ(w_l·z + b_l)·low] (as gated multimodal units do, Arevalo et al., arXiv 1702.01992,
    eq. 2, with a factor so that it starts at 1 and changes nothing until it is trained).

    Args:
        high: sees the picture, or the picture resized to the one size that it takes.
        low: sees the picture's own pixels.
        normalize: bring each view's features to unit length.
        gate: weigh the views by what both see.

    Attributes:
        embed_dim: width of a row.
        feature_slices: where each view's part lies in it.
        architecture: what `build_fusion` needs to build this again; JSON-able.
    """

    def __init__(self, high: ClipBackbone, low: ImageEncoder, *, normalize: bool = False, gate: bool = False) -> None:
        super().__init__()
        self.high = high
        self.low = low
        self.normalize = normalize
        self.embed_dim = high.embed_dim + low.embed_dim
        self.feature_slices = {"high": slice(0, high.embed_dim), "low": slice(high.embed_dim, self.embed_dim)}
        self.gate = nn.Linear(self.embed_dim, 2) if gate else None
        if self.gate is not None:
            nn.init.zeros_(self.gate.weight)
            nn.init.zeros_(self.gate.bias)
        self.architecture = {
            "high": high.architecture,
            "low": low.architecture,
            "normalize": normalize,
            "gate": gate,
        }
        self._digest_of_weights = WeightsDigest(self)

    def encode_image(self, images: Tensor) -> Float[Tensor, "n d"]:
        """Features of pictures, float32.

        Args:
            images: (n, 3, h, w), uint8 or float in [0, 1], sRGB.
        """
        return self.fuse(self.high.encode_image(self._seen_by_high(images)), self.low.encode_image(images))

    forward = encode_image

    def fuse(self, high: Float[Tensor, "n dh"], low: Float[Tensor, "n dl"]) -> Float[Tensor, "n d"]:
        """One row of both views' features."""
        views = [view.float() for view in (high, low)]
        if self.normalize:
            views = [unit(view) for view in views]
        if self.gate is None:
            return torch.cat(views, dim=1)
        weights = 2 * torch.sigmoid(self.gate(torch.cat(views, dim=1)))
        return torch.cat([view * weights[:, number, None] for number, view in enumerate(views)], dim=1)

    def cast(self, dtype: torch.dtype) -> FusionEncoder:
        """Set the precision of both encoders, in place; the gate stays in float32."""
        self.high.cast(dtype)
        self.low.cast(dtype)
        return self

    @property
    def digest(self) -> str:
        """Digest of the architecture and of all weights."""
        return artifacts.digest_json([self.architecture, self._digest_of_weights()])

    def _seen_by_high(self, images: Tensor) -> Tensor:
        size = self.high.image_size
        if not self.high.fixed_size or images.shape[-2:] == (size, size):
            return images
        pictures = images.float() / 255 if images.dtype == torch.uint8 else images
        return F.interpolate(pictures, (size, size), mode="bicubic", antialias=True).clamp(0, 1)


def build_fusion(architecture: Mapping[str, Any], weights: Mapping[str, Tensor] | None = None) -> FusionEncoder:
    """Build both encoders, in evaluation mode where weights are given.

    Args:
        architecture: `high` as `build_backbone` takes it, `low` as `build_encoder` does, `normalize` and `gate`.
        weights: under the names `high.*`, `low.*` and `gate.*`; None leaves start values.

    Raises:
        ConfigError: an unknown part or option.
        CheckpointError: weights that do not fit, named.
    """
    config = {"normalize": False, "gate": False} | dict(architecture)
    if set(config) != {"high", "low", "normalize", "gate"}:
        raise ConfigError(f"a fusion has high, low, normalize and gate; found {', '.join(map(str, architecture))}")
    with WithoutStartValues() if weights is not None else contextlib.nullcontext():
        high, low = build_backbone(config["high"]), build_encoder(config["low"])
        encoder = FusionEncoder(high, low, normalize=config["normalize"], gate=config["gate"])
    if weights is not None:
        check_names(weights, encoder.state_dict(), "this fusion")
        encoder.load_state_dict(dict(weights))
        encoder.eval()
    return encoder


def build_any_encoder(
    architecture: Mapping[str, Any], weights: Mapping[str, Tensor] | None = None
) -> ImageEncoder | FusionEncoder:
    """A fusion where the architecture has two views, else an encoder of one."""
    return build_fusion(architecture, weights) if "high" in architecture else build_encoder(architecture, weights)
