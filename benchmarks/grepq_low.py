"""GRepQ's low-level score: images a second beside a plain loop with the same random weights, in alternating rounds.

The loop does what the reference does (GRepQ 61dd615, zeroshot_ll_model.py), one picture after another: Pillow, floats,
96×96 patches at stride 48, torchvision's ResNet-18 with the head, covariance, distance. Prints ratios, never times.

    python benchmarks/grepq_low.py [--pictures 8] [--rounds 7] [--json]
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
import torchvision
from PIL import Image
from scipy.stats import spearmanr
from torch import nn

from vlqa.data.degradations import degrade
from vlqa.models.image_encoder import ImageEncoder, build_encoder
from vlqa.predictors.pristine import PristinePredictor, PristineStatistics

ARCHITECTURE = {"trunk": {"kind": "resnet18"}, "head": [512, 128]}


def main() -> None:
    """Print ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()

    with tempfile.TemporaryDirectory() as folder:
        paths = _pictures(Path(folder), arguments.pictures)
        encoder = _encoder()
        pristine = PristineStatistics.of(torch.randn(500, 128, dtype=torch.float64))
        runs: dict[str, Callable[[Sequence[Path]], list[float]]] = {"loop": _loop(encoder, pristine)}
        for name, dtype in (("fp32", torch.float32), ("bf16", torch.bfloat16)):
            predictor = PristinePredictor({"low": _encoder().cast(dtype)}, pristine, name=name)
            runs[name] = lambda images, predictor=predictor: predictor.predict(images).tolist()
        scores = {name: run(paths) for name, run in runs.items()}
        took: dict[str, list[float]] = {name: [] for name in runs}
        for _ in range(arguments.rounds):
            for name, run in runs.items():
                began = time.perf_counter()
                run(paths)
                took[name].append(time.perf_counter() - began)
    result = {}
    for name in ("fp32", "bf16"):
        ratios = [loop / ours for loop, ours in zip(took["loop"], took[name], strict=True)]
        result[name] = {
            "ratio": round(statistics.median(ratios), 2),
            "spread": [round(min(ratios), 2), round(max(ratios), 2)],
            "largest_difference": float(np.abs(np.subtract(scores["loop"], scores[name])).max()),
            "rank_correlation": float(spearmanr(scores["loop"], scores[name])[0]),
        }
    if arguments.json:
        print(json.dumps(result))
        return
    for name, row in result.items():
        low, high = row["spread"]
        print(
            f"{name}: {row['ratio']} × the loop ({low}–{high}); largest difference {row['largest_difference']:.1e}, ",
            end="",
        )
        print(f"rank correlation {row['rank_correlation']:.4f}")


def _pictures(folder: Path, count: int) -> list[Path]:
    """scikit-learn's photographs at 1024×768, damaged in turn, as JPEG."""
    from sklearn.datasets import load_sample_images

    photos = [np.asarray(Image.fromarray(image).resize((1024, 768))) for image in load_sample_images().images]
    paths = []
    for number in range(count):
        picture = degrade(photos[number % 2], 1 + number * 7 % 25, 1 + number % 5, number)
        paths.append(folder / f"{number}.jpg")
        Image.fromarray(picture).save(paths[-1], quality=95)
    return paths


def _encoder() -> ImageEncoder:
    torch.manual_seed(0)
    return build_encoder(ARCHITECTURE).eval().requires_grad_(False)


def _loop(encoder: ImageEncoder, pristine: PristineStatistics) -> Callable[[Sequence[Path]], list[float]]:
    net = torchvision.models.resnet18(weights=None)
    net.fc = nn.Identity()
    state = {name.removeprefix("trunk."): value for name, value in encoder.state_dict().items() if "trunk." in name}
    net.load_state_dict(state)
    head = encoder.head
    model = nn.Sequential(net, head).eval().to(memory_format=torch.contiguous_format)

    @torch.inference_mode()
    def run(paths: Sequence[Path]) -> list[float]:
        scores = []
        for path in paths:
            pixels = torchvision.transforms.functional.to_tensor(Image.open(path).convert("RGB"))
            patches = pixels.unfold(1, 96, 48).unfold(2, 96, 48).permute(1, 2, 0, 3, 4).reshape(-1, 3, 96, 96)
            features = model(patches).double().numpy()
            difference = pristine.mean.numpy() - features.mean(0)
            spread = (pristine.covariance.numpy() + np.cov(features, rowvar=False)) / 2 + 1e-3 * np.eye(128)
            distance = np.sqrt(difference @ np.linalg.inv(spread) @ difference)
            scores.append(float(1 - 1 / (1 + np.exp(-distance / 100))))
        return scores

    return run


if __name__ == "__main__":
    main()
