"""GRepQ's low-level encoder and its pristine patches (repository SushantG/GRepQ 61dd615).

The encoder's `.tar` holds {"model": {"state_dict": …}} with the ResNet-18 twice, under `encoder.base_model.` (with a
classifier that nothing uses) and under `encoder.resnet18.`, and the head. The patches come as HDF5.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch

from vlqa import artifacts
from vlqa.errors import CheckpointError, MissingExtraError, naming
from vlqa.hub.encoded import EncoderParts
from vlqa.models.encoder_weights import check_copies, named_tensors, resnet_under
from vlqa.models.image_encoder import ImageEncoder, build_encoder
from vlqa.predictors.pristine import PristineStatistics

ARCHITECTURE = {"trunk": {"kind": "resnet18"}, "head": [512, 128]}

_SIDE = 96
_AT_ONCE = 128


def read(name: str, files: Mapping[str, Path]) -> EncoderParts:
    """Build the encoder (part `low`) and fit its statistics to the patches (part `pristine`), where these are given.

    Raises:
        CheckpointError: names, shapes or patches other than published.
    """
    encoder = read_encoder(files["low"])
    statistics = _statistics(files["pristine"], encoder) if "pristine" in files else None
    return EncoderParts(name, "pristine", {"low": encoder}, statistics=statistics)


def read_encoder(file: Path) -> ImageEncoder:
    """The encoder with its head.

    Raises:
        CheckpointError: other names or shapes, or two copies that differ.
    """
    prefixes = ("encoder.base_model.", "encoder.resnet18.", "head.")
    with naming(file):
        weights = named_tensors(artifacts.read_checkpoint(file), ("model", "state_dict"), prefixes)
        trunk = resnet_under(weights, "encoder.resnet18.")
        named = resnet_under(weights, "encoder.base_model.")
        check_copies(trunk, {name: tensor for name, tensor in named.items() if not name.startswith("trunk.fc.")})
        head = {name: tensor for name, tensor in weights.items() if name.startswith("head.")}
        return build_encoder(ARCHITECTURE, trunk | head)


@torch.inference_mode()
def _statistics(file: Path, encoder: ImageEncoder) -> PristineStatistics:
    try:
        import h5py
    except ImportError:
        raise MissingExtraError("h5py", "datasets") from None
    if not file.is_file():
        raise CheckpointError(f"{file}: no such file of pristine patches")
    features = []
    try:
        with h5py.File(file, "r") as store:
            data = store["data"]
            if data.ndim != 4 or data.shape[1:] != (3, _SIDE, _SIDE) or data.dtype.kind != "f":
                found = f"{data.shape} of {data.dtype}"
                raise CheckpointError(
                    f"{file}: expected N×3×{_SIDE}×{_SIDE} numbers in [0, 1] under 'data', got {found}"
                )
            for start in range(0, len(data), _AT_ONCE):
                patches = torch.from_numpy(data[start : start + _AT_ONCE]).float()
                if not bool(((patches >= 0) & (patches <= 1)).all()):
                    raise CheckpointError(f"{file}: expected patches in [0, 1], found values beyond")
                features.append(encoder.encode_image(patches))
    except (OSError, KeyError, AttributeError) as error:
        raise CheckpointError(f"{file}: no HDF5 file with pristine patches under 'data' ({error})") from None
    return PristineStatistics.of(torch.cat(features) if features else torch.zeros(0, encoder.embed_dim))
