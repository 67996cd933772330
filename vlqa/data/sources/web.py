"""Pictures on the web, fetched within limits of time, size and place."""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Callable, Generator, Iterator
from http.client import HTTPException, HTTPResponse
from urllib.parse import SplitResult, urljoin, urlsplit

from vlqa.data.complaints import detail
from vlqa.data.sources.connection import PORTS, answer
from vlqa.data.sources.limits import Limits
from vlqa.errors import ImageDecodeError

_MOVED = (301, 302, 303, 307, 308)
_CHUNK_BYTES = 1 << 18


def is_address(name: str) -> bool:
    """Whether a name is an http or https address."""
    return name[:8].lower().startswith(("http://", "https://"))


def fetch(address: str, limits: Limits) -> bytes:
    """The bytes at an http or https address; certificates are checked.

    Raises:
        ImageDecodeError: there are none within the limits.
    """
    data = bytearray()
    for piece in pieces(address, limits):
        data += piece
    return bytes(data)


def pieces(address: str, limits: Limits, on_head: Callable[[HTTPResponse], None] | None = None) -> Generator[bytes]:
    """As `fetch`, piece by piece as they come.

    Args:
        address: of scheme http or https.
        limits: of all pieces together.
        on_head: called with the answer before its first piece.

    Raises:
        ImageDecodeError: not all of them come within the limits.
    """
    deadline = time.monotonic() + limits.total_s
    try:
        for _ in range(limits.redirects + 1):
            with answer(_parsed(address), limits, deadline) as response:
                target = response.getheader("Location")
                if response.status not in _MOVED or not target:
                    if on_head is not None:
                        on_head(response)
                    yield from _body(response, limits)
                    return
            address = urljoin(address, target)
    except ImageDecodeError:
        raise
    except TimeoutError:
        times = f"{limits.answer_s:g} s, or took longer than {limits.total_s:g} s in all"
        raise ImageDecodeError(f"the server did not answer within {times}; try again later") from None
    except ssl.SSLCertVerificationError as error:
        raise ImageDecodeError(
            f"the server has no valid certificate ({error.verify_message}); do not trust it"
        ) from None
    except socket.gaierror:
        raise ImageDecodeError("there is no server of this name; check the address, and http_proxy if set") from None
    except (OSError, HTTPException, ValueError) as error:
        raise ImageDecodeError(f"cannot be fetched ({detail(error)}); check the address or try again later") from None
    raise ImageDecodeError(f"redirects more than {limits.redirects} times; check the address")


def _parsed(address: str) -> SplitResult:
    parts = urlsplit(address)
    if parts.scheme not in PORTS:
        raise ImageDecodeError(f"leads to an address of scheme {parts.scheme!r}; only http and https are fetched")
    if not parts.hostname or not parts.hostname.isprintable() or " " in parts.hostname:
        raise ImageDecodeError("names no server; check the address")
    if parts.username is not None:
        raise ImageDecodeError("has a user name in it, which is not sent; fetch it with another program")
    return parts


def _body(response: HTTPResponse, limits: Limits) -> Iterator[bytes]:
    if response.status != 200:
        raise ImageDecodeError(f"the server answered {response.status} {response.reason[:80]}; check the address")
    expected = response.length
    if expected is not None and expected > limits.most_bytes:
        raise ImageDecodeError(f"has {expected} bytes, more than the {limits.most_bytes} allowed; fetch it yourself")
    received = 0
    while piece := response.read1(_CHUNK_BYTES):
        received += len(piece)
        if received > limits.most_bytes:
            raise ImageDecodeError(f"has more than the {limits.most_bytes} bytes allowed; fetch it yourself")
        yield piece
    if expected is not None and received < expected:
        raise ImageDecodeError(f"the connection broke off at {received} of {expected} bytes; try again")
