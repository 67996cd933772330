"""Connections to web servers: directly or through a proxy, within limits of time and place."""

from __future__ import annotations

import functools
import ipaddress
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from http.client import HTTPConnection, HTTPResponse, HTTPSConnection
from urllib.parse import SplitResult, quote

from vlqa._version import __version__
from vlqa.data.sources.limits import Limits, TimedSocket, left
from vlqa.data.sources.proxy import netloc, proxy_of, tunnel
from vlqa.errors import ImageDecodeError

PORTS = {"http": 80, "https": 443}

_KEPT = "/%:=&?~+!$,;'@()*[]"  # in an address; all else is written as %XX, what is written so already stays
_NAT64 = ipaddress.ip_network("64:ff9b::/96")


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
    proxy = proxy_of(parts.scheme, host, port) if limits.private else None
    connected = _connect(*((host, port) if proxy is None else proxy.place), limits, deadline)
    connection = HTTPSConnection(host, port, context=_context()) if secure else HTTPConnection(host, port)
    try:
        timed = TimedSocket(connected, limits, deadline)
        if proxy is not None and secure:
            tunnel(timed, host, port, proxy)
        if secure:
            connected.settimeout(left(limits, deadline))
            connected = timed.connected = _context().wrap_socket(connected, server_hostname=host)
        connection.sock = timed
        path = quote(parts.path or "/", _KEPT, errors="surrogateescape")
        query = quote(parts.query, _KEPT, errors="surrogateescape")
        wanted = f"{path}?{query}" if query else path
        headers = {"User-Agent": f"vlqa/{__version__}", "Accept": "image/*,*/*;q=0.8", "Connection": "close"}
        if proxy is not None and not secure:
            wanted = f"http://{netloc(host, port, PORTS['http'])}{wanted}"
            headers |= proxy.headers
        connection.request("GET", wanted, headers=headers)
        response = connection.getresponse()
        if proxy is not None and response.status == HTTPStatus.PROXY_AUTHENTICATION_REQUIRED:
            raise proxy.refusal(response)
        yield response
    finally:
        connection.close()
        connected.close()


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
