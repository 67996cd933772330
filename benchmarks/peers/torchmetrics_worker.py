"""torchmetrics' side of throughput.py: CLIP-IQA on a CLIP of transformers' format; imports nothing of vlqa.

Called as its documentation calls it: the object on each picture, of numbers up to 255 with the range left at 1, for
transformers divides by 255 once more. The tokens are given, since the file of its tokenizer cannot be had offline.

    python torchmetrics_worker.py CLIP_FOLDER TOKENS_AS_JSON
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

from answering import Score, answer


def build() -> Score:
    """The metric, with the text features that it keeps already computed."""
    import torch
    from PIL import Image
    from torchmetrics.functional.multimodal import clip_iqa as functional
    from torchmetrics.multimodal import CLIPImageQualityAssessment, clip_iqa
    from torchvision.transforms.functional import pil_to_tensor
    from transformers import CLIPImageProcessor, CLIPModel

    folder, tokens = sys.argv[1:]
    ids = torch.tensor(json.loads(tokens))

    class Processor:
        """CLIPProcessor without its tokenizer."""

        def __init__(self) -> None:
            settings = json.loads((Path(folder) / "preprocessor_config.json").read_text())
            self.images = CLIPImageProcessor(**settings)

        def __call__(self, text: object = None, images: object = None, **options: object) -> object:
            if text is not None:
                return {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
            return self.images(images, return_tensors="pt")

    def load(_: str) -> tuple[CLIPModel, Processor]:
        return CLIPModel.from_pretrained(folder).eval(), Processor()

    functional._get_clip_iqa_model_and_processor = load
    clip_iqa._get_clip_iqa_model_and_processor = load
    metric = CLIPImageQualityAssessment("openai/clip-vit-base-patch32")

    def score(paths: Sequence[str]) -> list[float]:
        scores = []
        for path in paths:
            with Image.open(path) as picture:
                scores.append(float(metric(pil_to_tensor(picture.convert("RGB"))[None].float())))
        return scores

    return score


if __name__ == "__main__":
    answer(build, ["torchmetrics", "transformers", "torch"])
