"""Proxies, as the environment names them."""

from __future__ import annotations

import base64
import os
from dataclasses import dataclass
from http.client import HTTPResponse
from urllib.parse import SplitResult, unquote, urlsplit
from urllib.request import getproxies_environment, proxy_bypass_environment  # type: ignore[attr-defined]

from vlqa._version import __version__
from vlqa.data.sources.limits import TimedSocket
from vlqa.errors import ImageDecodeError

_PORT = 80


@dataclass(frozen=True)
class Proxy:
    """A server that passes requests on.

    Attributes:
        place: its host and port.
        headers: what it alone is told.
        variable: of the environment, which names it.
    """

    place: tuple[str, int]
    headers: dict[str, str]
    variable: str

    def refusal(self, response: HTTPResponse) -> ImageDecodeError:
        """The error for an answer of its own."""
        return ImageDecodeError(
            f"the proxy answered {response.status} {response.reason[:80]}; check {self.variable}, or set no_proxy"
        )


def proxy_of(scheme: str, host: str, port: int) -> Proxy | None:
    """The proxy that the environment names for a server; None where it is to be asked directly.

    Args:
        scheme: http or https.
        host: of the server.
        port: of the server.

    Raises:
        ImageDecodeError: it is of a kind that is not used.
    """
    proxies = getproxies_environment()
    kind = scheme if proxies.get(scheme) else "all"
    address = proxies.get(kind)
    if not address or proxy_bypass_environment(netloc(host, port), proxies):
        return None
    variable = f"{kind}_proxy" if f"{kind}_proxy" in os.environ else f"{kind}_proxy".upper()
    try:
        parts = urlsplit(address if "://" in address else f"http://{address}")
        place = (parts.hostname or "", parts.port or _PORT)
    except ValueError:  # whose message may hold a password
        parts, place = SplitResult("", "", "", "", ""), ("", _PORT)
    if parts.scheme != "http" or not parts.hostname:
        raise ImageDecodeError(
            f"{variable} is no proxy of the form http://host:port, which alone is used; change it, or set no_proxy"
        )
    headers = {}
    if parts.username is not None:
        pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        headers["Proxy-Authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
    return Proxy(place, headers, variable)


def tunnel(timed: TimedSocket, host: str, port: int, proxy: Proxy) -> None:
    """Have a proxy pass on all bytes to and from a server.

    Raises:
        ImageDecodeError: it refuses.
    """
    place = netloc(host, port)
    head = {"Host": place, "User-Agent": f"vlqa/{__version__}"} | proxy.headers
    lines = "".join(f"{name}: {value}\r\n" for name, value in head.items())
    timed.sendall(f"CONNECT {place} HTTP/1.1\r\n{lines}\r\n".encode("ascii"))
    response = HTTPResponse(timed, method="CONNECT")  # type: ignore[arg-type]
    response.begin()
    if response.status != 200:
        raise proxy.refusal(response)


def netloc(host: str, port: int, default: int | None = None) -> str:
    """Host and port as an address has them, without the port where it is the default."""
    name = f"[{host}]" if ":" in host else host
    return name if port == default else f"{name}:{port}"
