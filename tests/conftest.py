"""Settings that hold for every test."""

from __future__ import annotations

import os
from collections.abc import Iterator

import hypothesis
import pytest

# Speed is judged by benchmarks; on a busy machine a deadline only makes good tests fail. The default run draws the same
# examples every time, so that it is red for a reason in the change; VLQA_EXAMPLES=1000 goes looking for new ones.
_EXAMPLES = os.environ.get("VLQA_EXAMPLES")
hypothesis.settings.register_profile("same", deadline=None, derandomize=True)
hypothesis.settings.register_profile("searching", deadline=None, max_examples=int(_EXAMPLES or 100))
hypothesis.settings.load_profile("searching" if _EXAMPLES else "same")


@pytest.fixture(scope="session", autouse=True)
def _cache_of_the_tests(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What tests compute goes into a folder of its own, never into the user's cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VLQA_CACHE", str(tmp_path_factory.mktemp("vlqa_cache")))
        yield


@pytest.fixture(autouse=True)
def _no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    """Servers of tests run on this machine."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
