"""Decode → prepare → batch → encode: the one road of every predictor, command and service.

Threads decode ahead of the encoder, patches of one shape from several images share a batch, and results come in the
order of the images. Nothing depends on how many images there are: a generator of a million paths is read as it goes.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

import torch
from torch import Tensor

from vlqa.data.images import MAX_PIXELS, Enough, Enter, decode, source_name
from vlqa.data.isolation import TIMEOUT_S, IsolatedDecoder
from vlqa.data.turns import forget_frames, in_turn
from vlqa.errors import VLQAError
from vlqa.machine import usable_cores
from vlqa.profiling import stage
from vlqa.runtime import default_batch_size
from vlqa.types import Pixels

if TYPE_CHECKING:
    from vlqa.types import ImageLike

PATCH_PIXELS = 224 * 224
"""What one entry of `batch_size` stands for; larger pictures count as several."""

_MOST_THREADS = 8
_WAITING_BATCHES = 4  # images held back for company of their shape: enough for the two orientations of a folder


@dataclass(frozen=True)
class Route:
    """One way from a decoded picture to features; a picture may take several.

    Attributes:
        prepare: picture → (p, 3, h, w) uint8 patches, or several such tensors where their sizes differ (a picture and
            its half); runs in the decoding threads.
        encode: (n, 3, h, w) uint8 patches → (n, d) features; runs in the calling thread.
    """

    prepare: Callable[[Pixels], Tensor | Sequence[Tensor]]
    encode: Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Encoded:
    """One image after the encoder: features or an error, never both.

    Attributes:
        name: path of the image, None for images given as pixels.
        features: of each route float32 (p, d) on the CPU, one row a patch, in the order in which they were cut.
        error: why there are none.
        size: height and width of the decoded picture, px.
    """

    name: str | None
    features: tuple[Tensor, ...] | None = None
    error: VLQAError | None = None
    size: tuple[int, int] = (0, 0)


_Shape: TypeAlias = tuple[int, torch.Size]
"""A route, and the shape of a patch on it: what may share a batch."""


@dataclass
class _Part:
    """Patches of one image, one route and one shape; their features take their place."""

    route: int
    patches: Tensor | None
    features: Tensor | None = None

    @property
    def shape(self) -> _Shape:
        assert self.patches is not None
        return self.route, self.patches.shape[1:]

    @property
    def pixels(self) -> int:
        return 0 if self.patches is None else self.patches.numel() // 3

    @property
    def bytes(self) -> int:
        return 0 if self.patches is None else self.patches.nbytes


@dataclass
class _Waiting:
    name: str | None
    parts: list[_Part] = field(default_factory=list)
    size: tuple[int, int] = (0, 0)
    error: VLQAError | None = None

    @property
    def done(self) -> bool:
        return self.error is not None or all(part.patches is None for part in self.parts)

    def encoded(self) -> Encoded:
        if self.error is not None:
            return Encoded(self.name, error=self.error)
        routes = (list(parts) for _, parts in itertools.groupby(self.parts, lambda part: part.route))
        return Encoded(self.name, tuple(_joined(parts) for parts in routes), size=self.size)


def encode_images(
    images: Iterable[ImageLike],
    routes: Sequence[Route],
    *,
    batch_size: int | None = None,
    workers: int | None = None,
    max_image_pixels: int = MAX_PIXELS,
    fast_decode: bool = False,
    isolate: bool = False,
    decode_timeout: float = TIMEOUT_S,
) -> Iterator[Encoded]:
    """Features of every image, in order, one at a time.

    Args:
        images: paths, bytes, PIL images or arrays; read lazily, a bounded number ahead.
        routes: that each image takes, decoded once.
        batch_size: patches an encoder call, as pictures of 224×224: a batch holds at most `batch_size`·224² pixels
            unless a single patch is larger, so memory stays bounded for native-size pictures too. None chooses by the
            free memory of the CPU; see `default_batch_size`.
        workers: decoding threads; None chooses by the number of cores, 0 decodes in the calling thread. However many,
            pictures wait for each other where they would not fit into memory; see `Room`.
        max_image_pixels: a picture with more is refused before it is decoded.
        fast_decode: let JPEGs be decoded at a part of their size, as large as any route looks at them; see `decode`.
        isolate: decode in child processes, one a thread, which a picture may crash or hang.
        decode_timeout: seconds after which such a process is killed.

    Yields:
        One `Encoded` an image. Whatever goes wrong with one image (undecodable, out of memory, features that are not
        finite) is its own error and leaves the others alone.
    """
    if batch_size is None:
        batch_size = default_batch_size(torch.device("cpu"))
    elif batch_size < 1:
        raise ValueError(f"batch_size must be at least 1, not {batch_size}")
    enough = _most_seen([route.prepare for route in routes]) if fast_decode else None
    batcher = _Batcher([route.encode for route in routes], batch_size * PATCH_PIXELS)
    isolated = IsolatedDecoder(max_image_pixels, decode_timeout) if isolate else None

    def read(image: ImageLike, enter: Enter) -> tuple[list[_Part], tuple[int, int]]:
        with stage("decode"):
            if isolated is not None:
                pixels = isolated(image, enough, enter)
            else:
                pixels = decode(image, max_pixels=max_image_pixels, enough=enough, enter=enter)
        parts: list[_Part] = []
        with stage("prepare"):
            for number, route in enumerate(routes):
                cut = route.prepare(pixels)
                parts += [_Part(number, patches) for patches in ([cut] if isinstance(cut, Tensor) else cut)]
        return parts, (pixels.shape[0], pixels.shape[1])

    def prepared(image: ImageLike, enter: Enter) -> tuple[_Waiting, int]:
        name = source_name(image)
        try:
            item = _Waiting(name, *read(image, enter))
        except Exception as error:
            forget_frames(error)
            item = _Waiting(name, error=_as_error(error))
        return item, sum(part.bytes for part in item.parts)

    threads = min(_MOST_THREADS, usable_cores()) if workers is None else workers
    # ended first, so that no thread waits for a picture that hangs
    for item in in_turn(prepared, images, threads, isolated.close if isolated else None):
        batcher.add(item)
        yield from batcher.finished()
    batcher.flush()
    yield from batcher.finished()


def _most_seen(views: Sequence[Any]) -> Enough | None:
    """What all of them look at; None where one does not tell."""
    if not all(hasattr(view, "seen") for view in views):
        return None

    def enough(height: int, width: int) -> tuple[int, int]:
        sizes = [view.seen(height, width) for view in views]
        return max(size[0] for size in sizes), max(size[1] for size in sizes)

    return enough


class _Batcher:
    """Collects patches by their route and shape and encodes a shape when a batch of it is full."""

    def __init__(self, encoders: Sequence[Callable[[Tensor], Tensor]], batch_pixels: int) -> None:
        self.encoders = encoders
        self.batch_pixels = batch_pixels
        self.order: deque[_Waiting] = deque()
        self.shapes: dict[_Shape, list[tuple[_Waiting, _Part]]] = {}
        self.waiting_pixels = 0

    def add(self, item: _Waiting) -> None:
        self.order.append(item)
        for part in item.parts:
            shape = part.shape
            if sum(other.pixels for _, other in self.shapes.get(shape, ())) + part.pixels > self.batch_pixels:
                self.encode_shape(shape)
            self.shapes.setdefault(shape, []).append((item, part))
            self.waiting_pixels += part.pixels
            if part.pixels >= self.batch_pixels:
                self.encode_shape(shape)
        while self.waiting_pixels > _WAITING_BATCHES * self.batch_pixels:
            self.encode_oldest()

    def finished(self) -> Iterator[Encoded]:
        # an image that waits for company must not hold back an endless line of finished ones
        if len(self.order) > _WAITING_BATCHES * max(1, self.batch_pixels // PATCH_PIXELS):
            self.encode_oldest()
        while self.order and self.order[0].done:
            yield self.order.popleft().encoded()

    def flush(self) -> None:
        for shape in list(self.shapes):
            self.encode_shape(shape)

    def encode_oldest(self) -> None:
        oldest = next((part for item in self.order for part in item.parts if part.patches is not None), None)
        if oldest is not None:
            self.encode_shape(oldest.shape)

    def encode_shape(self, shape: _Shape) -> None:
        entries = self.shapes.pop(shape, [])
        self.waiting_pixels -= sum(part.pixels for _, part in entries)
        patches = [part.patches for _, part in entries if part.patches is not None]
        values = self.try_encode(self.encoders[shape[0]], patches)
        for (item, part), value in zip(entries, values, strict=True):
            if isinstance(value, Tensor) and not bool(value.isfinite().all()):
                value = VLQAError(
                    "the encoder gave values that are not finite; use --precision fp32 or check the weights"
                )
            part.patches = None
            if isinstance(value, Tensor):
                part.features = value
            else:
                item.error = item.error or value

    def try_encode(self, encode: Callable[[Tensor], Tensor], patches: list[Tensor]) -> list[Tensor | VLQAError]:
        if not patches:
            return []
        try:
            rows = self.encode_patches(encode, torch.cat(patches) if len(patches) > 1 else patches[0])
            return list(torch.split(rows, [len(part) for part in patches]))
        except Exception as error:
            if len(patches) == 1:
                return [_as_error(error)]
        # the batch fails for one of its images, or for its size: each alone tells which
        return [value for part in patches for value in self.try_encode(encode, [part])]

    def encode_patches(self, encode: Callable[[Tensor], Tensor], patches: Tensor) -> Tensor:
        count = max(1, self.batch_pixels // (patches.shape[-1] * patches.shape[-2]))
        with stage("encode"):
            return torch.cat([encode(part).detach().float().cpu() for part in torch.split(patches, count)])


def _joined(parts: list[_Part]) -> Tensor:
    rows = [part.features for part in parts if part.features is not None]
    return rows[0] if len(rows) == 1 else torch.cat(rows)


def _as_error(error: Exception) -> VLQAError:
    if isinstance(error, VLQAError):
        return error
    if isinstance(error, MemoryError) or "out of memory" in str(error) or "can't allocate memory" in str(error):
        return VLQAError("out of memory; use a smaller --batch-size or a smaller picture")
    lines = str(error).splitlines()
    return VLQAError(f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__)
