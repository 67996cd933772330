from __future__ import annotations

import contextlib
import socket
import ssl
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler

import numpy as np
import pytest

from tests.data.archives import IMAGES
from tests.servers import serving
from vlqa._version import __version__
from vlqa.data.images import decode
from vlqa.data.sources import connection
from vlqa.data.sources.connection import is_public
from vlqa.data.sources.find import PictureFinder
from vlqa.data.sources.limits import Limits
from vlqa.data.sources.web import fetch, is_address
from vlqa.errors import ImageDecodeError

LIMITS = Limits(1 << 16, answer_s=0.3, total_s=0.8)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    seen: dict[str, str]

    def do_GET(self) -> None:
        path = self.path
        type(self).seen = {"path": path, **dict(self.headers)}
        if path.startswith("/to/"):
            return self.answer(302, b"", Location=path.removeprefix("/to/"))
        if path.startswith("/loop/"):
            return self.answer(308, b"", Location=f"/loop/{int(path.removeprefix('/loop/')) + 1}")
        if path.startswith("/hops/"):
            left = int(path.removeprefix("/hops/"))
            return self.answer(301, b"", Location=f"../hops/{left - 1}" if left else "/a.png")
        if path.startswith("/status/"):
            return self.answer(int(path.removeprefix("/status/")), IMAGES[0])
        if path == "/stall":
            return self.quietly(lambda: time.sleep(1))
        if path in ("/drip", "/drip-head"):
            return self.quietly(lambda: self.drip(path == "/drip-head"))
        if path == "/endless":
            return self.quietly(self.endless)
        if path == "/huge":
            return self.answer(200, b"", length=10**15)
        if path == "/cut":
            return self.answer(200, IMAGES[0][:50], length=len(IMAGES[0]))
        if path == "/junk":
            self.wfile.write(b"\0\1\2 no HTTP\r\n\r\n")
            self.close_connection = True
            return None
        return self.answer(200, IMAGES[0])

    def answer(self, status: int, body: bytes, length: int | None = None, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        self.end_headers()
        self.wfile.write(body)
        self.close_connection = True

    def quietly(self, work) -> None:
        with contextlib.suppress(OSError):
            work()
        self.close_connection = True

    def drip(self, in_head: bool) -> None:
        self.wfile.write(b"HTTP/1.1 200 OK\r\n" + (b"X-A: " if in_head else b"\r\n"))
        for _ in range(40):
            self.wfile.write(b"x")
            self.wfile.flush()
            time.sleep(0.05)

    def endless(self) -> None:
        self.wfile.write(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            self.wfile.write(bytes(1 << 14))

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with serving(Handler) as place:
        yield f"http://{place}"


def message(address: str, limits: Limits = LIMITS) -> str:
    with pytest.raises(ImageDecodeError) as caught:
        fetch(address, limits)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_picture_is_fetched(server: str) -> None:
    assert fetch(f"{server}/a.png", LIMITS) == IMAGES[0]
    assert Handler.seen["User-Agent"] == f"vlqa/{__version__}" and "Cookie" not in Handler.seen
    (source,) = PictureFinder().find([f"{server}/a.png"])
    assert not isinstance(source, str) and (source.name, source.stamp) == (f"{server}/a.png", None)
    np.testing.assert_array_equal(decode(source), decode(IMAGES[0]))


def test_addresses_are_written_as_servers_read_them(server: str) -> None:
    fetch(f"{server}/a b/ö%20\udcff.png?x=1&y=ä|#part", LIMITS)
    assert Handler.seen["path"] == "/a%20b/%C3%B6%20%FF.png?x=1&y=%C3%A4%7C"
    fetch(server.upper().replace("HTTP", "hTTp"), LIMITS)
    assert Handler.seen["path"] == "/"
    assert is_address("HTTPS://x") and not any(map(is_address, ("file:///x", "ftp://x", "http:/x", "x/http://")))


def test_redirects(server: str) -> None:
    assert fetch(f"{server}/hops/4", LIMITS) == fetch(f"{server}/to/{server}/a.png", LIMITS) == IMAGES[0]
    assert "redirects more than 5 times" in message(f"{server}/hops/5")
    assert "redirects more than 5 times" in message(f"{server}/loop/0")
    for target in ("file:///etc/passwd", "ftp://127.0.0.1/x", "data:image/png;base64,xx", "javascript:1"):
        assert "only http and https are fetched" in message(f"{server}/to/{target}")


@pytest.mark.parametrize("status", [201, 206, 304, 401, 404, 500])
def test_only_200_is_a_picture(server: str, status: int) -> None:
    assert f"the server answered {status} " in message(f"{server}/status/{status}")


@pytest.mark.parametrize("path", ["stall", "drip", "drip-head"])
def test_time_is_limited(server: str, path: str) -> None:
    start = time.monotonic()
    assert "did not answer within 0.3 s, or took longer than 0.8 s in all" in message(f"{server}/{path}")
    assert time.monotonic() - start < 5


def test_size_is_limited(server: str) -> None:
    assert f"has {10**15} bytes, more than the 65536 allowed" in message(f"{server}/huge")
    assert "has more than the 65536 bytes allowed" in message(f"{server}/endless")
    assert message(f"{server}/a.png", Limits(10)).startswith(f"has {len(IMAGES[0])} bytes, more than the 10 allowed")


def test_a_broken_answer_is_no_picture(server: str) -> None:
    assert f"the connection broke off at 50 of {len(IMAGES[0])} bytes" in message(f"{server}/cut")
    assert "cannot be fetched" in message(f"{server}/junk")


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("http://", "names no server"),
        ("http://user:secret@127.0.0.1/x", "has a user name in it"),
        ("http://127.0.0.1:99999/x", "cannot be fetched"),
        ("http://[::1/x", "cannot be fetched"),
        ("http://" + "a" * 300 + "/x", "cannot be fetched"),
        ("http://a\r\nHost: b/x", "check the address"),
        ("http://a\x0bb/x", "names no server"),
        ("file:///etc/passwd", "only http and https are fetched"),
        ("/etc/passwd", "only http and https are fetched"),
    ],
)
def test_addresses_that_are_none(address: str, expected: str) -> None:
    assert expected in message(address)


