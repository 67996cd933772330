"""A worker of throughput.py seen from outside; peers/answering.py is its inside."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any


class Worker:
    """Starts a worker and waits until its model is built.

    Args:
        command: what to run.
        environment: variables beyond those of this process.
        first_to_go: of all processes, the kernel ends this one where memory runs out.

    Attributes:
        setup_s: from the start of its imports to a built model.
        versions: of what it measures.
        threads: that torch computes with.
    """

    def __init__(self, command: Sequence[str], environment: Mapping[str, str], *, first_to_go: bool = False) -> None:
        # PYTHONPATH and the like of this environment must not reach another one
        kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
        self.process = subprocess.Popen(
            list(command), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={**kept, **environment}
        )
        if first_to_go:
            with contextlib.suppress(OSError):
                Path(f"/proc/{self.process.pid}/oom_score_adj").write_text("1000")
        started = self._answer()
        self.setup_s: float = started["seconds"]
        self.versions: dict[str, str] = started["versions"]
        self.threads: int = started["threads"]

    def score(self, paths: Sequence[str]) -> tuple[list[float], float]:
        """Scores of pictures, and the seconds a picture took."""
        answer = self._ask({"score": list(paths)})
        return answer["scores"], answer["seconds"] / len(paths)

    def build_again(self) -> float:
        """Seconds of a second set-up, without imports."""
        return self._ask({"build": True})["seconds"]

    def peak_mib(self) -> float:
        """Peak resident memory so far."""
        return self._ask({"memory": True})["peak_mib"]

    def close(self) -> None:
        """End the worker."""
        assert self.process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
        self.process.wait()

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def _ask(self, request: dict[str, Any]) -> dict[str, Any]:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"worker {self.process.args} ended with status {self.process.wait()}")
        return json.loads(line)
