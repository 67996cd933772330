"""Connections to web servers: directly or through a proxy, within limits of time and place."""

from __future__ import annotations

import base64
import functools
import io
import ipaddress
import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPResponse, HTTPSConnection
from typing import Any
from urllib.parse import SplitResult, quote, unquote, urlsplit
from urllib.request import getproxies_environment, proxy_bypass_environment  # type: ignore[attr-defined]

from vlqa._version import __version__
from vlqa.errors import ImageDecodeError

PORTS = {"http": 80, "https": 443}

_KEPT = "/%:=&?~+!$,;'@()*[]"  # in an address; all else is written as %XX, what is written so already stays
_NAT64 = ipaddress.ip_network("64:ff9b::/96")


@dataclass(frozen=True)
class Limits:
    """What a fetch may take.

    Attributes:
        most_bytes: of the picture.
        answer_s: to connect, and between two pieces of an answer.
        total_s: from the beginning to the last byte, redirects included; the system's look-up of names is not.
        redirects: followed, to http and https only.
        private: whether this machine and private networks may be asked; a service that fetches what strangers name
            must refuse. Then no proxy is asked either, as it could be sent there.
    """

    most_bytes: int
    answer_s: float = 10.0
    total_s: float = 30.0
    redirects: int = 5
    private: bool = True


@contextmanager
def answer(parts: SplitResult, limits: Limits, deadline: float) -> Iterator[HTTPResponse]:
    """What a server answers to a request for an address.

    The variables http_proxy, https_proxy, all_proxy and no_proxy name proxies, in small letters or capitals.

    Args:
        parts: of the address, whose scheme is http or https and which names a host.
        limits: of time and place.
        deadline: in seconds of `time.monotonic`.

    Raises:
        ImageDecodeError: the server may not be asked, or its proxy refuses.
        OSError: and whatever else sockets and `http.client` raise.
    """
    host = parts.hostname or ""
    host = host if _is_ip(host) else host.encode("idna").decode()
    port = parts.port or PORTS[parts.scheme]
    secure = parts.scheme == "https"
    proxy = _proxy_of(parts.scheme, host, port) if limits.private else None
    connected = _connect(*((host, port) if proxy is None else proxy.place), limits, deadline)
    connection = HTTPSConnection(host, port, context=_context()) if secure else HTTPConnection(host, port)
    try:
        timed = _TimedSocket(connected, limits, deadline)
        if proxy is not None and secure:
            _tunnel(timed, host, port, proxy)
        if secure:
            connected.settimeout(left(limits, deadline))
            connected = timed.connected = _context().wrap_socket(connected, server_hostname=host)
        connection.sock = timed
        path = quote(parts.path or "/", _KEPT, errors="surrogateescape")
        query = quote(parts.query, _KEPT, errors="surrogateescape")
        wanted = f"{path}?{query}" if query else path
        headers = {"User-Agent": f"vlqa/{__version__}", "Accept": "image/*,*/*;q=0.8", "Connection": "close"}
        if proxy is not None and not secure:
            wanted = f"http://{_netloc(host, port, PORTS['http'])}{wanted}"
            headers |= proxy.headers
        connection.request("GET", wanted, headers=headers)
        yield connection.getresponse()
    finally:
        connection.close()
        connected.close()


@dataclass(frozen=True)
class _Proxy:
    place: tuple[str, int]
    headers: dict[str, str]


def _proxy_of(scheme: str, host: str, port: int) -> _Proxy | None:
    """The proxy that the environment names for a server; None where it is to be asked directly."""
    proxies = getproxies_environment()
    address = proxies.get(scheme) or proxies.get("all")
    if not address or proxy_bypass_environment(_netloc(host, port), proxies):
        return None
    parts = urlsplit(address if "://" in address else f"http://{address}")
    if parts.scheme != "http" or not parts.hostname:
        raise ImageDecodeError(
            f"{scheme}_proxy is no proxy of the form http://host:port, which alone is used; change it, or set no_proxy"
        )
    headers = {}
    if parts.username is not None:
        pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        headers["Proxy-Authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
    return _Proxy((parts.hostname, parts.port or PORTS["http"]), headers)


def _tunnel(timed: _TimedSocket, host: str, port: int, proxy: _Proxy) -> None:
    """Have a proxy pass on all bytes to and from a server."""
    place = _netloc(host, port)
    head = {"Host": place, "User-Agent": f"vlqa/{__version__}"} | proxy.headers
    lines = "".join(f"{name}: {value}\r\n" for name, value in head.items())
    timed.sendall(f"CONNECT {place} HTTP/1.1\r\n{lines}\r\n".encode("ascii"))
    response = HTTPResponse(timed, method="CONNECT")  # type: ignore[arg-type]
    response.begin()
    if response.status != 200:
        raise ImageDecodeError(
            f"the proxy answered {response.status} {response.reason[:80]}; check https_proxy, or set no_proxy"
        )


def _netloc(host: str, port: int, default: int | None = None) -> str:
    name = f"[{host}]" if ":" in host else host
    return name if port == default else f"{name}:{port}"


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
            found.settimeout(left(limits, deadline))
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


def _is_ip(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


@functools.cache
def _context() -> ssl.SSLContext:
    return ssl.create_default_context()


def left(limits: Limits, deadline: float) -> float:
    """Seconds that the next step may take.

    Raises:
        TimeoutError: none.
    """
    remaining = deadline - time.monotonic()
    if remaining <= 0:
        raise TimeoutError
    return min(limits.answer_s, remaining)


class _TimedSocket:
    """What http.client needs of a socket; it keeps the deadline however slowly an answer drips."""

    def __init__(self, connected: socket.socket, limits: Limits, deadline: float) -> None:
        self.connected, self.limits, self.deadline = connected, limits, deadline

    def sendall(self, data: Any) -> None:
        self.connected.settimeout(left(self.limits, self.deadline))
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
        self.of.connected.settimeout(left(self.of.limits, self.of.deadline))
        return self.of.connected.recv_into(buffer)