def test_a_server_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # nobody listens
        assert "Connection refused" in message(f"http://127.0.0.1:{taken.getsockname()[1]}/x")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    assert "there is no server of this name" in message("http://host.invalid/x")


def test_certificates_are_checked(server: str) -> None:
    context = connection._context()
    assert context.verify_mode is ssl.CERT_REQUIRED and context.check_hostname
    assert "cannot be fetched" in message(server.replace("http", "https"))


@pytest.mark.parametrize(
    ("address", "public"),
    [
        *((address, True) for address in ("8.8.8.8", "2606:4700::1111", "::ffff:8.8.8.8")),
        *((address, False) for address in ("127.0.0.1", "127.1.2.3", "0.0.0.0", "10.1.2.3", "172.16.0.1")),
        *(
            (address, False)
            for address in ("192.168.1.1", "169.254.169.254", "100.64.0.1", "224.0.0.1", "255.255.255.255")
        ),
        *((address, False) for address in ("::1", "::", "fe80::1%eth0", "fd00::1", "::ffff:10.0.0.1", "ff02::1")),
        *((address, False) for address in ("64:ff9b::7f00:1", "2002:7f00:1::", "2001:0:1::")),
    ],
)
def test_private_addresses(address: str, public: bool) -> None:
    assert is_public(address) is public


