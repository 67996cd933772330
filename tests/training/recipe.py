"""A recipe that trains in a second: eight synthetic photographs, six of them rated, and a made opinion table."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml
from PIL import Image

from tests.synthetic import picture

ARCHITECTURE: dict[str, Any] = {
    "embed_dim": 32,
    "vision_cfg": {"kind": "quality", "widths": [32], "blocks": [1], "hidden": 32},
    "text_cfg": {"context_length": 48, "width": 32, "heads": 2, "layers": 1},
}
_NAMES = [
    "n01440764_tench", "n02099601_golden_retriever", "n11939491_daisy", "n04285008_sports_car",
    "street", "harbour", "kitchen", "field",
]  # fmt: skip


def write_photos(folder: Path, names: list[str] | None = None, side: int = 56) -> list[Path]:
    """Pictures of different sizes as PNG."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for seed, name in enumerate(names or _NAMES):
        paths.append(folder / f"{name}.png")
        Image.fromarray(picture(side + 3 * seed, side + 8 * (seed % 3), seed)).save(paths[-1])
    return paths


def write_opinions(path: Path) -> Path:
    """All 125 cells: falling with the level, and a little different for each type."""
    rows = [f"{t},type {t},{v},{4.8 - 0.6 * v - 0.01 * t:.3f}" for t in range(1, 26) for v in range(1, 6)]
    path.write_text("type_id,type,level,mean_mos\n" + "\n".join(rows) + "\n", encoding="utf-8")
    return path


def write_labels(path: Path) -> Path:
    """Six rated pictures on 0–100 in folds 0, 1 and 2; their files lie in photos/."""
    rows = [
        f"photos/{_NAMES[0]}.png,20,blur,animal,0",
        f"photos/{_NAMES[1]}.png,35,noise,animal|human,1",
        f"photos/{_NAMES[2]}.png,50,other,plant,2",
        f"photos/{_NAMES[3]}.png,65,,still_life,0",
        f"photos/{_NAMES[4]}.png,80,jpeg compression,cityscape|night,1",
        f"photos/{_NAMES[5]}.png,95,,landscape,2",
    ]
    path.write_text("path,mos,distortion,scenes,fold\n" + "\n".join(rows) + "\n", encoding="utf-8")
    return path


def recipe(folder: Path, **changes: Any) -> dict[str, Any]:
    """The recipe, its files written to the folder; changes replace whole entries."""
    write_photos(folder / "photos")
    document = {
        "name": "tiny",
        "method": "multitask",
        "output": str(folder / "run"),
        "seed": 3,
        "steps": 6,
        "steps_per_epoch": 2,
        "checkpoint_every": 1,
        "log_every": 1,
        "data": {
            "photos": [str(folder / "photos")],
            "opinions": str(write_opinions(folder / "opinions.csv")),
            "rated": [{"labels": str(write_labels(folder / "labels.csv")), "exclude_folds": [0], "per_batch": 2}],
            "renderings_per_batch": 4,
            "held_out_photos": 1,
            "sizes": [32],
            "workers": 0,
        },
        "model": {"architecture": ARCHITECTURE, "max_shorter_side": 64},
        "optimizer": {"learning_rate": 0.003, "warmup_steps": 2},
    }
    return document | changes


def losses(output: Path) -> list[dict[str, float]]:
    """The records of a run, without the speed, which no two runs share."""
    lines = (output / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    speed = ("samples_per_s", "model_share")
    return [{k: v for k, v in json.loads(line).items() if k not in speed} for line in lines]


def train_in_two_processes(document: dict[str, Any], folder: Path) -> None:
    """By torchrun: on CPUs `accelerate launch` starts several processes through MPI only (accelerate 1.15)."""
    file = folder / "recipe.yaml"
    file.write_text(yaml.safe_dump(document))
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    environment = os.environ | {"ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1"}
    command = [*launch, "-m", "vlqa", "train", str(file)]
    subprocess.run(
        command, check=True, capture_output=True, timeout=600, cwd=Path(__file__).parents[2], env=environment
    )
