"""What this process may use of the machine: memory and cores, also where a container or a scheduler grants a part."""

from __future__ import annotations

import contextlib
import ctypes
import math
import os
from collections.abc import Iterator
from pathlib import Path

_UNKNOWN_MEMORY = 4 << 30  # bytes, where the system tells nothing

FREE_SHARE = 8
"""The part of the free memory, an eighth, that pictures ahead may take, and that a batch may."""


def free_memory_bytes(root: Path = Path("/")) -> int:
    """Bytes that this process can take before the system swaps or kills: of the machine, and of its control groups.

    All memory of the machine where the system, as macOS, does not tell how much of it is free.

    Args:
        root: where /proc and /sys lie.
    """
    free = [_memory_bytes()]
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


def return_freed_memory() -> None:
    """Give the system what glibc keeps of freed memory for later; see `vlqa.runtime.keep_freed_memory`."""
    with contextlib.suppress(OSError, AttributeError, TypeError):  # other C libraries; Windows
        ctypes.CDLL(None).malloc_trim(0)


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


def _memory_bytes() -> int:
    with contextlib.suppress(AttributeError, OSError, ValueError):  # Windows; a system without such a number
        pages = os.sysconf("SC_PHYS_PAGES")
        if pages > 0:
            return pages * os.sysconf("SC_PAGE_SIZE")
    return _UNKNOWN_MEMORY


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
