"""vlqa's side of throughput.py: a process of its own; see peers/answering.py for what it is asked and answers.

Its argument is JSON of what `vlqa.load` takes, "model" among it, or the word decode: without a model it decodes the
pictures and gives their means.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence

from peers.answering import Score, answer


def build() -> Score:
    """The predictor, its sentences encoded."""
    import vlqa

    options = json.loads(sys.argv[1])
    predictor = vlqa.load(options.pop("model"), device="cpu", **options)
    if hasattr(predictor, "prompts"):
        predictor.backbone.encode_text(predictor.prompts.texts)  # else the first picture would pay for it
    return lambda paths: predictor.predict(paths).tolist()


def decoder() -> Score:
    """What any score of these files costs at least, on one thread."""
    from vlqa.data.images import decode

    def means(paths: Sequence[str]) -> list[float]:
        return [float(decode(path)[::64, ::64].mean()) for path in paths]

    return means


if __name__ == "__main__":
    answer(decoder if sys.argv[1] == "decode" else build, ["vlqa", "torch"])
