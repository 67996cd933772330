"""A teacher for the image tower: a network that knows many contents, whose statistics the tower learns to predict."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import torch
from jaxtyping import Float, UInt8
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn
from torch.nn import functional as F

from vlqa.errors import ConfigError

_HEARD = ("conv08", "conv17", "conv29", "conv47", "conv50", "conv51")
"""The last layer of each resolution or width: 24, 32, 64, 160, 320 and 1280 channels."""


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

    @torch.no_grad()
    def forward(self, images: UInt8[Tensor, "n 3 h w"]) -> Float[Tensor, "n s"]:
        """Mean and deviation over the positions of six layers; sides ≥ 32 px."""
        x = (images.float() / 127.5 - 1).contiguous(memory_format=torch.channels_last)
        shortcut, conv = x, ""
        statistics: list[Tensor] = []
        for (name, *rest), (following, *_) in itertools.pairwise(self.layers):
            if name == "AVERAGE_POOL_2D":
                break
            if name == "ADD":
                x = x + shortcut
            else:
                conv = name
                x = self._convolution(x, name, *rest)
            narrow = name == "ADD" or rest[2][0] < rest[2][1]
            if narrow and following != "ADD":  # a block ends here, and the next one starts
                shortcut = x
            if conv in _HEARD and following != "ADD":
                deviation, mean = torch.var_mean(x.flatten(2), dim=2, correction=0)
                statistics += [mean, (deviation + 1e-6).sqrt()]
        return torch.cat(statistics, dim=1)

    def _convolution(self, x: Tensor, name: str, kind: str, stride: int, shape: list[int]) -> Tensor:
        width_out, width_in, _, kernel = shape
        # TensorFlow's SAME: what is missing on both sides together, the odd pixel at the end
        short = [max((-(-side // stride) - 1) * stride + kernel - side, 0) for side in (x.shape[-1], x.shape[-2])]
        if stride > 1:
            x = F.pad(x, [part for total in short for part in (total // 2, total - total // 2)])
        x = F.conv2d(
            x,
            self.get_buffer(f"{name}_weight"),
            self.get_buffer(f"{name}_bias"),
            stride,
            padding=kernel // 2 if stride == 1 else 0,
            groups=width_out if kind.startswith("DEPTHWISE") else 1,
        )
        return x if width_out < width_in else F.relu6(x)
