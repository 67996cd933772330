"""Compression: JPEG 2000 and JPEG (types 9 and 10), by real codecs."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from PIL import Image

from vlqa.types import Pixels

_MAX_RESOLUTIONS = 6


def jpeg2000(image: Pixels, ratio: float) -> Pixels:
    """Compress `ratio` times (raw bytes over coded bytes) with the irreversible wavelet, and decode again."""
    # Every wavelet resolution halves the sides; a small picture has room for fewer.
    resolutions = min(_MAX_RESOLUTIONS, min(image.shape[:2]).bit_length())
    return _through(
        image,
        "JPEG2000",
        irreversible=True,
        quality_mode="rates",
        quality_layers=[ratio],
        num_resolutions=resolutions,
        no_jp2=True,
    )


def jpeg(image: Pixels, quality: float) -> Pixels:
    """Compress at `quality` (1 to 100 on the scale of libjpeg) with halved colour resolution, and decode again."""
    return _through(image, "JPEG", quality=round(quality), subsampling="4:2:0")


def _through(image: Pixels, codec: str, **options: Any) -> Pixels:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, codec, **options)
    with Image.open(buffer) as decoded:
        return np.array(decoded.convert("RGB"))
