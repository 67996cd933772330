"""Does any file break the decoder? Damaged pictures of every format; each must give pixels or one line of error.

    python benchmarks/fuzz.py [--files 10000] [--seed 0] [--isolate] [--keep folder]

Every file is a function of the seed and its number. Decoding runs in a process of its own, one for all files, so that
what one leaves behind meets the next; a crash or a hang is counted, and a new process goes on with the next file. With
--isolate it runs as `vlqa score --isolate` runs it. Status 1 if a file crashed, hung, raised anything but one line of
ImageDecodeError, or if memory grew, or more was taken than a picture can need.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import resource
import statistics
import sys
import time
import warnings
from collections import Counter
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import psutil

sys.path[:0] = [str(Path(__file__).resolve().parent.parent), str(Path(__file__).resolve().parent)]

from mutations import damaged, good_files  # noqa: E402

from vlqa.data.images import decode  # noqa: E402
from vlqa.data.isolation import IsolatedDecoder  # noqa: E402
from vlqa.errors import ImageDecodeError  # noqa: E402
from vlqa.types import Pixels  # noqa: E402

MAX_PIXELS = 1 << 24
PEAK_MIB = 768
"""What a process may ever hold: 32 bytes a pixel, as an isolated one may, and 256 MiB of libraries."""

GROWTH_MIB = 64
"""What memory may grow by from the second quarter of a run to the last.

