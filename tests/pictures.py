"""Pictures of one colour, and what one pixel of a picture becomes."""

from __future__ import annotations

from PIL import Image, features

from vlqa.data.images import decode

HAS_AVIF = features.check("avif")
LOSSLESS = {"PNG": {}, "WEBP": {"lossless": True}, "BMP": {}, "TIFF": {}}


def pixel(value: object, mode: str, **info: object) -> Image.Image:
    image = Image.new(mode, (3, 2), value)
    image.info.update(info)
    return image


def first(image: object, **options: object) -> tuple[int, ...]:
    return tuple(int(v) for v in decode(image, **options)[0, 0])
