"""Guess people's opinion of photographs from what damage taught: a step of the bundled default's recipe.

Perceptrons with much dropout learn KADID-10k's mean opinions from a trunk's statistics of the kept renderings of a
recipe; the mean of what they say of unlabelled photographs is written as a label file, for `data.rated` of the next
run. No opinion of a real photograph takes part.

    python benchmarks/pseudo_opinions.py runs/mini_trunk/model ../shared/data/clive_train --output runs/pseudo.csv
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vlqa.data.crops import as_tensor
from vlqa.data.images import decode
from vlqa.models.image_encoder import ImageEncoder
from vlqa.predictors.views import WholeImage
from vlqa.prompts import PromptSet
from vlqa.training.build.encoders import encoder_of_model
from vlqa.training.build.pictures import pictures_of
from vlqa.training.build.rated import labels_of
from vlqa.training.config import read_config
from vlqa.training.photos import find_photos

_MIDDLE = 3.0  # of the scale from 1 to 5


def main() -> None:
    """Learn, guess, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("trunk", help="model of configs/mini_trunk.yaml")
    parser.add_argument("photos", type=Path, help="folder of photographs without labels")
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--recipe", type=Path, default=Path("configs/mini_base.yaml"), help="whose renderings teach")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="of the recipe")
    parser.add_argument("--size", type=int, default=320, help="side of the renderings, px")
    parser.add_argument("--perceptrons", type=int, default=4)
    parser.add_argument("--steps", type=int, default=1000)
    arguments = parser.parse_args()

    encoder = encoder_of_model(arguments.trunk, "trunk").eval()
    config = read_config(arguments.recipe, [*arguments.set, f"data.sizes=[{arguments.size}]"])
    labels = labels_of(PromptSet.load(config.model.prompts))
    (renderings, *_) = pictures_of(config.data, config.seed, labels).samples.sources
    seen, opinions = [], []
    for number in range(config.data.remember.renderings):
        sample = renderings.sample(number, arguments.size)
        seen.append(described(encoder, sample["image"]))
        opinions.append(sample["mos"])
    photos = find_photos([arguments.photos])
    view = WholeImage(max_shorter_side=config.model.max_shorter_side)
    unlabelled = torch.stack([described(encoder, as_tensor(view.resized(decode(photo)))) for photo in photos])

    taught = torch.stack(seen)
    mean, deviation = taught.mean(dim=0), taught.std(dim=0) + 1e-3
    taught, asked = (taught - mean) / deviation, (unlabelled - mean) / deviation
    truth = torch.stack(opinions).float()
    guesses = [learned(taught, truth, asked, arguments.steps, seed) for seed in range(arguments.perceptrons)]
    guess = torch.stack(guesses).mean(dim=0).clamp(1, 5)
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    with arguments.output.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("path", "mos"))
        for photo, value in zip(photos, guess.tolist(), strict=True):
            writer.writerow((photo.relative_to(arguments.photos), f"{value:.4f}"))
    agreement = np.corrcoef(torch.stack(guesses).numpy())[0, 1:].mean() if len(guesses) > 1 else 1.0
    print(f"{len(photos)} photographs: mean {guess.mean():.2f}, deviation {guess.std():.2f}, agreement {agreement:.2f}")


@torch.inference_mode()
def described(encoder: ImageEncoder, image: Tensor) -> Tensor:
    """Statistics of a picture (3, h, w), (width,)."""
    return encoder(image[None])[0].float().clone()


def learned(seen: Tensor, opinions: Tensor, asked: Tensor, steps: int, seed: int) -> Tensor:
    """What a perceptron that learned `opinions` from `seen` says of `asked`."""
    torch.manual_seed(seed)
    net = nn.Sequential(
        nn.Dropout(0.5), nn.Linear(seen.shape[1], 512), nn.GELU(), nn.Dropout(0.5), nn.Linear(512, 1)
    )  # fmt: skip
    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-3, weight_decay=0.3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for _ in range(steps):
        rows = torch.randint(0, len(seen), (160,))
        loss = F.mse_loss(net(seen[rows])[:, 0] + _MIDDLE, opinions[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    with torch.no_grad():
        return net.eval()(asked)[:, 0] + _MIDDLE


if __name__ == "__main__":
    main()
