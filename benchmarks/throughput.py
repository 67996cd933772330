"""Is vlqa as fast and as small as the field's libraries? Milliseconds from file to score, memory, set-up, in one run.

Both sides get the same random weights and the same JPEGs, each in a process of its own that scores them in one call;
rounds alternate (peer, fp32, exported, bf16, …), so that a busy machine slows all alike: read the ratios, not the
milliseconds. The peers know fp32 only; IQA-PyTorch (pyiqa) is licensed for non-commercial use, and runs here to be
measured, no more. "exported" is the same model after `vlqa export`. "mini" is vlqa's default beside the fastest
network among the peers, and beside decoding alone.

    python benchmarks/throughput.py [--cases liqe clipiqa …] [--rounds 5] [--peers .peers]

Prints a table, adds to benchmarks/results/throughput.json. liqe_mix needs 21 GiB of free memory, for the peer.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from PIL import Image

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]

from peers.environment import peer_python  # noqa: E402
from provenance import provenance  # noqa: E402
from throughput_cases import CASES, Case, Given  # noqa: E402
from worker_process import Worker  # noqa: E402

from tests.synthetic import picture  # noqa: E402
from vlqa.machine import free_memory_bytes  # noqa: E402

_ENVIRONMENTS = {"pyiqa": "pyiqa", "grepq": "pyiqa", "torchmetrics": "torchmetrics"}


def main() -> None:
    """Run the cases, print the table, write the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--peers", type=Path, default=Path(os.environ.get("VLQA_PEERS", ROOT / ".peers")))
    parser.add_argument("--output", type=Path, default=ROOT / "benchmarks/results/throughput.json")
    arguments = parser.parse_args()

    earlier = json.loads(arguments.output.read_text()) if arguments.output.exists() else {}
    measured: dict[str, Any] = {}
    for name in arguments.cases:
        measured[name] = _measured(CASES[name], arguments)
        _print_case(name, measured[name])
        sys.stdout.flush()
    report = {**provenance(), "start": _start(), "cases": earlier.get("cases", {}) | measured}
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    arguments.output.write_text(json.dumps(report, indent=2) + "\n")
    start = report["start"]
    print(f"import vlqa: {start['import_s']:.2f} s beyond importing nothing; vlqa --help: {start['help_s']:.2f} s")


def _measured(case: Case, arguments: argparse.Namespace) -> dict[str, Any]:
    if (free := free_memory_bytes() / 2**30) < case.free_gib:
        return {"skipped": f"{free:.1f} GiB free, {case.free_gib:g} needed"}
    with tempfile.TemporaryDirectory(prefix="vlqa-bench-") as folder:
        sides = _Sides(case, Path(folder), arguments.peers.resolve())
        paths = _write_pictures(Path(folder), case.pictures, case.size)
        at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        return {**provenance(), "date": at, **_measure(case, sides, paths, arguments.rounds)}


class _Sides:
    """Starts the processes of a case."""

    def __init__(self, case: Case, folder: Path, peers: Path) -> None:
        self.case = case
        self.given: Given = case.write(folder)
        self.environment = {"VLQA_CACHE": str(folder / "vlqa"), "TORCH_HOME": str(folder / "torch")}
        (folder / "torch/hub/pyiqa").mkdir(parents=True)  # where that peer keeps text features
        self.exported = folder / "exported"
        if any("exported" in side for side in case.sides):
            self._export()
        self.peer_python = peer_python(peers, _ENVIRONMENTS[case.peer]) if case.peer != "decode" else None

    def start(self, side: str) -> Worker:
        """A process of "peer" or one of our sides."""
        if side != "peer":
            options = dict(self.case.options) | {"precision": "bf16" if "bf16" in side else "fp32"}
            model = {"model": str(self.exported)} if "exported" in side else self.given.ours
            return self._ours(json.dumps(model | options))
        if self.peer_python is None:
            return self._ours("decode")
        script = ROOT / f"benchmarks/peers/{self.case.peer}_worker.py"
        command = [str(self.peer_python), str(script), *self.given.theirs]
        return Worker(command, self.environment, first_to_go=True)

    def _ours(self, argument: str) -> Worker:
        command = [sys.executable, str(ROOT / "benchmarks/vlqa_worker.py"), argument]
        return Worker(command, {**self.environment, "PYTHONPATH": str(ROOT)})

    def _export(self) -> None:
        ours = self.given.ours
        weights = ["--weights", ours["weights"]] if "weights" in ours else []
        command = ["export", "--model", ours["model"], *weights, "--output", str(self.exported)]
        subprocess.run([sys.executable, "-m", "vlqa", *command], check=True, stdout=subprocess.DEVNULL, cwd=ROOT)


