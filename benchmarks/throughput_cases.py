"""What throughput.py measures: methods on both sides, with the same random weights written for each."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import vlqa
from tests import published
from tests.synthetic import openai_checkpoint, picture

FP32_AND_BF16 = ("fp32", "bf16")
ALL_SIDES = ("fp32", "exported", "bf16", "exported bf16")


@dataclass(frozen=True)
class Given:
    """Weights as both sides take them.

    Attributes:
        ours: for `vlqa.load`: "model", and "weights" where they are a file.
        theirs: arguments of the peer's worker.
    """

    ours: dict[str, Any]
    theirs: list[str]


@dataclass(frozen=True)
class Target:
    """What is to be reached.

    Attributes:
        ratio: of the peer's time and ours, by side.
        peak_mib: of fp32, once text features are stored.
        first: seconds and MiB of the first set-up.
        later_s: seconds of the set-ups after it, without imports, which no model is to blame for.
    """

    ratio: Mapping[str, float] = field(default_factory=dict)
    peak_mib: float | None = None
    first: tuple[float, float] | None = None
    later_s: float | None = None


@dataclass(frozen=True)
class Case:
    """One method on both sides.

    Attributes:
        name: of the case.
        peer: "pyiqa", "torchmetrics" or "grepq": which worker; "decode" for our decoder by itself.
        write: writes the weights into a folder.
        options: of `vlqa.load`, so that both compute the same.
        sides: how ours is run.
        size: height and width of the pictures, px.
        pictures: JPEGs a round.
        free_gib: memory that must be free for the peer's first start.
        unit: of our scores, in which the peer's are 1; None where the two compute different scores.
        target: what is to be reached.
    """

    name: str
    peer: str
    write: Callable[[Path], Given]
    options: Mapping[str, Any] = field(default_factory=dict)
    sides: tuple[str, ...] = FP32_AND_BF16
    size: tuple[int, int] = (768, 1024)
    pictures: int = 4
    free_gib: float = 4
    unit: float | None = 1
    target: Target = field(default_factory=Target)


def _clip(architecture: str, folder: Path) -> tuple[dict[str, Tensor], str]:
    # OpenAI's files hold halves, and the peers round to them: weights that a half cannot hold would differ
    weights = {
        name: tensor.half().float() if tensor.is_floating_point() else tensor
        for name, tensor in openai_checkpoint(architecture, seed=1).items()
    }
    return weights, _saved(folder / "clip.pt", weights)


def _saved(file: Path, value: Any) -> str:
    return str(published.write(file, value))


def _liqe(metric: str) -> Callable[[Path], Given]:
    def write(folder: Path) -> Given:
        weights, clip = _clip("ViT-B-32", folder)
        own = {"params": {f"clip_model.{name}": tensor for name, tensor in weights.items()}}
        return Given({"model": "liqe", "weights": clip}, [metric, clip, _saved(folder / "liqe_own.pt", own)])

    return write


def _clip_iqa(folder: Path) -> Given:
    _, clip = _clip("RN50", folder)
    return Given({"model": "clip-iqa-ensemble", "weights": clip}, ["clipiqa", clip])


def _arniqa(folder: Path) -> Given:
    encoder = _saved(folder / "ARNIQA.pth", published.arniqa(1))
    layer = torch.nn.Linear(4096, 1)
    torch.nn.init.normal_(layer.weight, std=30, generator=torch.Generator().manual_seed(1))
    torch.nn.init.constant_(layer.bias, 50)
    regressor = _saved(folder / "koniq.pth", {"weight": layer.weight.detach(), "bias": layer.bias.detach()})
    scripted = folder / "regressor_koniq10k.pth"
    torch.jit.script(layer).save(str(scripted))
    parts = {"encoder": encoder, "regressor": regressor}
    return Given(_converted("arniqa", folder, parts), ["arniqa", encoder, str(scripted)])


def _torchmetrics(folder: Path) -> Given:
    from transformers import CLIPConfig, CLIPModel

    from vlqa.models.clip import build_backbone

    torch.manual_seed(1)
    stored = folder / "clip"
    config = CLIPConfig(projection_dim=512, logit_scale_init_value=math.log(100))  # ViT-B/32 with quick GELU
    CLIPModel(config).save_pretrained(stored)
    backbone = build_backbone("ViT-B-32", quick_gelu=True)
    mean, std = (values.flatten().tolist() for values in (backbone.mean, backbone.std))
    settings = {"image_mean": mean, "image_std": std, "resample": 3, "do_center_crop": True}
    (stored / "preprocessor_config.json").write_text(json.dumps(settings))
    tokens = backbone.tokenizer(["Good photo.", "Bad photo."])
    end = int(tokens.argmax(dim=1).max()) + 1  # what comes behind it nobody reads
    return Given({"model": "clip-iqa", "weights": str(stored)}, [str(stored), json.dumps(tokens[:, :end].tolist())])


def _grepq(folder: Path) -> Given:
    weights, clip = _clip("RN50", folder)
    low = _saved(folder / "low.tar", published.grepq_low(1))
    pristine = published.write_pristine(folder / "patches.hdf5", 200)
    patches = torch.stack([torch.from_numpy(picture(96, 96, 10000 + number)) for number in range(200)])
    high = _saved(folder / "high.pth", published.grepq_high(weights))
    parts = {"clip": clip, "high": high, "low": low, "pristine": str(pristine)}
    stored = _saved(folder / "patches.pt", patches.permute(0, 3, 1, 2).float() / 255)
    return Given(_converted("grepq", folder, parts), [clip, low, stored])


def _converted(method: str, folder: Path, parts: Mapping[str, str]) -> dict[str, Any]:
    return {"model": str(vlqa.convert(None, method, folder / "model", parts=parts))}


def _default(folder: Path) -> Given:
    return Given({"model": "mini"}, _torchmetrics(folder).theirs)


def _default_alone(_: Path) -> Given:
    return Given({"model": "mini"}, [])


_QUALITY = {"patches": "pyiqa", "prompts": "liqe_quality"}
_12_MP = (3000, 4000)
CASES = {
    case.name: case
    for case in (
        Case("liqe", "pyiqa", _liqe("liqe"), _QUALITY, ALL_SIDES, target=Target({"fp32": 1.5, "bf16": 5})),
        Case(
            "liqe 12 MP", "pyiqa", _liqe("liqe"), _QUALITY, size=_12_MP, pictures=2, free_gib=12,
            target=Target({"fp32": 8}, peak_mib=2560),
        ),
        Case(
            "liqe_mix", "pyiqa", _liqe("liqe_mix"), _QUALITY | {"prompts": "liqe_multitask"}, free_gib=21,
            target=Target(first=(20, 2048), later_s=3),
        ),
        Case("clipiqa", "pyiqa", _clip_iqa, {}, ALL_SIDES, target=Target({"fp32": 2, "exported bf16": 4})),
        Case("arniqa", "pyiqa", _arniqa, {"crops": 0}, ALL_SIDES, unit=100),
        Case("clip-iqa 224", "torchmetrics", _torchmetrics, {}, ALL_SIDES, target=Target({"fp32": 3, "bf16": 8})),
        Case("grepq", "grepq", _grepq, {}, ALL_SIDES, free_gib=8, target=Target({"fp32": 1.5, "bf16": 4})),
        Case("mini", "torchmetrics", _default, {}, ALL_SIDES, pictures=16, unit=None, target=Target({"fp32": 10})),
        Case(
            "mini 12 MP", "decode", _default_alone, {}, size=_12_MP, pictures=8, unit=None,
            target=Target({"fp32": 1 / 3}),
        ),
    )
}  # fmt: skip
