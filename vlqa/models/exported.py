"""Image towers in an inference runtime of their own: OpenVINO, which fuses what torch runs layer by layer."""

from __future__ import annotations

import functools
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from vlqa.errors import CheckpointError, ConfigError, MissingExtraError
from vlqa.models.clip_backbone import ClipBackbone
from vlqa.models.image_encoder import ImageEncoder
from vlqa.models.quality_encoder import QualityEncoder
from vlqa.models.trunk import Trunk

_PRECISIONS = {"fp32": "f32", "bf16": "bf16"}
_SIDE = 96  # of the pictures a tower of any size is traced with; no size of it stays in the graph


class ExportedTower:
    """What `export_tower` wrote, compiled for this CPU when the first pictures come.

    Args:
        file: .xml beside its .bin.
        precision: "fp32", or "bf16": weights and activations.

    Raises:
        MissingExtraError: OpenVINO is not installed.
        CheckpointError: the file is missing or damaged.
    """

    def __init__(self, file: Path, precision: str = "fp32") -> None:
        self.precision = precision
        core = _core()
        try:
            self._model = core.read_model(file)
        except RuntimeError:
            raise CheckpointError(
                f"{file}: no exported tower there, or a damaged one; export the model again"
            ) from None

    def __call__(self, pictures: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "n d"]:
        """Features of normalised pictures, float32."""
        given = np.ascontiguousarray(pictures.detach().float().cpu().numpy())
        return torch.from_numpy(self._compiled(given)[0].copy())

    @functools.cached_property
    def _compiled(self) -> Any:
        options = {
            "INFERENCE_PRECISION_HINT": _PRECISIONS[self.precision],
            "INFERENCE_NUM_THREADS": torch.get_num_threads(),
            "PERFORMANCE_HINT": "LATENCY",
        }
        return _core().compile_model(self._model, "CPU", options)


def export_tower(tower: ClipBackbone | ImageEncoder, file: Path) -> None:
    """Write what a tower makes of normalised pictures, with its adapter in use: float32, any number and size it takes.

    Of a trunk whose stages are pooled its pooled features, else the features.

    Args:
        tower: in float32, on the CPU.
        file: .xml to write; a .bin stands beside it.

    Raises:
        MissingExtraError: OpenVINO is not installed.
        ConfigError: a tower that cannot be traced.
    """
    openvino = _openvino()
    module = _traceable(tower)
    side = tower.image_size if isinstance(tower, ClipBackbone) and tower.fixed_size else None
    example = torch.rand(2, 3, side or _SIDE, side or _SIDE)
    file.parent.mkdir(parents=True, exist_ok=True)
    try:
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the tracer, about what is constant by design
            model = openvino.convert_model(module, example_input=example, input=[-1, 3, side or -1, side or -1])
    except RuntimeError as error:
        raise ConfigError(f"this tower cannot be exported: {str(error).strip().splitlines()[-1][:160]}") from None
    openvino.save_model(model, file, compress_to_fp16=False)


def attach(tower: ClipBackbone | ImageEncoder, exported: ExportedTower | None) -> None:
    """Let a tower run what was exported of it; None lets torch run it again."""
    trunk = _trunk_of(tower)
    (tower if trunk is None else trunk).exported = exported


def _trunk_of(tower: ClipBackbone | ImageEncoder) -> Any:
    if isinstance(tower, ImageEncoder):
        return tower.trunk
    return tower.visual if isinstance(tower.visual, QualityEncoder) else None


def _traceable(tower: ClipBackbone | ImageEncoder) -> nn.Module:
    trunk = _trunk_of(tower)
    if trunk is not None:
        return _Pooled(trunk).eval()
    assert isinstance(tower, ClipBackbone)
    return tower.visual.eval()


class _Pooled(nn.Module):
    """`Trunk.pooled` in operations that are one node each."""

    def __init__(self, trunk: Trunk) -> None:
        super().__init__()
        self.trunk = trunk

    def forward(self, images: Tensor) -> Tensor:
        """Means and deviations as `Trunk.read` orders them."""
        parts = []
        for stage in self.trunk.activations(images):
            mean = stage.mean(dim=(2, 3), keepdim=True)
            parts.append(mean.flatten(1))
            if self.trunk.deviations:
                parts.append(((stage - mean).square().mean(dim=(2, 3)) + self.trunk.floor).sqrt())
        return torch.cat(parts, dim=1)


@functools.cache
def _core() -> Any:
    """The one core of this process.

    Each one gives its thread a stack for signals and later brings back the one it found, which may be that of another
    core that is gone by then: the next signal would end the process (OpenVINO 2026.4).
    """
    return _openvino().Core()


def _openvino() -> Any:
    try:
        import openvino
    except ImportError:
        raise MissingExtraError("openvino", "export") from None
    return openvino
