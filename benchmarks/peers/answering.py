"""How a worker of throughput.py answers: lines of JSON in, lines of JSON out. No import beyond the standard library.

A first line tells the seconds of the set-up, imports included, the versions and the threads. Then
{"score": [path, …]} is answered by {"scores": […], "seconds": …}, {"memory": true} by {"peak_mib": …}, and
{"build": true} by {"seconds": …} of a second set-up in the same process, for which all is imported.
"""

from __future__ import annotations

import contextlib
import json
import re
import sys
import time
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path

Score = Callable[[Sequence[str]], Sequence[float]]


def answer(build: Callable[[], Score], packages: Sequence[str]) -> None:
    """Build a scorer, tell so, then score until the input ends.

    Args:
        build: imports and builds all that scoring needs, and gives the function from paths to scores.
        packages: whose versions are told.
    """
    answers = sys.stdout
    with contextlib.redirect_stdout(sys.stderr):  # some print while they load
        started = time.perf_counter()
        score = build()
        seconds = time.perf_counter() - started
        import torch

    def tell(**told: object) -> None:
        print(json.dumps(told), file=answers, flush=True)

    tell(seconds=seconds, threads=torch.get_num_threads(), versions={name: version(name) for name in packages})
    for line in sys.stdin:
        request = json.loads(line)
        if "score" in request:
            started = time.perf_counter()
            scores = [float(value) for value in score(request["score"])]
            tell(scores=scores, seconds=time.perf_counter() - started)
        elif "build" in request:
            del score  # no two models at once
            started = time.perf_counter()
            with contextlib.redirect_stdout(sys.stderr):
                score = build()
            tell(seconds=time.perf_counter() - started)
        else:
            tell(peak_mib=_peak_mib())


def _peak_mib() -> float:
    """Peak resident memory of this process; getrusage would report the parent's where that was larger."""
    return int(re.findall(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())[0]) / 1024
