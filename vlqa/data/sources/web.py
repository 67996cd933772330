"""Pictures on the web, fetched within limits of time, size and place."""

from __future__ import annotations

import functools
import io
import ipaddress
import socket
import ssl
import time
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from typing import Any
from urllib.parse import SplitResult, quote, urljoin, urlsplit

from vlqa._version import __version__
from vlqa.errors import ImageDecodeError

_PORTS = {"http": 80, "https": 443}
_MOVED = (301, 302, 303, 307, 308)
_CHUNK_BYTES = 1 << 18
_KEPT = "/%:=&?~+!$,;'@()*[]"  # in an address; all else is written as %XX, what is written so already stays


@dataclass(frozen=True)
class Limits:
    """What a fetch may take.

    Attributes:
        most_bytes: of the picture.
        answer_s: to connect, and between two pieces of an answer.
        total_s: from the beginning to the last byte, redirects included; the system's look-up of names is not.
        redirects: followed, to http and https only.
        private: whether this machine and private networks may be asked; a service that fetches what strangers name
            must refuse.
    """

    most_bytes: int
    answer_s: float = 10.0
    total_s: float = 30.0
    redirects: int = 5
    private: bool = True


def is_address(name: str) -> bool:
    """Whether a name is an http or https address."""
    return name[:8].lower().startswith(("http://", "https://"))


def fetch(address: str, limits: Limits) -> bytes:
    """The bytes at an http or https address; certificates are checked.

    Raises:
        ImageDecodeError: there are none within the limits.
    """
    deadline = time.monotonic() + limits.total_s
    try:
        for _ in range(limits.redirects + 1):
            found = _ask(_parsed(address), limits, deadline)
            if isinstance(found, bytes):
                return found
            address = urljoin(address, found)
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
        raise ImageDecodeError("there is no server of this name; check the address") from None
    except (OSError, HTTPException, ValueError) as error:
        detail = " ".join(str(error).split())[:160] or type(error).__name__
        raise ImageDecodeError(f"cannot be fetched ({detail}); check the address or try again later") from None
    raise ImageDecodeError(f"redirects more than {limits.redirects} times; check the address")


def _parsed(address: str) -> SplitResult:
    parts = urlsplit(address)
    if parts.scheme not in _PORTS:
        raise ImageDecodeError(f"leads to an address of scheme {parts.scheme!r}; only http and https are fetched")
    if not parts.hostname:
        raise ImageDecodeError("names no server; check the address")
    if parts.username is not None:
        raise ImageDecodeError("has a user name in it, which is not sent; fetch it with another program")
    return parts


def _ask(parts: SplitResult, limits: Limits, deadline: float) -> bytes | str:
    """Bytes, or the address that the server sends us to."""
    host = (parts.hostname or "").encode("idna").decode() if not _is_ip(parts.hostname) else parts.hostname or ""
    port = parts.port or _PORTS[parts.scheme]
    secure = parts.scheme == "https"
    connection = HTTPSConnection(host, port, context=_context()) if secure else HTTPConnection(host, port)
    connected = _connect(host, port, limits, deadline)
    try:
        connected.settimeout(_left(limits, deadline))
        tied = _context().wrap_socket(connected, server_hostname=host) if secure else connected
        connected = tied
        connection.sock = _TimedSocket(tied, limits, deadline)
        path = quote(parts.path or "/", _KEPT, errors="surrogateescape")
        query = quote(parts.query, _KEPT, errors="surrogateescape")
        headers = {"User-Agent": f"vlqa/{__version__}", "Accept": "image/*,*/*;q=0.8", "Connection": "close"}
        connection.request("GET", f"{path}?{query}" if query else path, headers=headers)
        return _answer(connection.getresponse(), limits)
    finally:
        connection.close()
        connected.close()


def _answer(response: HTTPResponse, limits: Limits) -> bytes | str:
    target = response.getheader("Location")
    if response.status in _MOVED and target:
        return target
    if response.status != 200:
        raise ImageDecodeError(f"the server answered {response.status} {response.reason[:80]}; check the address")
    expected = response.length
    if expected is not None and expected > limits.most_bytes:
        raise ImageDecodeError(f"has {expected} bytes, more than the {limits.most_bytes} allowed; fetch it yourself")
    data = bytearray()
    while piece := response.read(_CHUNK_BYTES):
        data += piece
        if len(data) > limits.most_bytes:
            raise ImageDecodeError(f"has more than the {limits.most_bytes} bytes allowed; fetch it yourself")
    if expected is not None and len(data) < expected:
        raise ImageDecodeError(f"the connection broke off at {len(data)} of {expected} bytes; try again")
    return bytes(data)


def _connect(host: str, port: int, limits: Limits, deadline: float) -> socket.socket:
    """A connection to the first of a server's addresses that may be asked and answers."""
    failure: OSError | None = None
    for family, kind, protocol, _, place in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM):
        if not limits.private and not is_public(str(place[0])):
            raise ImageDecodeError(
                "is on this machine or in a private network, which is not asked; use a public address"
            )
        found = socket.socket(family, kind, protocol)
        try:
            found.settimeout(_left(limits, deadline))
            found.connect(place)
        except OSError as error:
            found.close()
            failure = error
        else:
            return found
    raise failure or OSError("no address")


def is_public(address: str) -> bool:
    """Whether an IP address is one of the public network: not of this machine, a private network, or a way into one."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        if ip.ipv4_mapped is not None:
            return is_public(str(ip.ipv4_mapped))
        if ip.sixtofour is not None or ip.teredo is not None or ip in _NAT64:
            return False
    return ip.is_global and not ip.is_multicast


_NAT64 = ipaddress.ip_network("64:ff9b::/96")


def _is_ip(host: str | None) -> bool:
    try:
        ipaddress.ip_address(host or "")
    except ValueError:
        return False
    return True


@functools.cache
def _context() -> ssl.SSLContext:
    return ssl.create_default_context()


def _left(limits: Limits, deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return min(limits.answer_s, left)


class _TimedSocket:
    """What http.client needs of a socket; it keeps the deadline however slowly an answer drips."""

    def __init__(self, connected: socket.socket, limits: Limits, deadline: float) -> None:
        self.connected, self.limits, self.deadline = connected, limits, deadline

    def sendall(self, data: Any) -> None:
        self.connected.settimeout(_left(self.limits, self.deadline))
        self.connected.sendall(data)

    def makefile(self, *_: Any, **__: Any) -> io.BufferedReader:
        return io.BufferedReader(_Answer(self))

    def close(self) -> None:
        """Nothing: http.client lets go of a connection as soon as the head of its last answer is there."""


class _Answer(io.RawIOBase):
    def __init__(self, of: _TimedSocket) -> None:
        self.of = of

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        self.of.connected.settimeout(_left(self.of.limits, self.of.deadline))
        return self.of.connected.recv_into(buffer)
