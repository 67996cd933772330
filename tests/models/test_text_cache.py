"""Apart from the other tests of texts: the processes started here import this file, and this file imports little."""

from __future__ import annotations

import multiprocessing
import time
from multiprocessing.synchronize import Barrier

import torch
from torch import Tensor

from vlqa.models import text_cache

ROUNDS = 10


def _write_often(key: str, features: Tensor, barrier: Barrier) -> None:
    barrier.wait()
    for _ in range(ROUNDS):
        assert text_cache.write(key, features)
        assert torch.equal(read_back(key), features)


def read_back(key: str) -> Tensor:
    found = text_cache.read(key)
    assert found is not None
    return found


def test_two_processes_write_one_entry_at_once() -> None:
    context = multiprocessing.get_context("spawn")
    features = torch.randn(495, 512)
    barrier = context.Barrier(3)
    writers = [context.Process(target=_write_often, args=("key", features, barrier)) for _ in range(2)]
    for writer in writers:
        writer.start()
    barrier.wait(timeout=300)
    while any(writer.is_alive() for writer in writers):
        found = text_cache.read("key")
        assert found is None or torch.equal(found, features)
        time.sleep(0.001)  # leaves the processors to the writers
    assert [writer.exitcode for writer in writers] == [0, 0]
    folder = text_cache.path("key").parent
    assert [file.name for file in folder.iterdir()] == ["key.safetensors"]  # no temporary files left
    assert torch.equal(read_back("key"), features)


def test_keys_tell_towers_tokens_and_their_order_apart() -> None:
    tokens = torch.tensor([[1, 2], [3, 4]])
    keys = {
        text_cache.key("tower", tokens),
        text_cache.key("other", tokens),
        text_cache.key("tower", tokens.flip(0)),
        text_cache.key("tower", tokens.reshape(1, 4)),
    }
    assert len(keys) == 4
    assert text_cache.key("tower", tokens.int()) == text_cache.key("tower", tokens)
