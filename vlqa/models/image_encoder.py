"""An image encoder without a text tower: a trunk, and a head where the method's features come from one."""

from __future__ import annotations

import contextlib
import copy
import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from vlqa import artifacts
from vlqa.errors import ConfigError, did_you_mean
from vlqa.models.loading import WithoutStartValues, check_names
from vlqa.models.moments import Moments
from vlqa.models.pixels import normalize
from vlqa.models.quality_encoder import QualityTrunk
from vlqa.models.tiles import spans
from vlqa.models.trunk import ResNetTrunk, TimmTrunk, Trunk
from vlqa.models.weights_digest import WeightsDigest

WHOLE_PIXELS = 6 * 2**20
"""A larger picture is encoded in tiles, with the same result: its activations would take gigabytes in a ResNet."""

INEXACT_PIXELS = 12 * 2**20
"""The same for trunks whose tiles are other pictures, because each activation sees everything."""

_TILE = 2048
_COARSEST = 32

_STATISTICS: dict[str | None, tuple[tuple[float, float, float], tuple[float, float, float]]] = {
    None: ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
    "imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "clip": ((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)),
}
"""Mean and deviation of the channels that a network expects; None leaves [0, 1] as it is."""

TRUNKS: dict[str, Callable[..., Trunk]] = {
    "resnet18": lambda: ResNetTrunk("resnet18"),
    "resnet34": lambda: ResNetTrunk("resnet34"),
    "resnet50": lambda: ResNetTrunk("resnet50"),
    "quality": QualityTrunk,
    "timm": TimmTrunk,
}


class ImageEncoder(nn.Module):
    """Pictures of any size to features: pooled activations of a trunk, and a perceptron behind them where there is one.

    Its state dict has the names `trunk.*` and `head.*`.

    Args:
        trunk: normalised pictures to pooled features.
        head: widths of the perceptron's layers, with ReLU between them; empty for none.
        statistics: "imagenet" or "clip", or None for values in [0, 1] as they are.
        architecture: what `build_encoder` needs to build this again; JSON-able.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self, trunk: Trunk, head: Sequence[int], statistics: str | None, architecture: Mapping[str, Any]
    ) -> None:
        super().__init__()
        self.trunk = trunk
        self.head = perceptron([trunk.width, *head])
        self.embed_dim = head[-1] if head else trunk.width
        self.architecture = dict(architecture)
        mean, std = _STATISTICS[statistics]
        self.register_buffer("mean", torch.tensor(mean).view(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(3, 1, 1), persistent=False)
        self._digest_of_weights = WeightsDigest(self)
        self.to(memory_format=torch.channels_last)

    def encode_image(self, images: Tensor) -> Float[Tensor, "n d"]:
        """Features of pictures, not unit length, float32.

        A picture of more than 6 megapixels is encoded in tiles that overlap by more than an activation sees, so that
        only the order of summation differs (largest relative difference measured: 4e-6 on ResNets and on the small
        trunk). 48 megapixels then take 2 to 3 GB. Transformers and nets with global gates see each tile for itself,
        which is another picture (5 % on MobileNetV3): for them tiles begin above 12 megapixels.

        Args:
            images: (n, 3, h, w), uint8 or float in [0, 1], sRGB; normalised here.
        """
        height, width = images.shape[-2:]
        most = INEXACT_PIXELS if self.trunk.reach is None else WHOLE_PIXELS
        pooled = self.trunk.pooled(self.normalized(images)) if height * width <= most else self._tiled(images)
        return self._headed(pooled)

    forward = encode_image

    def encode_cells(self, images: Tensor, cells: int) -> Float[Tensor, "n cells2 d"]:
        """Features of cells × cells parts of each picture, in raster order."""
        return self._headed(self.trunk.pooled_cells(self.normalized(images), cells))

    def cast(self, dtype: torch.dtype) -> ImageEncoder:
        """Set the precision of the weights, in place; pooling stays in float32."""
        self.to(dtype)
        return self

    @property
    def digest(self) -> str:
        """Digest of the architecture and of all weights."""
        runtime = self.trunk.exported
        rounded = [] if runtime is None or runtime.precision == "fp32" else [runtime.precision]
        return artifacts.digest_json([self.architecture, self._digest_of_weights(), *rounded])

    def normalized(self, images: Tensor) -> Tensor:
        """Pictures, uint8 or float in [0, 1], as the trunk takes them."""
        pictures = normalize(images, self.mean, self.std, next(self.trunk.parameters()))
        return pictures.contiguous(memory_format=torch.channels_last)

    def _headed(self, pooled: Tensor) -> Tensor:
        layers = list(self.head.parameters())
        return self.head(pooled.to(layers[0].dtype)).float() if layers else pooled

    def _tiled(self, images: Tensor) -> Tensor:
        height, width = images.shape[-2:]
        halo = 256 if self.trunk.reach is None else -(-self.trunk.reach // _COARSEST) * _COARSEST
        totals: list[Moments] = []
        for rows in spans(height, _TILE, halo):
            for columns in spans(width, _TILE, halo):
                tile = self.normalized(images[:, :, rows.seen, columns.seen])
                stages = self.trunk.activations(tile)
                if self.trunk.reach is None:
                    found = [Moments.of(stage) for stage in stages]
                else:
                    strides = zip(stages, self.trunk.strides, strict=True)
                    found = [
                        Moments.of(stage[:, :, rows.counted(stride), columns.counted(stride)])
                        for stage, stride in strides
                    ]
                totals = [a.joined(b) for a, b in zip(totals, found, strict=True)] if totals else found
        return self.trunk.read(totals)


def perceptron(widths: Sequence[int]) -> nn.Sequential:
    """Linear layers between the widths, with ReLU between them; the identity for a single width."""
    layers: list[nn.Module] = []
    for width_in, width_out in itertools.pairwise(widths):
        layers += [nn.Linear(width_in, width_out), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def build_encoder(architecture: Mapping[str, Any], weights: Mapping[str, Tensor] | None = None) -> ImageEncoder:
    """Build an encoder, in evaluation mode where weights are given.

    Args:
        architecture: `trunk`: {"kind": one of `TRUNKS`, and its options: `name` for timm; `widths`, `blocks` for
            quality}; `head`: widths, default none; `statistics`: "imagenet", "clip" or None, the default.
        weights: under the names `trunk.*` and `head.*`; None leaves start values.

    Raises:
        ConfigError: an unknown trunk or option.
        CheckpointError: weights that do not fit, named.
    """
    config = copy.deepcopy(dict(architecture))
    trunk = dict(config.pop("trunk", {}))
    kind = trunk.pop("kind", None)
    head, statistics = config.pop("head", ()), config.pop("statistics", None)
    if kind not in TRUNKS:
        raise ConfigError(
            f"trunk.kind must be one of {', '.join(TRUNKS)}, not {kind!r}{did_you_mean(str(kind), TRUNKS)}"
        )
    if config:
        raise ConfigError(f"an encoder has no option {next(iter(config))!r}; it has trunk, head, statistics")
    if statistics not in _STATISTICS:
        raise ConfigError(f"statistics must be 'imagenet', 'clip' or null, not {statistics!r}")
    with WithoutStartValues() if weights is not None else contextlib.nullcontext():
        try:
            built = TRUNKS[kind](**trunk)
        except (TypeError, ValueError) as error:
            raise ConfigError(f"trunk {kind}: {error}") from None
        encoder = ImageEncoder(built, list(head), statistics, architecture)
    if weights is not None:
        expected = encoder.state_dict()
        check_names(weights, expected, "this encoder")
        encoder.load_state_dict(dict(weights))
        encoder.eval()
    return encoder
