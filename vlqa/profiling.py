"""Where the time of a run goes: seconds a stage, summed over threads."""

from __future__ import annotations

import contextlib
import threading
import time
from collections import defaultdict
from collections.abc import Iterator


class Profile:
    """Seconds and calls of each stage.

    Attributes:
        seconds: by stage, in all threads together.
        calls: by stage.
        wall: seconds from the start of the profile to its end.
    """

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self.calls: dict[str, int] = defaultdict(int)
        self.wall = 0.0
        self._lock = threading.Lock()

    def add(self, stage: str, seconds: float) -> None:
        """Count one call of a stage."""
        with self._lock:
            self.seconds[stage] += seconds
            self.calls[stage] += 1


_profiles: list[Profile] = []


@contextlib.contextmanager
def profiled() -> Iterator[Profile]:
    """Profile all stages of this process until the block ends."""
    profile, begun = Profile(), time.perf_counter()
    _profiles.append(profile)
    try:
        yield profile
    finally:
        _profiles.remove(profile)
        profile.wall = time.perf_counter() - begun


@contextlib.contextmanager
def stage(name: str) -> Iterator[None]:
    """Count the time of the block, if anyone profiles."""
    if not _profiles:
        yield
        return
    begun = time.perf_counter()
    try:
        yield
    finally:
        for profile in list(_profiles):
            profile.add(name, time.perf_counter() - begun)
