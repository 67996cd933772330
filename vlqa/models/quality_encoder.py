"""The small image tower of the bundled default: a residual net whose every stage is heard, at any input size."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from vlqa.functional.pixel_statistics import WIDTH as PIXEL_STATISTICS
from vlqa.functional.pixel_statistics import pixel_statistics
from vlqa.models.folding import normed
from vlqa.models.trunk import Trunk


class ResidualBlock(nn.Module):
    """Two 3×3 convolutions with batch norm and a shortcut (He et al., arXiv 1512.03385, fig. 2)."""

    def __init__(self, width_in: int, width_out: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width_in, width_out, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width_out)
        self.conv2 = nn.Conv2d(width_out, width_out, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width_out)
        self.relu = nn.ReLU(inplace=True)
        self.shortcut = nn.Sequential()
        if stride != 1 or width_in != width_out:
            self.shortcut = nn.Sequential(
                nn.AvgPool2d(stride, ceil_mode=True, count_include_pad=False) if stride != 1 else nn.Identity(),
                nn.Conv2d(width_in, width_out, 1, bias=False),
                nn.BatchNorm2d(width_out),
            )

    def forward(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c2 h2 w2"]:
        """Map activations to activations; stride s gives ceil(h/s)×ceil(w/s)."""
        inner = self.relu(normed(self.conv1, self.bn1, x))
        residual = normed(self.conv2, self.bn2, inner)
        if len(self.shortcut):
            pool, conv, norm = self.shortcut
            x = normed(conv, norm, pool(x))
        residual += x
        return self.relu(residual)


class QualityTrunk(Trunk):
    """Residual net whose every stage is heard: mean and deviation over positions, stem first.

    Damage shows early (noise, blocks) and content late, and second-order statistics carry texture: on clive_train six
    layers' means and deviations gave SRCC .771 where the last layer alone gave .719 (design/ACCURACY.md).

    Args:
        widths: channels of the stages; multiples of 32, which bf16 convolutions need to be fast on AMX.
        blocks: residual blocks a stage; the first of each stage halves the resolution.
    """

    deviations = True

    def __init__(self, widths: Sequence[int] = (32, 64, 128, 256), blocks: Sequence[int] = (1, 2, 2, 2)) -> None:
        super().__init__()
        if len(widths) != len(blocks):
            raise ValueError(f"widths and blocks must have one entry a stage, got {len(widths)} and {len(blocks)}")
        stem = widths[0]
        self.stem = nn.Sequential(
            nn.Conv2d(3, stem, 3, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(stem),
            nn.ReLU(inplace=True),
        )
        stages: list[nn.Module] = []
        width_in = stem
        reach, stride = 1, 2
        for width, count in zip(widths, blocks, strict=True):
            stages.append(
                nn.Sequential(
                    *(ResidualBlock(width_in if i == 0 else width, width, 2 if i == 0 else 1) for i in range(count))
                )
            )
            width_in = width
            reach += stride + 2 * stride * (2 * count - 1)  # the first convolution still walks on the finer grid
            stride *= 2
        self.stages = nn.ModuleList(stages)
        self.strides = tuple(2 ** (1 + number) for number in range(len(widths) + 1))
        self.widths = (stem, *widths)
        self.reach = reach
        self.width = 2 * (stem + sum(widths))

    def activations(self, images: Float[Tensor, "n 3 h w"]) -> Iterator[Float[Tensor, "n c h2 w2"]]:
        """Stem and stages."""
        conv, norm, relu = self.stem
        x = relu(normed(conv, norm, images.contiguous(memory_format=torch.channels_last)))
        yield x
        for stage in self.stages:
            x = stage(x)
            yield x


class QualityEncoder(QualityTrunk):
    """`QualityTrunk` with a head that projects its statistics to one embedding: an image tower for open_clip.

    Global statistics make the input size free: 32×32 and 4000×3000 use the same weights.

    Args:
        embed_dim: width of the output.
        widths: channels of the stages.
        blocks: residual blocks a stage.
        hidden: width between statistics and embedding.
        counts_pixels: whether the head reads `pixel_statistics` beside those of the stages.
        dropout: shares of what the head reads, and of its hidden layer, that are left out while it learns.
    """

    def __init__(
        self,
        embed_dim: int = 256,
        widths: Sequence[int] = (32, 64, 128, 256),
        blocks: Sequence[int] = (1, 2, 2, 2),
        hidden: int = 512,
        counts_pixels: bool = False,
        dropout: tuple[float, float] = (0.0, 0.0),
    ) -> None:
        super().__init__(widths, blocks)
        if not isinstance(dropout, Sequence) or len(dropout) != 2 or not all(0 <= share < 1 for share in dropout):
            raise ValueError(f"dropout must be two shares from 0 to below 1, not {dropout!r}")
        self.output_dim = embed_dim
        self.counts_pixels = counts_pixels
        self.described_dim = self.width + (PIXEL_STATISTICS if counts_pixels else 0)
        self.head = Head(self.described_dim, hidden, embed_dim, dropout)
        self.to(memory_format=torch.channels_last)

    def forward(self, images: Float[Tensor, "n 3 h w"], pixels: Tensor | None = None) -> Float[Tensor, "n d"]:
        """Map pictures of any size to embeddings; not unit length.

        Args:
            images: normalised.
            pixels: the same, uint8 or float in [0, 1]; of a tower that counts them.
        """
        return self.head(self.described(images, pixels).to(next(self.head.parameters()).dtype))

    def described(self, images: Float[Tensor, "n 3 h w"], pixels: Tensor | None = None) -> Float[Tensor, "n read"]:
        """What the head reads of the same arguments: statistics of the stages, and of the pixels; float32."""
        if not self.counts_pixels:
            return self.pooled(images)
        if pixels is None:
            raise ValueError("this tower counts pixels: give them too, or call the backbone's encode_image")
        return torch.cat([self.pooled(images), pixel_statistics(pixels.to(images.device))], dim=1)


class Head(nn.Sequential):
    """Norm, hidden layer, GELU and embedding, named 0 to 3; with dropout before both layers while it learns.

    Args:
        read: width of what it reads.
        hidden: width of the hidden layer.
        embed_dim: width of the embedding.
        dropout: shares left out before each layer.
    """

    def __init__(self, read: int, hidden: int, embed_dim: int, dropout: tuple[float, float]) -> None:
        super().__init__(nn.BatchNorm1d(read), nn.Linear(read, hidden), nn.GELU(), nn.Linear(hidden, embed_dim))
        self.dropout = tuple(dropout)

    def forward(self, x: Float[Tensor, "n read"]) -> Float[Tensor, "n d"]:
        """Map statistics to embeddings."""
        norm, inner, bend, outer = self
        x = F.dropout(norm(x), self.dropout[0], self.training)
        return outer(F.dropout(bend(inner(x)), self.dropout[1], self.training))
