"""Is vlqa as fast and as small as the field's library? Milliseconds from file to score, memory, set-up, in one run.

Both sides get the same random weights and the same JPEGs, each in a process of its own; rounds alternate (vlqa fp32,
peer, vlqa bf16, exported, …), so that a busy machine slows all alike: read the ratios, not the milliseconds. The peer,
IQA-PyTorch (pyiqa), knows fp32 only; it is licensed for non-commercial use, and runs here to be measured, no more.
"exported" is the same model after `vlqa export`.

    python benchmarks/throughput.py [--cases liqe clipiqa …] [--rounds 5] [--peers .peers]

Prints a table and writes benchmarks/results/throughput.json. liqe_mix needs 21 GiB of free memory, for the peer.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from PIL import Image

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]

from peers.environment import peer_python  # noqa: E402
from provenance import provenance  # noqa: E402
from worker_process import Worker  # noqa: E402

from tests.synthetic import openai_checkpoint, picture  # noqa: E402

SIDES = ("fp32", "peer", "bf16", "exported", "exported bf16")
OURS = tuple(side for side in SIDES if side != "peer")


@dataclass(frozen=True)
class Case:
    """One method on both sides.

    Attributes:
        name: of the case.
        peer: pyiqa's metric.
        model: vlqa's name of it.
        architecture: open_clip's name of the network.
        options: of `vlqa.load`, so that both compute the same.
        free_gib: memory that must be free for the peer's first start.
        size: height and width of the pictures, px.
    """

    name: str
    peer: str
    model: str
    architecture: str
    options: dict[str, Any] = field(default_factory=dict)
    free_gib: float = 4
    size: tuple[int, int] = (768, 1024)


_QUALITY = {"patches": "pyiqa", "prompts": "liqe_quality"}
CASES = {
    case.name: case
    for case in (
        Case("liqe", "liqe", "liqe", "ViT-B-32", _QUALITY),
        Case("liqe 12 MP", "liqe", "liqe", "ViT-B-32", _QUALITY, free_gib=12, size=(3000, 4000)),
        Case("liqe_mix", "liqe_mix", "liqe", "ViT-B-32", _QUALITY | {"prompts": "liqe_multitask"}, free_gib=21),
        Case("clipiqa", "clipiqa", "clip-iqa-ensemble", "RN50"),
    )
}


def main() -> None:
    """Run the cases, print the table, write the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--pictures", type=int, default=3, help="JPEGs a round")
    parser.add_argument("--peers", type=Path, default=Path(os.environ.get("VLQA_PEERS", ROOT / ".peers")))
    parser.add_argument("--output", type=Path, default=ROOT / "benchmarks/results/throughput.json")
    arguments = parser.parse_args()

    peer = peer_python(arguments.peers.resolve())
    report: dict[str, Any] = {**provenance(), "start": _start(), "cases": {}}
    with tempfile.TemporaryDirectory(prefix="vlqa-bench-") as folder:
        for name in arguments.cases:
            paths = _write_pictures(Path(folder), arguments.pictures, CASES[name].size)
            free = _free_gib()
            if free < CASES[name].free_gib:
                report["cases"][name] = {"skipped": f"{free:.1f} GiB free, {CASES[name].free_gib:g} needed"}
            else:
                report["cases"][name] = _measure(CASES[name], Path(folder), paths, arguments.rounds, peer)
            _print_case(name, report["cases"][name])
    report["date"] = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    arguments.output.write_text(json.dumps(report, indent=2) + "\n")
    start = report["start"]
    print(f"import vlqa: {start['import_s']:.2f} s beyond importing nothing; vlqa --help: {start['help_s']:.2f} s")


def _write_pictures(folder: Path, count: int, size: tuple[int, int]) -> list[str]:
    paths = [folder / f"{size[0]}_{number}.jpg" for number in range(count)]
    for number, path in enumerate(paths):
        Image.fromarray(picture(*size, 200 + number)).save(path, quality=90)
    return [str(path) for path in paths]