def test_a_service_asks_no_private_network(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    closed = Limits(1 << 16, private=False)
    if hasattr(Handler, "seen"):  # by a test before this one
        del Handler.seen
    for host in (server, server.replace("127.0.0.1", "localhost"), server.replace("127.0.0.1", "0x7f000001")):
        assert "in a private network, which is not asked" in message(f"{host}/a.png", closed)
    assert not hasattr(Handler, "seen")
    (source,) = PictureFinder(private_addresses=False).find([f"{server}/a.png"])
    with pytest.raises(ImageDecodeError, match="in a private network"):
        decode(source)
    # a public server may not lead into one either
    monkeypatch.setattr(connection, "is_public", lambda address: address == "127.0.0.1")
    assert "in a private network" in message(f"{server}/to/http://[::1]/x", closed)


class Proxy(Handler):
    """Answers for any server; a tunnel leads to itself."""

    asked: list[tuple[str, str | None]] = []  # noqa: RUF012

    def do_GET(self) -> None:
        self.asked.append((f"GET {self.path}", self.headers["Proxy-Authorization"]))
        if "closed" in self.path:
            self.send_response(407, "Who are you")
            return self.end_headers()
        self.path = self.path.removeprefix("http://far.example")
        super().do_GET()

    def do_CONNECT(self) -> None:
        self.asked.append((f"CONNECT {self.path}", self.headers["Proxy-Authorization"]))
        if self.path.startswith("closed"):
            return self.answer(403, b"")
        self.send_response(200)
        self.end_headers()
        return None


@pytest.fixture
def proxy() -> Iterator[str]:
    Proxy.asked = []
    with serving(Proxy) as place:
        yield place


def test_a_proxy_of_the_environment_is_asked(server: str, proxy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", f"http://me:p%40ss@{proxy}")
    assert fetch("http://far.example/a.png?x=ö", LIMITS) == IMAGES[0]
    assert Proxy.asked == [("GET http://far.example/a.png?x=%C3%B6", "Basic bWU6cEBzcw==")]
    assert fetch("http://far.example/hops/1", LIMITS) == IMAGES[0]
    assert [asked for asked, _ in Proxy.asked[1:]] == [
        f"GET http://far.example/{at}" for at in ("hops/1", "hops/0", "a.png")
    ]
    Proxy.asked.clear()
    monkeypatch.setenv("no_proxy", "other.example,127.0.0.1")
    assert fetch(f"{server}/a.png", LIMITS) == IMAGES[0] and not Proxy.asked
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    assert "there is no server of this name" in message("http://far.example/a.png")
    assert not Proxy.asked


def unknown(*_: object, **__: object) -> None:
    raise socket.gaierror(-2, "Name or service not known")


def test_a_proxy_tunnels_what_is_secret(proxy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    class Bare:
        def wrap_socket(self, connected: socket.socket, server_hostname: str) -> socket.socket:
            assert server_hostname == "far.example"
            return connected

    monkeypatch.setenv("https_proxy", f"me:x@{proxy}")
    assert "the proxy answered 403 Forbidden; check https_proxy" in message("https://closed.example/a.png")
    assert "cannot be fetched" in message("https://far.example/a.png")  # it speaks no TLS
    monkeypatch.setattr(connection, "_context", Bare)
    monkeypatch.setattr(
        connection, "HTTPSConnection", lambda host, port, context: connection.HTTPConnection(host, port)
    )
    Proxy.asked.clear()
    assert fetch("https://far.example/a.png", LIMITS) == IMAGES[0]
    assert Proxy.asked == [("CONNECT far.example:443", "Basic bWU6eA=="), ("GET /a.png", None)]


@pytest.mark.parametrize("value", ["socks5://127.0.0.1:1", "https://127.0.0.1:1", "http://", "http://me:pa/ss@host:1"])
def test_other_proxies_are_refused(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ALL_PROXY", "http_proxy"):
        monkeypatch.setenv(name, value)
        assert message("http://far.example/a.png").startswith(f"{name} is no proxy of the form http://host:port")


def test_the_variable_of_a_proxy_that_refuses_is_named(proxy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALL_PROXY", f"http://{proxy}")
    assert "the proxy answered 403 Forbidden; check ALL_PROXY, or set" in message("https://closed.example/a.png")
    assert "the proxy answered 407 Who are you; check ALL_PROXY, or set" in message("http://closed.example/a.png")


def test_a_service_asks_no_proxy(server: str, proxy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It could be sent into the private network that this machine must not ask."""
    monkeypatch.setenv("http_proxy", f"http://{proxy}")
    assert "in a private network, which is not asked" in message(f"{server}/a.png", Limits(1 << 16, private=False))
    assert not Proxy.asked
