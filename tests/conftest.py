"""Settings that hold for every test."""

from __future__ import annotations

from collections.abc import Iterator

import hypothesis
import pytest

# Speed is judged by benchmarks; on a busy machine a deadline only makes good tests fail.
hypothesis.settings.register_profile("vlqa", deadline=None)
hypothesis.settings.load_profile("vlqa")


@pytest.fixture(scope="session", autouse=True)
def _cache_of_the_tests(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What tests compute goes into a folder of its own, never into the user's cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VLQA_CACHE", str(tmp_path_factory.mktemp("vlqa_cache")))
        yield
