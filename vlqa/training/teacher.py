"""A teacher for the image tower: a network that knows many contents, whose statistics the tower learns to predict."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from jaxtyping import Float, UInt8
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn
from torch.nn import functional as F

from vlqa.errors import ConfigError

_HEARD = ("conv08", "conv17", "conv29", "conv47", "conv50", "conv51")
"""Layers whose statistics are given: the last of each resolution or width, 24, 32, 64, 160, 320 and 1280 channels."""

_SHOWN = ("conv08", "conv17", "conv29", "conv38", "conv47", "conv50")
"""Layers whose maps are given: 24 channels at stride 4, 32 at 8, 64 and 96 at 16, 160 and 320 at 32."""


TAUGHT = "taught"
"""Field of a kept sample: the statistics that the teacher gives for it."""


class MobileNetV2Teacher(nn.Module):
    """MobileNetV2 (Sandler et al., arXiv 1801.04381) with folded batch norm; read, never trained or stored.

    On clive_train a ridge on the means and deviations of six layers gives SRCC .771, on the last alone .719
    (design/ACCURACY.md): they are what a small tower trained from nothing should see.

    Args:
        path: safetensors file whose metadata names the layers as [name, kind, stride, shape].

    Attributes:
        statistics_dim: width of the output.

    Raises:
        ConfigError: the file is missing or no such network.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        try:
            with safe_open(path, "pt") as file:
                self.layers = json.loads((file.metadata() or {})["layers"])
                for name in file.keys():  # noqa: SIM118 - the file is no mapping
                    self.register_buffer(name.replace(".", "_"), file.get_tensor(name).float(), persistent=False)
            self.statistics_dim = 2 * sum(len(self.get_buffer(f"{name}_bias")) for name in _HEARD)
        except (OSError, AttributeError, KeyError, ValueError, SafetensorError) as error:
            raise ConfigError(f"data.teacher: {path} is no MobileNetV2 with a list of its layers ({error})") from None

    @property
    def shown(self) -> list[tuple[int, int]]:
        """Stride and channels of each of the `maps`."""
        strides = (4, 8, 16, 16, 32, 32)
        return [(stride, len(self.get_buffer(f"{name}_bias"))) for stride, name in zip(strides, _SHOWN, strict=True)]

    @torch.no_grad()
    def forward(self, images: UInt8[Tensor, "n 3 h w"]) -> Float[Tensor, "n s"]:
        """Mean and deviation over the positions of six layers; sides ≥ 32 px."""
        statistics: list[Tensor] = []
        for x in self._layers(images, _HEARD, centred=False):
            deviation, mean = torch.var_mean(x.flatten(2), dim=2, correction=0)
            statistics += [mean, (deviation + 1e-6).sqrt()]
        return torch.cat(statistics, dim=1)

    @torch.no_grad()
    def maps(self, images: UInt8[Tensor, "n 3 h w"]) -> list[Float[Tensor, "n c h2 w2"]]:
        """Maps of the layers in `shown`, ceil(h/stride)×ceil(w/stride).

        Strided layers are padded by one pixel on all sides, as a student's are: TensorFlow's padding, which the
        network was trained with, would move its maps by up to 31 px of the picture.
        """
        return list(self._layers(images, _SHOWN, centred=True))

    def _layers(self, images: Tensor, wanted: Sequence[str], *, centred: bool) -> Iterator[Tensor]:
        x = (images.float() / 127.5 - 1).contiguous(memory_format=torch.channels_last)
        shortcut, conv = x, ""
        for (name, *rest), (following, *_) in itertools.pairwise(self.layers):
            if name == "AVERAGE_POOL_2D":
                return
            if name == "ADD":
                x = x + shortcut
            else:
                conv = name
                x = self._convolution(x, name, *rest, centred=centred)
            narrow = name == "ADD" or rest[2][0] < rest[2][1]
            if narrow and following != "ADD":  # a block ends here, and the next one starts
                shortcut = x
            if conv in wanted and following != "ADD":
                yield x
                if conv == wanted[-1]:
                    return

    def _convolution(self, x: Tensor, name: str, kind: str, stride: int, shape: list[int], *, centred: bool) -> Tensor:
        width_out, width_in, _, kernel = shape
        padding = kernel // 2
        if stride > 1 and not centred:
            # TensorFlow's SAME: what is missing on both sides together, the odd pixel at the end
            short = [max((-(-side // stride) - 1) * stride + kernel - side, 0) for side in (x.shape[-1], x.shape[-2])]
            x = F.pad(x, [part for total in short for part in (total // 2, total - total // 2)])
            padding = 0
        x = F.conv2d(
            x,
            self.get_buffer(f"{name}_weight"),
            self.get_buffer(f"{name}_bias"),
            stride,
            padding=padding,
            groups=width_out if kind.startswith("DEPTHWISE") else 1,
        )
        return x if width_out < width_in else F.relu6(x, inplace=True)
