"""GRepQ's loop for throughput.py, written from the facts of its paper (arXiv 2312.04838): one picture at a time.

The networks are those its authors use, OpenAI's CLIP (as pyiqa keeps it) and torchvision's ResNet-18; sentences and
pristine patches are encoded once, all patches of a picture in one batch. Runs in IQA-PyTorch's environment.

    python grepq_worker.py CLIP LOW PRISTINE_PATCHES        (torch files)
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from answering import Score, answer


def build() -> Score:
    """Both pathways, their sum as the score."""
    import torch
    import torchvision
    from PIL import Image
    from pyiqa.archs import clip_imports, clip_model
    from torch import Tensor, nn
    from torchvision.transforms.functional import normalize, to_tensor

    clip_file, low_file, patches_file = sys.argv[1:]
    clip = clip_model.build_model(torch.load(clip_file)).float().eval()
    encoder = torchvision.models.resnet18(weights=None)
    encoder.fc = nn.Sequential(nn.Linear(512, 512), nn.ReLU(), nn.Linear(512, 128))
    stored = torch.load(low_file)["model"]["state_dict"]
    body, head = "encoder.base_model.", "head."
    weights = {name.removeprefix(body): value for name, value in stored.items() if name.startswith(body)}
    weights = {name: value for name, value in weights.items() if not name.startswith("fc.")}
    weights |= {f"fc.{name.removeprefix(head)}": value for name, value in stored.items() if name.startswith(head)}
    encoder.load_state_dict(weights)
    encoder.eval()

    def gaussian(patches: Tensor) -> tuple[Tensor, Tensor]:
        features = encoder(patches).double()
        return features.mean(dim=0), torch.cov(features.T)

    @torch.no_grad()
    def prepared() -> tuple[Tensor, Tensor, Tensor]:
        sentences = clip.encode_text(clip_imports.clip.tokenize(["A good photo.", "A bad photo."]))
        return nn.functional.normalize(sentences), *gaussian(torch.load(patches_file))

    sentences, mean, covariance = prepared()

    @torch.no_grad()
    def one(path: str) -> float:
        with Image.open(path) as opened:
            picture = to_tensor(opened.convert("RGB"))
        seen = normalize(picture, (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711))
        features = nn.functional.normalize(clip.encode_image(seen[None], pos_embedding=False))
        cosines = (features @ sentences.T)[0]
        high = torch.sigmoid(10 * (cosines[0] - cosines[1]))

        patches = picture.unfold(1, 96, 48).unfold(2, 96, 48).permute(1, 2, 0, 3, 4).reshape(-1, 3, 96, 96)
        other_mean, other_covariance = gaussian(patches)
        between = mean - other_mean
        inverse = torch.linalg.inv((covariance + other_covariance) / 2 + 1e-3 * torch.eye(len(mean)))
        distance = (between @ inverse @ between).sqrt()
        return float(high + 1 - torch.sigmoid(distance / 100))

    def score(paths: Sequence[str]) -> list[float]:
        return [one(path) for path in paths]

    return score


if __name__ == "__main__":
    answer(build, ["pyiqa", "torch"])