def _measure(case: Case, folder: Path, paths: list[str], rounds: int, peer_python: Path) -> dict[str, Any]:
    files = _write_checkpoints(case, folder)
    own = folder / case.name
    environment = {"VLQA_CACHE": str(own / "vlqa"), "TORCH_HOME": str(own / "torch")}
    (own / "torch/hub/pyiqa").mkdir(parents=True)  # where the peer keeps text features
    exported = own / "exported"
    export = ["export", "--model", case.model, "--weights", files[0], "--output", str(exported)]
    subprocess.run([sys.executable, "-m", "vlqa", *export], check=True, stdout=subprocess.DEVNULL, cwd=ROOT)

    def start(side: str) -> Worker:
        if side == "peer":
            script = ROOT / "benchmarks/peers/pyiqa_worker.py"
            return Worker([str(peer_python), str(script), case.peer, *files], environment, first_to_go=True)
        options = json.dumps(case.options | {"precision": "bf16" if "bf16" in side else "fp32"})
        script = ROOT / "benchmarks/vlqa_worker.py"
        model = [str(exported), ""] if "exported" in side else [case.model, files[0]]
        return Worker([sys.executable, str(script), *model, options], environment)

    first: dict[str, Any] = {}
    for side in ("fp32", "peer"):  # no text features stored yet
        with start(side) as worker:
            worker.score(paths[0])
            first[side] = {"setup_s": worker.setup_s, "peak_mib": worker.peak_mib()}
    workers = {side: start(side) for side in SIDES}
    try:
        scores = {side: [workers[side].score(path)[0] for path in paths] for side in SIDES}  # warms up as well
        times: dict[str, list[float]] = {side: [] for side in SIDES}
        for _ in range(rounds):
            for side in SIDES:
                times[side].append(statistics.mean(workers[side].score(path)[1] for path in paths))
        return {
            "first": first,
            "later": {side: {"setup_s": workers[side].setup_s, "peak_mib": workers[side].peak_mib()} for side in SIDES},
            "ms": {side: [1000 * seconds for seconds in times[side]] for side in SIDES},
            "ratio": {side: _ratio(times["peer"], times[side]) for side in OURS},
            "largest_difference": {
                side: max(abs(a - b) for a, b in zip(scores[side], scores["peer"], strict=True)) for side in OURS
            },
            "versions": workers["fp32"].versions | {f"peer {k}": v for k, v in workers["peer"].versions.items()},
            "threads": {side: workers[side].threads for side in SIDES},
        }
    finally:
        for worker in workers.values():
            worker.close()


def _write_checkpoints(case: Case, folder: Path) -> list[str]:
    # OpenAI's files hold halves, and the peer rounds to them: weights that a half cannot hold would differ
    weights = {
        name: tensor.half().float() if tensor.is_floating_point() else tensor
        for name, tensor in openai_checkpoint(case.architecture, seed=1).items()
    }
    (folder / case.name).mkdir()
    clip, own = folder / case.name / "clip.pt", folder / case.name / "liqe_own.pt"
    torch.save(weights, clip)
    if case.model != "liqe":
        return [str(clip)]
    torch.save({"params": {f"clip_model.{name}": tensor for name, tensor in weights.items()}}, own)
    return [str(clip), str(own)]


def _ratio(peer: list[float], ours: list[float]) -> dict[str, float]:
    ratios = [a / b for a, b in zip(peer, ours, strict=True)]
    return {"median": statistics.median(ratios), "lowest": min(ratios), "highest": max(ratios)}


def _start() -> dict[str, float]:
    def seconds(*command: str) -> float:
        def once() -> float:
            started = time.perf_counter()
            subprocess.run([sys.executable, *command], check=True, stdout=subprocess.DEVNULL, cwd=ROOT)
            return time.perf_counter() - started

        return statistics.median(once() for _ in range(5))

    nothing = seconds("-c", "pass")
    shown = "import sys; from vlqa.apps.cli import main; sys.argv = ['vlqa', '--help']; main()"
    return {"nothing_s": nothing, "import_s": seconds("-c", "import vlqa") - nothing, "help_s": seconds("-c", shown)}


def _free_gib() -> float:
    available = re.search(r"MemAvailable:\s+(\d+)", Path("/proc/meminfo").read_text())
    return int(available[1]) / 2**20 if available else float("inf")


_HEADER = (
    "case            precision        ours ms   peer ms   ratio (spread)       peak MiB ours/peer: first, later      "
    "set-up s ours/peer: first, later    largest difference"
)


def _print_case(name: str, case: dict[str, Any]) -> None:
    if "skipped" in case:
        print(f"{name:<16}skipped: {case['skipped']}")
        return
    print(_HEADER)
    first, later, peer_ms = case["first"], case["later"], statistics.median(case["ms"]["peer"])
    for side, ratio in case["ratio"].items():
        cells = []
        for figure, width in (("peak_mib", 7), ("setup_s", 6)):
            form = f">{width}.0f" if figure == "peak_mib" else f">{width}.1f"
            begin = (
                f"{first['fp32'][figure]:{form}}/{first['peer'][figure]:<{form[1:]}}" if side == "fp32" else " " * 15
            )
            cells.append(f"{begin}{later[side][figure]:{form}}/{later['peer'][figure]:<{form[1:]}}")
        print(
            f"{name:<16}{side:<15}{statistics.median(case['ms'][side]):>9.0f}{peer_ms:>10.0f}"
            f"{ratio['median']:>8.2f} ({ratio['lowest']:.2f}–{ratio['highest']:.2f})   {cells[0]:<38}{cells[1]:<36}"
            f"{case['largest_difference'][side]:.1e}"
        )


if __name__ == "__main__":
    main()
