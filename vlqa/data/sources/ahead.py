"""Reads sources before their turn, several at once."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, NoReturn

from vlqa.types import Source

if TYPE_CHECKING:
    from vlqa.types import ImageLike

_THREADS = 8


def read_ahead(images: Iterable[ImageLike]) -> Iterator[ImageLike]:
    """The same images in their order; of sources those that come next are read already, or have failed to be.

    For those who need the bytes of one image after another, which on the web would each be waited for.
    """
    with ThreadPoolExecutor(_THREADS, thread_name_prefix="vlqa-read") as executor:
        ahead: deque[ImageLike | Future[Source]] = deque()
        try:
            for image in images:
                ahead.append(executor.submit(_read, image) if isinstance(image, Source) else image)
                if len(ahead) > _THREADS or not isinstance(image, Source):
                    yield _done(ahead.popleft())
            while ahead:
                yield _done(ahead.popleft())
        finally:
            executor.shutdown(wait=True, cancel_futures=True)


def _read(source: Source) -> Source:
    try:
        data = source.read()
    except Exception as error:
        failure = error

        def fail() -> NoReturn:
            raise failure

        return Source(source.name, fail, source.stamp)
    return Source(source.name, lambda: data, source.stamp)


def _done(image: ImageLike | Future[Source]) -> ImageLike:
    return image.result() if isinstance(image, Future) else image
