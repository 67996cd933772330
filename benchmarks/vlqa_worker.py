"""vlqa's side of throughput.py: a process of its own that scores one path a line.

    python vlqa_worker.py MODEL CHECKPOINT OPTIONS_AS_JSON        (CHECKPOINT "": MODEL is a folder)

Reads lines {"score": path} and {"memory": true}; answers on standard output with one line of JSON each.
"""

from __future__ import annotations

import json
import re
import sys
import time
from pathlib import Path


def main() -> None:
    """Build the model, its sentences encoded, say so, then answer line by line."""
    started = time.perf_counter()
    import vlqa

    name, checkpoint, options = sys.argv[1:]
    predictor = vlqa.load(name, weights=checkpoint or None, device="cpu", **json.loads(options))
    predictor.backbone.encode_text(predictor.prompts.texts)  # else the first picture would pay for it
    seconds = time.perf_counter() - started
    import torch

    versions = {"vlqa": vlqa.__version__, "torch": torch.__version__}
    print(json.dumps({"seconds": seconds, "threads": torch.get_num_threads(), "versions": versions}), flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        if "score" in request:
            started = time.perf_counter()
            score = float(predictor.predict(request["score"])[0])
            answer = {"score": score, "seconds": time.perf_counter() - started}
        else:
            answer = {"peak_mib": peak_mib()}
        print(json.dumps(answer), flush=True)


def peak_mib() -> float:
    """Peak resident memory of this process; getrusage would report the parent's where that was larger."""
    return int(re.findall(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())[0]) / 1024


if __name__ == "__main__":
    main()
