from __future__ import annotations

from pathlib import Path

import pytest
import torch

from vlqa.errors import CheckpointError
from vlqa.training.checkpoint import last_state, random_state, restore_random_state, write_state

STATE = {
    "objective": {"a.weight": torch.arange(6.0).reshape(2, 3), "empty": torch.zeros(0, 3)},
    "optimizer": {"state": {0: {"step": torch.tensor(3.0)}, 1: {}}, "groups": [{"lr": 0.1, "betas": [0.9, 0.99]}]},
    "flags": [True, None, "text", 7],
}


def assert_equal(first: object, second: object) -> None:
    if isinstance(first, torch.Tensor):
        assert isinstance(second, torch.Tensor) and first.dtype == second.dtype and torch.equal(first, second)
    elif isinstance(first, dict):
        assert isinstance(second, dict) and list(first) == list(second)
        for key, value in first.items():
            assert_equal(value, second[key])
    elif isinstance(first, list):
        assert isinstance(second, list) and len(first) == len(second)
        for one, other in zip(first, second, strict=True):
            assert_equal(one, other)
    else:
        assert type(first) is type(second) and first == second


def test_a_state_comes_back_with_its_types_shapes_and_number_keys(tmp_path: Path) -> None:
    write_state(tmp_path, 12, STATE)
    stored = last_state(tmp_path)
    assert stored is not None and stored[0] == 12
    assert_equal(STATE, stored[1])


def test_no_folder_and_an_empty_one_hold_no_state(tmp_path: Path) -> None:
    assert last_state(tmp_path / "none") is None
    assert last_state(tmp_path) is None


def test_the_two_newest_states_are_kept(tmp_path: Path) -> None:
    for step in (9, 10, 100):
        write_state(tmp_path, step, STATE)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "step_00000010.safetensors",
        "step_00000100.safetensors",
    ]


@pytest.mark.parametrize(
    "damage", [lambda data: data[: len(data) // 2], lambda data: b"", lambda data: bytes(len(data))]
)
def test_a_damaged_newest_state_gives_way_to_the_one_before(tmp_path: Path, damage: object) -> None:
    write_state(tmp_path, 5, {"a": torch.ones(2)})
    newest = write_state(tmp_path, 6, {"a": torch.zeros(2)})
    newest.write_bytes(damage(newest.read_bytes()))  # type: ignore[operator]
    stored = last_state(tmp_path)
    assert stored is not None and stored[0] == 5 and torch.equal(stored[1]["a"], torch.ones(2))


def test_a_folder_of_nothing_but_damaged_states_is_an_error_that_names_the_remedy(tmp_path: Path) -> None:
    write_state(tmp_path, 5, STATE).write_bytes(b"none")
    with pytest.raises(CheckpointError, match=r"no checkpoint in it can be read; delete the folder"):
        last_state(tmp_path)


def test_random_numbers_go_on_where_they_were(tmp_path: Path) -> None:
    with torch.random.fork_rng():
        write_state(tmp_path, 1, {"random": random_state()})
        expected = torch.rand(5)
        stored = last_state(tmp_path)
        assert stored is not None
        restore_random_state(stored[1]["random"])
        assert torch.equal(torch.rand(5), expected)
