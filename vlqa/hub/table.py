"""The models vlqa knows by name: one row each. A new method adds its row here, its file, and a converter."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from vlqa.errors import UnknownModelError, did_you_mean


@dataclass(frozen=True)
class ModelRow:
    """What a person chooses a model by, and what `load` builds it from.

    Attributes:
        name: what `vlqa.load` and `--model` take.
        what: one line on what it is.
        scale: (lowest, highest) score, higher is better; None where a regressor decides it.
        paper: authors' description of the method, as an arXiv number; empty for vlqa's own.
        licence: of the weights.
        source: where the weights come from.
        prompts: bundled prompts it reads; empty for models without a text tower.
        view: kind and options of the pixels it sees.
        parts: roles of its published files, for models without a text tower; the first is the one given alone.
        required: those that must be there.
        converter: module of `vlqa.hub.convert` that reads its published weights; None where there are none.
        bundled: whether its weights come with vlqa.
        base_of: the bundled model that this one is without the adapter.
        open_clip: model and tag of open_clip, where the published weights can be fetched that way.
    """

    name: str
    what: str
    scale: tuple[float, float] | None
    paper: str
    licence: str
    source: str
    prompts: str = ""
    view: Mapping[str, Any] = field(default_factory=dict)
    parts: tuple[str, ...] = ()
    required: tuple[str, ...] = ()
    converter: str | None = None
    bundled: bool = False
    base_of: str | None = None
    open_clip: tuple[str, str] | None = None


_CLIP_IQA: dict[str, Any] = {
    "scale": (0.0, 1.0),
    "paper": "arXiv 2207.12396",
    "licence": "MIT (OpenAI CLIP)",
    "source": "OpenAI CLIP RN50: the Hugging Face hub, or --weights FILE",
    "view": {"kind": "whole"},
    "converter": "clip_iqa",
    "open_clip": ("RN50", "openai"),
}

_MINI: dict[str, Any] = {
    "scale": (1.0, 5.0),
    "paper": "",
    "licence": "Apache-2.0",
    "prompts": "liqe_multitask",
    "bundled": True,
}

MODELS: dict[str, ModelRow] = {
    row.name: row
    for row in (
        ModelRow(
            name="mini",
            what="vlqa's small default: quality, scene and distortion, offline and quick on a CPU",
            source="comes with vlqa; vlqa train configs/mini.yaml makes it",
            **_MINI,
        ),
        ModelRow(
            name="mini-zero",
            what="mini without its adapter: no score, scene or distortion label of a real photograph taught it",
            source="comes with vlqa; vlqa train configs/mini_base.yaml makes it",
            base_of="mini",
            **_MINI,
        ),
        ModelRow(
            name="clip-iqa",
            what="CLIP-IQA: a good against a bad photo, zero-shot, at the picture's own size",
            prompts="clip_iqa",
            **_CLIP_IQA,
        ),
        ModelRow(
            name="clip-iqa-ensemble",
            what="the mean of five pairs of opposite sentences, as IQA-PyTorch's clipiqa",
            prompts="clip_iqa_ensemble",
            **_CLIP_IQA,
        ),
        ModelRow(
            name="clip-iqa-plus",
            what="CLIP-IQA+: the pair of CLIP-IQA between 16 learned words",
            scale=(0.0, 1.0),
            paper="arXiv 2207.12396",
            licence="none stated (github.com/IceClear/CLIP-IQA)",
            source="the learned words of its authors or of IQA-PyTorch; --part clip=RN50.pt, else from the hub",
            prompts="clip_iqa",
            parts=("context", "clip"),
            required=("context",),
            converter="clip_iqa_plus",
        ),
        ModelRow(
            name="liqe",
            what="LIQE: quality, scene and distortion from 495 sentences, CLIP ViT-B/32 on 15 windows",
            scale=(1.0, 5.0),
            paper="arXiv 2303.14968",
            licence="MIT (github.com/zwx8981/LIQE)",
            source="--weights LIQE.pt from its authors, or IQA-PyTorch's liqe_mix.pt, liqe_koniq.pt",
            prompts="liqe_multitask",
            view={"kind": "liqe"},
            converter="liqe",
        ),
        ModelRow(
            name="grepq",
            what="GRepQ: a CLIP tuned in groups by quality, and the distance of patches from pristine ones",
            scale=(0.0, 1.5),
            paper="arXiv 2312.04838",
            licence="MIT (github.com/suhas-srinath/GRepQ)",
            source="--part clip=RN50.pt (OpenAI) --part high=FILE.pth --part low=FILE.tar --part pristine=FILE.hdf5",
            prompts="grepq",
            parts=("clip", "high", "low", "pristine"),
            required=("clip", "high", "low"),
            converter="grepq",
        ),
        ModelRow(
            name="grepq-low",
            what="GRepQ's low-level view: distance of patches from pristine ones, without any label",
            scale=(0.0, 0.5),
            paper="arXiv 2312.04838",
            licence="MIT (github.com/suhas-srinath/GRepQ)",
            source="--part low=FILE.tar --part pristine=FILE.hdf5 from its authors",
            parts=("low", "pristine"),
            required=("low",),
            converter="grepq_low",
        ),
        ModelRow(
            name="contrique",
            what="CONTRIQUE: contrast of damages; 4096 features for a regressor",
            scale=None,
            paper="arXiv 2110.13266",
            licence="none stated (github.com/pavancm/CONTRIQUE)",
            source="CONTRIQUE_checkpoint25.tar from its authors; --part regressor=LIVE.save or another",
            parts=("encoder", "regressor"),
            required=("encoder",),
            converter="encoders",
        ),
        ModelRow(
            name="re-iqa",
            what="Re-IQA: an encoder of content beside one of quality; 8192 features for a regressor",
            scale=None,
            paper="arXiv 2304.00451",
            licence="MIT (github.com/avinabsaha/ReIQA)",
            source="--part content=FILE --part quality=FILE from its authors",
            parts=("content", "quality", "regressor"),
            required=("content", "quality"),
            converter="encoders",
        ),
        ModelRow(
            name="qpt",
            what="QPT: pretext task on a large space of damages, then fine-tuned with a regression head",
            scale=None,
            paper="arXiv 2303.00521",
            licence="yours",
            source="none published; vlqa train configs/qpt.yaml, then qpt_regression.yaml",
            parts=("encoder",),
            required=("encoder",),
        ),
        ModelRow(
            name="arniqa",
            what="ARNIQA: the manifold of damages; 4096 features for a regressor",
            scale=None,
            paper="arXiv 2310.14918",
            licence="CC BY-NC 4.0 (github.com/miccunifi/ARNIQA)",
            source="its authors' encoder; --part regressor=FILE",
            parts=("encoder", "regressor"),
            required=("encoder",),
            converter="encoders",
        ),
        ModelRow(
            name="vlqa",
            what="the flagship: CLIP ViT-B/32 tuned by LoRA on six rated sets, and a low-level view beside it",
            scale=(1.0, 5.5),
            paper="",
            licence="yours",
            source="none published; vlqa train configs/vlqa_vit_b32.yaml makes runs/vlqa_vit_b32/model",
            prompts="liqe_multitask",
            view={"kind": "liqe"},
        ),
    )
}


def available_models() -> list[ModelRow]:
    """Every model that has a name, the default first."""
    return list(MODELS.values())


def find(name: str) -> ModelRow:
    """The row of a name.

    Raises:
        UnknownModelError: no such name; says which are near.
    """
    if name not in MODELS:
        hint = did_you_mean(name, MODELS) or "; give one of these, or a folder written as ./folder"
        raise UnknownModelError(f"no model is called {name!r}; there are {', '.join(MODELS)}{hint}")
    return MODELS[name]
