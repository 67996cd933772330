"""Files from the Hugging Face hub: from the local cache first, and a quick clear error where there is no network."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import TypeVar

from huggingface_hub import constants

from vlqa.errors import CheckpointError

_T = TypeVar("_T")

_PROBE_S = 5.0
"""Seconds to wait for the hub's first answer; without this probe its client retries for half a minute and more."""


def fetch(load: Callable[[], _T], what: str, alternative: str = "") -> _T:
    """The result of `load`, which asks the hub for files: from its cache, else by download.

    Args:
        load: called once with the network forbidden, and again with it allowed if that failed.
        what: the thing wanted, for the message.
        alternative: another remedy that the message names, from ", or" on.

    Raises:
        CheckpointError: neither in the cache nor to be had.
    """
    with contextlib.suppress(OSError, ValueError), _offline():  # both stand for a file that is not in the cache
        return load()
    remedy = f"set HF_HUB_CACHE (now {constants.HF_HUB_CACHE}) to a folder that holds it{alternative}"
    if constants.HF_HUB_OFFLINE:
        raise CheckpointError(f"{what}: not in the local cache and HF_HUB_OFFLINE forbids the download; {remedy}")
    if not _reachable():
        raise CheckpointError(f"{what}: not in the local cache and {constants.ENDPOINT} cannot be reached; {remedy}")
    try:
        return load()
    except Exception as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise CheckpointError(f"{what}: cannot be downloaded ({reason}); {remedy}") from error


def _reachable() -> bool:
    from huggingface_hub import get_session

    try:
        get_session().head(constants.ENDPOINT, timeout=_PROBE_S)  # its session knows the proxies of the environment
    except Exception:
        return False
    return True


@contextlib.contextmanager
def _offline() -> Iterator[None]:
    before = constants.HF_HUB_OFFLINE
    constants.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = before
