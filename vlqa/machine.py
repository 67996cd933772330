"""What this process may use of the machine: memory and cores, also where a container or a scheduler grants a part."""

from __future__ import annotations

import contextlib
import math
import os
from collections.abc import Iterator
from pathlib import Path

_UNKNOWN_MEMORY = 4 << 30  # bytes, where the system does not tell


def free_memory_bytes(root: Path = Path("/")) -> int:
    """Bytes that this process can take before the system swaps or kills: of the machine, and of its control groups.

    Args:
        root: where /proc and /sys lie.
    """
    free = [_UNKNOWN_MEMORY]
    with contextlib.suppress(OSError, ValueError, StopIteration):
        lines = (root / "proc/meminfo").read_text().splitlines()
        free = [1024 * int(next(line for line in lines if line.startswith("MemAvailable:")).split()[1])]
    for folder in _control_groups(root, "memory"):
        for limit, used, cache in (
            ("memory.max", "memory.current", "inactive_file"),
            ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),  # of the first version
        ):
            with contextlib.suppress(OSError, ValueError):  # no such group, or "max": no limit
                most = int((folder / limit).read_text())
                taken = int((folder / used).read_text())
                free.append(max(0, most - taken + _counter(folder / "memory.stat", cache)))
    return min(free)


def usable_cores(root: Path = Path("/")) -> int:
    """Cores that this process may keep busy: those it may run on, or fewer where its control groups grant less time.

    Args:
        root: where /proc and /sys lie.
    """
    cores = [len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1]
    for folder in _control_groups(root, "cpu"):
        with contextlib.suppress(OSError, ValueError):  # no such group, or "max": no quota
            quota, period = map(int, (folder / "cpu.max").read_text().split())
            cores.append(math.ceil(quota / period))
        with contextlib.suppress(OSError, ValueError):  # of the first version, -1: no quota
            quota = int((folder / "cpu.cfs_quota_us").read_text())
            cores.append(math.ceil(quota / int((folder / "cpu.cfs_period_us").read_text())) if quota > 0 else cores[0])
    return max(1, min(cores))


def _control_groups(root: Path, controller: str) -> Iterator[Path]:
    """Folders of the group of this process and of all groups around it, each of which may set a limit."""
    lines: list[str] = []
    with contextlib.suppress(OSError):
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers and controller not in controllers.split(","):
            continue
        top = root / "sys/fs/cgroup" / (controllers and controller)
        parts = [part for part in path.split("/") if part and part != ".."]  # a container sees its own group as the top
        for depth in range(len(parts), -1, -1):
            yield top.joinpath(*parts[:depth])


def _counter(file: Path, name: str) -> int:
    values = dict(line.split(" ", 1) for line in file.read_text().splitlines())
    return int(values.get(name, 0))
