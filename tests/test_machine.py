from __future__ import annotations

import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import vlqa.runtime
from vlqa.machine import free_memory_bytes, usable_cores

MIB = 1 << 20


def write(root: Path, files: dict[str, str]) -> Path:
    """A folder like / with files of /proc and /sys."""
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


MEMINFO = {"proc/meminfo": "MemTotal:  4000 kB\nMemAvailable:    3072 kB\n"}


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        (MEMINFO, 3 * MIB),
        (MEMINFO | {"proc/self/cgroup": "0::/a/b\n"}, 3 * MIB),
        (
            MEMINFO
            | {
                "proc/self/cgroup": "0::/a/b\n",
                "sys/fs/cgroup/a/b/memory.max": "max\n",
                "sys/fs/cgroup/a/b/memory.current": "5\n",
                "sys/fs/cgroup/a/memory.max": f"{2 * MIB}\n",
                "sys/fs/cgroup/a/memory.current": f"{MIB}\n",
                "sys/fs/cgroup/a/memory.stat": f"anon 1\ninactive_file {MIB // 2}\n",
            },
            MIB * 3 // 2,
        ),
        (  # in a container, which sees its own group as the top
            MEMINFO
            | {
                "proc/self/cgroup": "4:cpu:/x\n3:memory:/docker/x\n",
                "sys/fs/cgroup/memory/memory.limit_in_bytes": f"{MIB}\n",
                "sys/fs/cgroup/memory/memory.usage_in_bytes": f"{2 * MIB}\n",
                "sys/fs/cgroup/memory/memory.stat": "cache 5\n",
            },
            0,
        ),
    ],
)
def test_free_memory_is_the_least_of_the_machine_and_its_groups(
    tmp_path: Path, files: dict[str, str], expected: int
) -> None:
    assert free_memory_bytes(write(tmp_path, files)) == expected


def test_all_memory_of_the_machine_counts_where_the_system_does_not_tell_what_is_free(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    numbers = {"SC_PHYS_PAGES": 1 << 22, "SC_PAGE_SIZE": 1 << 14}
    monkeypatch.setattr(os, "sysconf", numbers.__getitem__, raising=False)
    assert free_memory_bytes(tmp_path) == 64 << 30
    monkeypatch.delattr(os, "sysconf")
    assert free_memory_bytes(tmp_path) == 4 << 30


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="keeps no freed memory")
def test_freed_memory_goes_back() -> None:
    code = (
        "import psutil; from vlqa.machine import return_freed_memory; from vlqa.runtime import keep_freed_memory;"
        "keep_freed_memory(); held = psutil.Process().memory_info;"
        "block = b'1' * (200 << 20); end = bytearray(1); del block; before = held().rss;"
        "return_freed_memory(); print(before - held().rss)"
    )
    assert int(subprocess.check_output([sys.executable, "-c", code])) > 150 << 20


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, 6),
        ({"proc/self/cgroup": "0::/a/b\n", "sys/fs/cgroup/a/cpu.max": "150000 100000\n"}, 2),
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "max 100000\n"}, 6),
        (
            {
                "proc/self/cgroup": "2:cpu,cpuacct:/x\n",
                "sys/fs/cgroup/cpu/x/cpu.cfs_quota_us": "50000\n",
                "sys/fs/cgroup/cpu/x/cpu.cfs_period_us": "100000\n",
            },
            1,
        ),
        (
            {
                "proc/self/cgroup": "2:cpu,cpuacct:/x\n",
                "sys/fs/cgroup/cpu/x/cpu.cfs_quota_us": "-1\n",
                "sys/fs/cgroup/cpu/x/cpu.cfs_period_us": "100000\n",
            },
            6,
        ),
    ],
)
def test_cores_are_those_of_the_affinity_and_the_quota(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, files: dict[str, str], expected: int
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(6)), raising=False)
    assert usable_cores(write(tmp_path, files)) == expected


def test_this_machine_has_memory_and_a_core() -> None:
    assert free_memory_bytes() > 0 and usable_cores() >= 1


@pytest.mark.parametrize(("free", "expected"), [(64 << 30, 32), (1 << 30, 10), (0, 1)])
def test_batches_are_as_large_as_the_free_memory_allows(
    monkeypatch: pytest.MonkeyPatch, free: int, expected: int
) -> None:
    monkeypatch.setattr(vlqa.runtime, "free_memory_bytes", lambda: free)
    assert vlqa.runtime.default_batch_size(torch.device("cpu")) == expected


def test_batches_on_a_gpu_go_by_its_own_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vlqa.runtime, "free_memory_bytes", lambda: 0)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (6 << 30, 8 << 30))
    assert vlqa.runtime.default_batch_size(torch.device("cuda")) == 64
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (100 << 30, 139 << 30))
    assert vlqa.runtime.default_batch_size(torch.device("cuda")) == 256
