"""The peer's side of throughput.py: IQA-PyTorch, in an environment of its own, scoring one path a line.

Runs under the peer's Python, so it imports nothing of vlqa. The peer is left as it is, except that CLIP's weights come
from a file instead of a download.

    python pyiqa_worker.py METRIC CHECKPOINT [LIQE_CHECKPOINT]

Reads lines {"score": path} and {"memory": true}; answers on standard output with one line of JSON each.
"""

from __future__ import annotations

import contextlib
import json
import re
import sys
import time
from pathlib import Path


def main() -> None:
    """Build the metric, say so, then answer line by line."""
    answers = sys.stdout
    with contextlib.redirect_stdout(sys.stderr):  # the peer prints while it loads
        started = time.perf_counter()
        import pyiqa
        import torch
        from pyiqa.archs import clip_model, clipiqa_arch, liqe_arch

        name, checkpoint, *own = sys.argv[1:]
        for arch in (
            clipiqa_arch,
            liqe_arch,
        ):  # builds as the peer does, from a state dict in place of OpenAI's archive
            arch.load = lambda *_: clip_model.build_model(torch.load(checkpoint)).float()
        options = {"pretrained_model_path": own[0]} if own else {}
        metric = pyiqa.create_metric(name, device="cpu", **options)
        seconds = time.perf_counter() - started
    versions = {"pyiqa": pyiqa.__version__, "torch": torch.__version__}
    print(
        json.dumps({"seconds": seconds, "threads": torch.get_num_threads(), "versions": versions}),
        file=answers,
        flush=True,
    )
    for line in sys.stdin:
        request = json.loads(line)
        if "score" in request:
            started = time.perf_counter()
            score = float(metric(request["score"]))
            answer = {"score": score, "seconds": time.perf_counter() - started}
        else:
            answer = {"peak_mib": peak_mib()}
        print(json.dumps(answer), file=answers, flush=True)


def peak_mib() -> float:
    """Peak resident memory of this process; getrusage would report the parent's where that was larger."""
    return int(re.findall(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())[0]) / 1024


if __name__ == "__main__":
    main()
