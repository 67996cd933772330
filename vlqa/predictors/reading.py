"""How predictors read pictures: the options that all of them take."""

from __future__ import annotations

from typing import TypedDict


class Reading(TypedDict, total=False):
    """How a predictor reads and batches pictures.

    Attributes:
        batch_size: pictures of 224×224 px an encoder call, by default by the free memory; larger ones count as several.
        workers: decoding threads; None, the default, chooses by the number of cores.
        max_image_pixels: a picture with more, 200 million, is refused before it is decoded.
        fast_decode: whether large JPEGs are decoded at a part of their size, which moves scores a little.
        isolate: decode in child processes, so that a picture which crashes or hangs its decoder costs only itself; each
            call starts them anew, in 0.15 s or more.
        decode_timeout: seconds, 30, that an isolated picture may take.
    """

    batch_size: int
    workers: int | None
    max_image_pixels: int
    fast_decode: bool
    isolate: bool
    decode_timeout: float
