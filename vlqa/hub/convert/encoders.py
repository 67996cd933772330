"""ResNet-50 encoders with a linear regressor behind them: CONTRIQUE, Re-IQA and ARNIQA.

Layouts: CONTRIQUE (pavancm/CONTRIQUE f73233c) is a bare state dict with the ResNet as a `Sequential`; Re-IQA
(avinabsaha/ReIQA 290632a) saves {"model": …} with data-parallel names, one file an encoder; ARNIQA
(miccunifi/ARNIQA f60c0f2) is a bare state dict like CONTRIQUE's. The projectors of the pretext tasks are left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from vlqa import artifacts
from vlqa.errors import CheckpointError, naming
from vlqa.hub.convert.regressors import read_regressor
from vlqa.hub.encoded import EncoderParts
from vlqa.hub.store import load
from vlqa.models.encoder_weights import named_tensors, resnet_under
from vlqa.models.image_encoder import ImageEncoder, build_encoder
from vlqa.predictors.encoded import only_encoder
from vlqa.predictors.views import Scales


@dataclass(frozen=True)
class Layout:
    """How a method's files look, and what its features are.

    Attributes:
        roles: encoders in the order of their features, and the statistics each is normalised by.
        trunk: prefix of the ResNet's names.
        projector: prefix of what is left out.
        view: scales and crops.
        normalize: whether the features of each scale are brought to unit length.
    """

    roles: Mapping[str, str | None]
    trunk: str
    projector: str
    view: Scales = field(default_factory=lambda: Scales((1.0, 0.5)))
    normalize: bool = True


LAYOUTS: dict[str, Layout] = {
    "contrique": Layout({"encoder": None}, "encoder.", "projector."),
    "re-iqa": Layout({"content": "imagenet", "quality": None}, "module.encoder.", "module.head.", normalize=False),
    "arniqa": Layout({"encoder": "imagenet"}, "model.", "projector.", Scales((1.0, 0.5), crops=5, filter="bilinear")),
}


def read(name: str, files: Mapping[str, Path]) -> EncoderParts:
    """Build a method's encoders, and its regressor where that is given.

    Args:
        name: of the method, a key of `LAYOUTS`.
        files: by role: those of the layout, and `regressor`; an encoder may be a folder that `vlqa train` wrote.

    Raises:
        CheckpointError: names or shapes other than published, or a regressor that cannot be read.
    """
    layout = LAYOUTS[name]
    encoders = {role: _encoder(files[role], layout, statistics) for role, statistics in layout.roles.items()}
    regressor = read_regressor(files["regressor"]) if "regressor" in files else None
    return EncoderParts(name, "regression", encoders, layout.view, layout.normalize, regressor)


def _encoder(file: Path, layout: Layout, statistics: str | None) -> ImageEncoder:
    if file.is_dir():  # of a run of vlqa train, so that both halves of Re-IQA can be trained here
        trained = only_encoder(load(file, device="cpu"))
        if trained is None:
            raise CheckpointError(f"{file}: expected a model of one image encoder; vlqa train writes one")
        return trained
    with naming(file):
        checkpoint = artifacts.read_checkpoint(file)
        weights = named_tensors(checkpoint, ("model", "state_dict"), (layout.trunk, layout.projector))
        trunk = resnet_under(weights, layout.trunk)
        return build_encoder({"trunk": {"kind": "resnet50"}, "statistics": statistics}, trunk)
