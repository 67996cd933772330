"""IQA-PyTorch's side of throughput.py, in an environment of its own: imports nothing of vlqa.

It is left as it is, except that weights come from files instead of downloads.

    python pyiqa_worker.py METRIC CHECKPOINT [LIQE_CHECKPOINT | ARNIQA_REGRESSOR]
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Sequence

from answering import Score, answer


def build() -> Score:
    """The metric, from its random weights."""
    import pyiqa
    import torch
    from pyiqa.archs import arniqa_arch, clip_model, clipiqa_arch, liqe_arch

    name, checkpoint, *own = sys.argv[1:]
    for arch in (clipiqa_arch, liqe_arch):  # builds as it does, from a state dict in place of OpenAI's archive
        arch.load = lambda *_: clip_model.build_model(torch.load(checkpoint)).float()
    if name == "arniqa":  # the encoder and ImageNet's weights, which the encoder's replace, are fetched
        arniqa_arch.torch.hub.load_state_dict_from_url = lambda *_, **__: torch.load(checkpoint)
        arniqa_arch.load_file_from_url = lambda *_, **__: own[0]
        resnet50 = arniqa_arch.torchvision.models.resnet50
        arniqa_arch.torchvision.models.resnet50 = functools.wraps(resnet50)(lambda **_: resnet50(weights=None))
    options = {"pretrained_model_path": own[0]} if name.startswith("liqe") else {}
    metric = pyiqa.create_metric(name, device="cpu", **options)

    def score(paths: Sequence[str]) -> list[float]:
        return [float(metric(path)) for path in paths]

    return score


if __name__ == "__main__":
    answer(build, ["pyiqa", "torch"])
