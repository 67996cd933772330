"""Threads that decode pictures before their turn and hand them on in their order."""

from __future__ import annotations

import functools
import traceback
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

from vlqa.data.room import Room
from vlqa.profiling import stage

if TYPE_CHECKING:
    from vlqa.data.images import Enter
    from vlqa.types import ImageLike

T = TypeVar("T")


def in_turn(
    work: Callable[[ImageLike, Enter], tuple[T, int]],
    images: Iterable[ImageLike],
    threads: int,
    end: Callable[[], None] | None = None,
) -> Iterator[T]:
    """What work makes of each image, in order, at most two images a thread ahead and within the memory of a `Room`.

    Args:
        work: an image, and what it must call before it takes the memory for its pixels, to a result and
            the bytes that this holds; raises nothing.
        images: read lazily, in the calling thread.
        threads: 0 works in the calling thread.
        end: called at the end, also an early one, before the threads are waited for.
    """
    room = Room()

    def work_in_room(number: int, image: ImageLike) -> T:
        kept = 0
        try:
            result, kept = work(image, functools.partial(room.enter, number))
            return result
        finally:
            room.leave(number, kept)

    def next_result() -> T:
        with stage("wait for pictures"):
            result = ahead.popleft().result()
        room.next_turn()
        return result

    executor = ThreadPoolExecutor(max(1, threads), thread_name_prefix="vlqa-decode")
    ahead: deque[Future[T]] = deque()
    try:
        for number, image in enumerate(images):
            if threads < 1:
                yield work_in_room(number, image)
                room.next_turn()
                continue
            ahead.append(executor.submit(work_in_room, number, image))
            if len(ahead) > 2 * threads:
                yield next_result()
        while ahead:
            yield next_result()
    finally:
        room.close()
        if end is not None:
            end()
        executor.shutdown(wait=True, cancel_futures=True)


def forget_frames(error: BaseException) -> None:
    """Free what the functions held that an error went through, and its causes: it may be a large picture's pixels."""
    found: BaseException | None = error
    while found is not None:
        traceback.clear_frames(found.__traceback__)
        found = found.__cause__ or found.__context__