def _measure(case: Case, sides: _Sides, paths: list[str], rounds: int) -> dict[str, Any]:
    first: dict[str, Any] = {}
    for side in ("fp32", "peer"):  # no text features stored yet
        with sides.start(side) as worker:
            worker.score(paths[:1])
            first[side] = _size(worker)
    names = ("peer", *case.sides)
    with contextlib.ExitStack() as running:
        workers = {side: running.enter_context(sides.start(side)) for side in names}
        scores = {side: workers[side].score(paths)[0] for side in names}  # warms up as well
        times: dict[str, list[float]] = {side: [] for side in names}
        for _ in range(rounds):
            for side in names:
                times[side].append(workers[side].score(paths)[1])
        return {
            "first": first,
            "later": {
                side: _size(workers[side]) | {"without_imports_s": workers[side].build_again()} for side in names
            },
            "ms": {side: [1000 * seconds for seconds in times[side]] for side in names},
            "ratio": {side: _ratio(times["peer"], times[side]) for side in case.sides},
            "largest_difference": {
                side: _largest_difference(scores[side], scores["peer"], case.unit) for side in case.sides
            },
            "versions": workers["fp32"].versions | {f"peer {k}": v for k, v in workers["peer"].versions.items()},
            "threads": {side: workers[side].threads for side in names},
        }


def _write_pictures(folder: Path, count: int, size: tuple[int, int]) -> list[str]:
    paths = [folder / f"{number}.jpg" for number in range(count)]
    for number, path in enumerate(paths):
        Image.fromarray(picture(*size, 200 + number)).save(path, quality=90)
    return [str(path) for path in paths]


def _size(worker: Worker) -> dict[str, float]:
    return {"setup_s": worker.setup_s, "peak_mib": worker.peak_mib()}


def _largest_difference(ours: list[float], theirs: list[float], unit: float | None) -> float | None:
    if unit is None:
        return None
    return max(abs(a / unit - b) for a, b in zip(ours, theirs, strict=True))


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


def _print_case(name: str, case: dict[str, Any]) -> None:
    if "skipped" in case:
        print(f"{name}: skipped, {case['skipped']}")
        return
    target, peer_ms = CASES[name].target, statistics.median(case["ms"]["peer"])
    against = CASES[name].peer
    print(f"{name}, {CASES[name].size[1]}×{CASES[name].size[0]}, beside {against} ({peer_ms:.0f} ms)")
    for side, ratio in case["ratio"].items():
        difference = case["largest_difference"][side]
        print(
            f"  {side:<14}{statistics.median(case['ms'][side]):>6.0f} ms   {ratio['median']:>5.2f}×"
            f" ({ratio['lowest']:.2f}–{ratio['highest']:.2f})   {_goal(ratio['median'], target.ratio.get(side)):<22}"
            + ("" if difference is None else f"scores differ by {difference:.0e} at most")
        )
    first, later = ({side: case[run][side] for side in ("fp32", "peer")} for run in ("first", "later"))
    for what, runs, figure, unit, most in (
        ("first set-up", first, "setup_s", "s", target.first and target.first[0]),
        ("peak with a picture", first, "peak_mib", "MiB", target.first and target.first[1]),
        ("set-up from then on", later, "setup_s", "s", None),
        ("the same without imports", later, "without_imports_s", "s", target.later_s),
        ("peak", later, "peak_mib", "MiB", target.peak_mib),
    ):
        ours, theirs = (f"{runs[side][figure]:.{0 if unit == 'MiB' else 1}f}" for side in ("fp32", "peer"))
        print(f"  {what:<26}{ours:>6} {unit} (peer {theirs}){_limit(runs['fp32'][figure], most)}")


def _goal(ratio: float, least: float | None) -> str:
    return "" if least is None else f"at least {least:.2g}: {'met' if ratio >= least else 'missed'}"


def _limit(value: float, most: float | None) -> str:
    return "" if most is None else f" [at most {most:g}: {'met' if value <= most else 'missed'}]"


if __name__ == "__main__":
    main()
