"""Trunks: nets of convolutions whose activations are pooled over positions, so that any input size will do."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from vlqa.errors import ConfigError
from vlqa.models.folding import normed, resnet_block, worth_folding
from vlqa.models.moments import Moments

if TYPE_CHECKING:
    from vlqa.models.exported import ExportedTower


class Trunk(nn.Module):
    """A net of convolutions whose stages are pooled: their means over positions, and deviations where it says so.

    Attributes:
        strides: of the stages, in px of the input; unused where reach is None.
        widths: channels of the stages.
        width: of the pooled features.
        reach: px beyond which the input does not matter to an activation; None where all of it may.
        deviations: whether the deviations are pooled too.
        floor: under the root of a variance, whose slope at 0 is infinite.
        exported: what runs in place of `pooled`; see `models.exported`.
    """

    strides: tuple[int, ...]
    widths: tuple[int, ...]
    width: int
    reach: int | None
    deviations: ClassVar[bool] = False
    floor: ClassVar[float] = 1e-6
    exported: ExportedTower | None = None

    def activations(self, images: Float[Tensor, "n 3 h w"]) -> Iterator[Float[Tensor, "n c h2 w2"]]:
        """Activations of each stage that is pooled, one at a time, so that no two need memory at once."""
        raise NotImplementedError

    def pooled(self, images: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "n width"]:
        """Features of normalised pictures of any size, float32."""
        if self.exported is not None and not torch.is_grad_enabled():
            return self.exported(images)
        return self.read([Moments.of(stage) for stage in self.activations(images)])

    def pooled_cells(self, images: Float[Tensor, "n 3 h w"], cells: int) -> Float[Tensor, "n cells2 width"]:
        """As `pooled`, for each of cells × cells parts of the picture, in raster order (CONTRIQUE's patches)."""
        parts = []
        for stage in self.activations(images):
            mean = F.adaptive_avg_pool2d(stage.float(), cells)
            parts.append(mean)
            if self.deviations:
                variance = F.adaptive_avg_pool2d(stage.float().square(), cells) - mean.square()
                parts.append((variance.clamp_min(0) + self.floor).sqrt())
        return torch.cat(parts, dim=1).flatten(2).mT

    def read(self, stages: Sequence[Moments]) -> Float[Tensor, "n width"]:
        """Features from the moments of all stages."""
        parts = []
        for stage in stages:
            parts.append(stage.mean)
            if self.deviations:
                parts.append((stage.variance + self.floor).sqrt())
        return torch.cat(parts, dim=1)


class ResNetTrunk(Trunk):
    """torchvision's ResNet without its classifier, under torchvision's names (He et al., arXiv 1512.03385).

    Args:
        name: "resnet18", "resnet34" or "resnet50".
    """

    strides = (32,)
    reach = 224  # 217 px for 18, 213 for 50

    def __init__(self, name: str) -> None:
        super().__init__()
        import torchvision  # a second and more, which the bundled default's own trunk does without

        net = torchvision.models.get_model(name, weights=None)
        self.width = net.fc.in_features
        self.widths = (self.width,)
        for part in ("conv1", "bn1", "relu", "maxpool", "layer1", "layer2", "layer3", "layer4"):
            self.add_module(part, getattr(net, part))

    def activations(self, images: Float[Tensor, "n 3 h w"]) -> Iterator[Float[Tensor, "n c h2 w2"]]:
        """The last stage."""
        parts: list[Any] = list(self.children())
        if not worth_folding(self, images):
            yield functools.reduce(lambda x, part: part(x), parts, images)
            return
        conv, norm, relu, pool, *stages = parts
        x = pool(relu(normed(conv, norm, images)))
        for block in itertools.chain.from_iterable(stages):
            x = resnet_block(block, x)
        yield x


class TimmTrunk(Trunk):
    """Any backbone of timm, without its classifier.

    Args:
        name: as in `timm.list_models()`.

    Raises:
        ConfigError: no such backbone.
    """

    strides = ()
    reach = None

    def __init__(self, name: str) -> None:
        super().__init__()
        import timm

        if not timm.is_model(name):
            raise ConfigError(f"timm has no backbone {name!r}; timm.list_models() names them")
        options: dict[str, Any] = {"pretrained": False, "num_classes": 0}
        try:
            net: Any = timm.create_model(
                name, **options, dynamic_img_size=True, dynamic_img_pad=True
            )  # of transformers
        except TypeError:
            net = timm.create_model(name, **options)
        self.net: Any = net
        self.width = int(net.num_features)
        self.widths = (self.width,)

    def activations(self, images: Float[Tensor, "n 3 h w"]) -> Iterator[Float[Tensor, "n c h2 w2"]]:
        """The last activations; a transformer's tokens stand in a column."""
        x = self.net.forward_features(images)
        if x.ndim == 3:
            yield x[:, getattr(self.net, "num_prefix_tokens", 0) :].mT.unsqueeze(-1)
        else:
            yield x if x.shape[1] == self.width else x.permute(0, 3, 1, 2)
