"""A decoder that does what a picture's bytes say, for the tests of `vlqa.data.isolation`; imported by its processes."""

from __future__ import annotations

import ctypes
import os
import signal
import time
from typing import Any

import numpy as np

from vlqa.data import images
from vlqa.types import Pixels, Source


def decode(image: Any, **options: Any) -> Pixels:
    match image.read() if isinstance(image, Source) else image:
        case b"segfault":
            ctypes.string_at(0)
        case b"abort":
            os.abort()
        case b"killed":
            os.kill(os.getpid(), signal.SIGKILL)
        case b"exit":
            os._exit(3)
        case b"hang":
            time.sleep(1000)
        case b"spin":
            ctypes.PyDLL(None).sleep(1000)  # holds the interpreter, as a loop in C may
        case b"memory":
            np.ones(2 << 30, np.uint8)
        case b"error":
            raise RuntimeError("two\nlines")
        case b"later":  # what one picture breaks may show in the next
            _broken.append(True)
            return np.zeros((1, 1, 3), np.uint8)
    if _broken:
        os.abort()
    return images.decode(image, **options)


_broken: list[bool] = []
