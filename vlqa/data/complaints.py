"""Why a picture cannot be decoded, said in one line that names it and the remedy."""

from __future__ import annotations

import os
import struct

from PIL import Image

from vlqa.errors import ImageDecodeError, MissingExtraError
from vlqa.types import Source

READ = "vlqa reads JPEG, PNG, WebP, BMP, TIFF, GIF, AVIF and HEIF"


def describe_damage(kind: str, error: Exception) -> str:
    """What is wrong with a file of a known format, from what its reader raised."""
    if isinstance(error, Image.DecompressionBombError):
        return f"has more pixels than Pillow decodes of a {kind} file; scale it down"
    why = detail(error)
    if "unknown pixel mode" in why:
        return f"is a {kind} file with a kind of pixels that vlqa does not read; export it with 8 or 16 bits a channel"
    if why == "not identified by this driver":
        why = "its header makes no sense"
    # Pillow wraps what it meets at the end of the data into a SyntaxError.
    cut = isinstance(error.__cause__ or error, struct.error | IndexError | EOFError)
    if cut:
        why = "it ends early"
    cut = cut or any(word in why.lower() for word in ("truncated", "premature"))
    return f"is a {'truncated' if cut else 'damaged'} {kind} file ({why}); copy or export it again"


def describe_container(kind: str, error: Exception) -> str:
    """What is wrong with a file that holds pictures, from what its reader raised."""
    if isinstance(error, ImageDecodeError | MemoryError) or (isinstance(error, OSError) and error.errno is not None):
        return describe_error(error)
    return f"is a damaged {kind}, or none ({detail(error)}); copy or download it again"


def detail(error: Exception) -> str:
    """What an error of other software says, in one line that is not long; its class where it says nothing."""
    return " ".join(str(error).split())[:160] or type(error).__name__


def describe_error(error: Exception) -> str:
    """What went wrong before or after the reading of the format: the path, the disk, the memory."""
    if isinstance(error, ImageDecodeError | MissingExtraError):
        return str(error)
    if isinstance(error, MemoryError):
        return "does not fit into memory; scale it down"
    if isinstance(error, FileNotFoundError):
        return "there is no such file; check the path (of what is on the web, commands take http and https addresses)"
    if isinstance(error, PermissionError):
        return "may not be read; check its permissions"
    if isinstance(error, OSError) and error.errno is not None:
        return f"cannot be read ({error.strerror}); check the path and the disk"
    return f"cannot be decoded ({str(error)[:160] or type(error).__name__}); export it to PNG first"


def call(image: object) -> str:
    """How a message calls the image; the end of a long path says more than its beginning."""
    if isinstance(image, str | os.PathLike | Source):
        path = (image.name if isinstance(image, Source) else os.fsdecode(image)) or "''"
        return path if len(path) <= 200 else "…" + path[-199:]
    if isinstance(image, Image.Image):
        return "PIL image"
    return f"image given as {type(image).__name__}"


def refusal(image: object, error: Exception) -> ImageDecodeError:
    """The error that names a picture and what went wrong with it, in one line."""
    return ImageDecodeError(one_line(f"{call(image)}: {describe_error(error)}"))


def named(image: object, error: object) -> str:
    """An error in one line that names its picture, whether the message does so already or not."""
    name, message = one_line(call(image)), one_line(" ".join(str(error).split()))
    return message if name in message else f"{name}: {message}"


def one_line(message: str) -> str:
    """Escape what would break the line or the terminal: newlines, control and bidi characters, surrogates."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in message)


def describe_stranger(head: bytes) -> str:
    """What a file is that no reader takes, and what to do about it."""
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    for start, what in _STRANGERS:
        if head.startswith(start) or text.startswith(start):
            return what
    if head[4:8] == b"ftyp":
        return "is a video; extract frames from it first"
    if not head.strip(b"\0"):
        return "holds zero bytes only, as an interrupted download leaves them; download it again"
    if all(byte >= 32 or byte in b"\t\r\n\f" for byte in head) and head.isascii():
        return f"is text, not a picture; {READ}"
    return f"is not a picture of a known format; {READ}"


_STRANGERS: tuple[tuple[bytes, str], ...] = (
    (b"%PDF", "is a PDF document; extract its pictures first"),
    (b"%!PS", "is a PostScript document; convert it to PNG first"),
    (b"<!doctype html", "is a web page; download the picture itself"),
    (b"<html", "is a web page; download the picture itself"),
    (b"<svg", "is an SVG drawing; convert it to PNG first"),
    (b"<?xml", "is an XML or SVG document; convert a drawing to PNG first"),
    (b"version https://git-lfs", "is a Git LFS pointer, not the picture itself; run git lfs pull"),
    (b"\x93NUMPY", "is a NumPy file; load it and pass the array"),
    (b"\x80\x02", "is a Python pickle, which vlqa never loads; save the picture as PNG"),
    (b"\x80\x03", "is a Python pickle, which vlqa never loads; save the picture as PNG"),
    (b"\x80\x04", "is a Python pickle, which vlqa never loads; save the picture as PNG"),
    (b"\x80\x05", "is a Python pickle, which vlqa never loads; save the picture as PNG"),
    (b"PK\x03\x04", "is a ZIP archive; unpack it first"),
    (b"\x1f\x8b", "is a gzip archive; unpack it first"),
    (b"\0\0\0\x0cjP  ", "is a JPEG 2000 file; convert it to PNG first"),
    (b"\xff\x4f\xff\x51", "is a JPEG 2000 file; convert it to PNG first"),
    (b"\0\0\0\x0cJXL ", "is a JPEG XL file; convert it to PNG first"),
    (b"\xff\x0a", "is a JPEG XL file; convert it to PNG first"),
    (b"8BPS", "is a Photoshop file; export it to PNG first"),
)