One largest picture's worth: where a large one lay, the allocator keeps room. A leak shows in more files, or in the same
ones again: 1500 of them 12 times over took 12 kB more a thousand.
"""


@dataclass(frozen=True)
class Outcome:
    """What became of one file.

    Attributes:
        what: "pixels", "refused", or what must not be: "crash", "hang", "exception", "message".
        text: of the error.
        seconds: that it took.
        memory_mib: resident in the decoding process afterwards.
        peak_mib: the most that was resident so far.
    """

    what: str
    text: str
    seconds: float
    memory_mib: float
    peak_mib: float


Run: TypeAlias = Generator[Any, bytes, None]  # is sent files, gives an Outcome of each


def judged(decoder: Callable[[bytes], Pixels], data: bytes) -> tuple[str, str]:
    """What a decoder makes of a file, and the text of its error."""
    try:
        pixels = decoder(data)
    except ImageDecodeError as error:
        text = str(error)
        plain = text.isprintable() and len(text) < 500 and text.startswith("image given as bytes: ")
        what = "crash" if "crashed" in text or "ended its decoder" in text else "hang" if "took longer" in text else ""
        return what or ("refused" if plain else "message"), text
    except Exception as error:
        return "exception", f"{type(error).__name__}: {error}"
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or not 0 < pixels.size <= 3 * MAX_PIXELS:
        return "exception", f"pixels of {pixels.dtype} {pixels.shape}"
    return "pixels", ""


def fuzz(numbers: range, seed: int, limit_s: float, isolate: bool) -> Iterator[tuple[bytes, Outcome]]:
    """Each damaged file and what became of it."""
    files = list(good_files().values())
    run = isolated(limit_s) if isolate else in_one_process(limit_s)
    next(run)
    try:
        for number in numbers:
            data = damaged(files, np.random.default_rng([seed, number]))
            yield data, run.send(data)
    finally:
        run.close()


def isolated(limit_s: float) -> Run:
    """Give the outcome of each file sent, decoded as `vlqa score --isolate` does."""
    decoder = IsolatedDecoder(MAX_PIXELS, limit_s)
    outcome: Outcome | None = None
    try:
        while True:
            data = yield outcome
            began = time.perf_counter()
            what, text = judged(decoder, data)
            seconds = time.perf_counter() - began
            outcome = Outcome(what, text, seconds, sum(map(_resident, [None, *_children()])), _peak())
    finally:
        decoder.close()


def in_one_process(limit_s: float, decoder: Callable[..., Pixels] = decode) -> Run:
    """Give the outcome of each file sent, decoded in one process until a file ends it."""
    context = multiprocessing.get_context("spawn")
    process: Any = None
    outcome: Outcome | None = None
    try:
        while True:
            data = yield outcome
            if process is None:
                ours, theirs = context.Pipe()
                process = context.Process(target=_serve, args=(theirs, decoder), daemon=True)
                process.start()
                theirs.close()
                ours.recv()
            ours.send_bytes(data)
            hung = not ours.poll(limit_s)
            try:
                outcome = Outcome("hang", "", limit_s, 0, 0) if hung else ours.recv()
            except EOFError:
                process.join()
                outcome = Outcome("crash", f"exit code {process.exitcode}", 0, 0, 0)
            if outcome.what in ("hang", "crash"):
                process.kill()
                process.join()
                process = None
    finally:
        if process is not None:
            process.kill()
            process.join()


def _serve(connection: Connection, decoder: Callable[..., Pixels]) -> None:
    warnings.simplefilter("ignore")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # libtiff and libjpeg say there what they meet
    connection.send("ready")
    while True:
        data = connection.recv_bytes()
        began = time.perf_counter()
        what, text = judged(partial(decoder, max_pixels=MAX_PIXELS), data)
        connection.send(Outcome(what, text, time.perf_counter() - began, _resident(None), _peak()))


def _resident(number: int | None) -> float:
    return psutil.Process(number).memory_info().rss / 2**20


def _children() -> list[int]:
    return [child.pid for child in psutil.Process().children()]


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)


def growth(memory_mib: list[float]) -> float:
    """From the second quarter of a run, when all readers are loaded, to the last; MiB, by medians."""
    quarter = len(memory_mib) // 4
    return statistics.median(memory_mib[-quarter:]) - statistics.median(memory_mib[quarter : 2 * quarter])


def main() -> int:
    """Run, print what became of the files, and return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=10_000)
    parser.add_argument("--first", type=int, default=0, help="number of the first file")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--limit", type=float, default=10, help="seconds a file may take")
    parser.add_argument("--isolate", action="store_true")
    parser.add_argument("--keep", type=Path, help="folder for the files that broke something, and the slowest")
    options = parser.parse_args()

    outcomes: list[Outcome] = []
    slowest: list[tuple[float, int, bytes]] = []
    numbers = range(options.first, options.first + options.files)
    for number, (data, outcome) in zip(
        numbers, fuzz(numbers, options.seed, options.limit, options.isolate), strict=True
    ):
        outcomes.append(outcome)
        slowest = sorted([*slowest, (outcome.seconds, number, data)], reverse=True)[:5]
        if outcome.what not in ("pixels", "refused"):
            print(f"{outcome.what}: file {number}: {outcome.text!r}", flush=True)
            _keep(options.keep, f"{outcome.what}_{number}", data)
        if (len(outcomes)) % 1000 == 0:
            print(f"{len(outcomes)} files, {outcome.memory_mib:.0f} MiB", file=sys.stderr, flush=True)
    for seconds, number, data in slowest:
        print(f"slow: file {number}: {seconds:.2f} s, {len(data)} bytes, {data[:12]!r}")
        _keep(options.keep, f"slow_{number}", data)
    counts = Counter(outcome.what for outcome in outcomes)
    grown = growth([outcome.memory_mib for outcome in outcomes if outcome.memory_mib]) if len(outcomes) >= 40 else 0.0
    print(", ".join(f"{what} {count}" for what, count in counts.most_common()))
    peak = max(outcome.peak_mib for outcome in outcomes)
    print(f"largest memory {peak:.0f} MiB, growth {grown:.1f} MiB")
    return int(not set(counts) <= {"pixels", "refused"} or grown > GROWTH_MIB or peak > PEAK_MIB)


def _keep(folder: Path | None, name: str, data: bytes) -> None:
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)


if __name__ == "__main__":
    sys.exit(main())
