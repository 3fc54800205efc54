"""A proxy in front of a lakeFS server that does to chosen requests what networks and servers do."""

from __future__ import annotations

import http.client
import json
import random
import re
import socket
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal, Self
from urllib.parse import urlsplit

Kind = Literal[
    "status",
    "hang before",
    "hang after",
    "drop before",
    "drop after",
    "cut",
    "cut in headers",
    "another body",
    "late",
    "meanwhile",
]

# of one connection, not of the message
HOP = {"connection", "keep-alive", "transfer-encoding", "te", "upgrade"}


@dataclass
class Fault:
    """What happens to requests of a method whose path and query match.

    `status` answers in the server's place, without asking it; `hang` never answers and `drop`
    closes, each `before` the server was asked or `after` it has answered; `cut` sends half the
    reply, `cut in headers` not even all of its headers; `another body` is what `body` says, with the
    server's status; `late` closes at once, and asks the server after a while all the same; `meanwhile` lets
    something else happen first, and is no fault at all.

    Attributes:
        kind: what happens.
        method: the request's, as a regular expression; "" for any.
        path: a regular expression that is searched in the path and query.
        nth: the match it happens to, 1 being the first; 0 is all of them.
        probability: how likely it happens to a match.
        status: of the reply, for the kind `status`.
        message: of the reply, for the kind `status`; None sends `body` as it is.
        body: see there.
        headers: of the reply, for the kind `status`.
        what: happens first, for the kind `meanwhile`.
        seconds: until the server is asked, for the kind `late`.
    """

    kind: Kind
    method: str = ""
    path: str = ""
    nth: int = 0
    probability: float = 1.0
    status: int = 503
    message: str | None = "Throughput exceeded. Slow down and retry"
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    what: Callable[[], object] = lambda: None
    seconds: float = 0.0
    matches: int = 0
    happened: int = 0

    def happens(self, method: str, path: str, chance: random.Random) -> bool:
        """Count a request, and say whether it is one to spoil."""
        if self.method and not re.fullmatch(self.method, method):
            return False
        if not re.search(self.path, path):
            return False
        self.matches += 1
        if self.nth and self.matches != self.nth:
            return False
        if chance.random() >= self.probability:
            return False
        self.happened += 1
        return True


@dataclass(frozen=True)
class Seen:
    """A request that came by, and what was made of it."""

    method: str
    path: str
    fault: Fault | None


class FaultyProxy:
    """The proxy; a context manager that listens while it is open. Its faults may change meanwhile."""

    def __init__(self, upstream: str, *, seed: int = 0) -> None:
        self._upstream = urlsplit(upstream).netloc
        self._chance = random.Random(seed)
        self._lock = threading.Lock()
        self.closed = threading.Event()
        self._refusing_until = 0.0
        self._late: list[threading.Timer] = []
        self.faults: list[Fault] = []
        self.seen: list[Seen] = []
        self._server = self._listen(0)
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.closed.set()
        self._stop()
        self.settle()

    def refuse(self, seconds: float) -> None:
        """Close the port now, as a server that went away, and open it again after a while."""
        port = self._server.server_port
        self._stop()

        def come_back() -> None:
            time.sleep(seconds)
            if not self.closed.is_set():
                self._server = self._listen(port)

        threading.Thread(target=come_back, daemon=True).start()

    def asked(self, method: str = "", path: str = "") -> list[Seen]:
        """Return the requests seen of a method, whose path and query match."""
        return [
            seen
            for seen in self.seen
            if (not method or seen.method == method) and re.search(path, seen.path)
        ]

    def forward_later(self, seconds: float, *request: Any) -> None:
        """Ask the server after a while, whoever still wants to know."""
        timer = threading.Timer(seconds, self.forward, request)
        self._late.append(timer)
        timer.start()

    def settle(self) -> None:
        """Wait until the server has been asked all that was held back."""
        for timer in self._late:
            timer.join()

    def _listen(self, port: int) -> ThreadingHTTPServer:
        server = _Server(("127.0.0.1", port), self)
        serve = {"target": server.serve_forever, "args": (0.02,), "daemon": True}
        threading.Thread(**serve).start()
        return server

    def _stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._server.hang_up()

    def judge(self, method: str, path: str) -> Fault | None:
        with self._lock:
            fault = next((f for f in self.faults if f.happens(method, path, self._chance)), None)
            self.seen.append(Seen(method, path, fault))
            return fault

    def forward(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes
    ) -> tuple[int, list[tuple[str, str]], bytes]:
        connection = http.client.HTTPConnection(self._upstream, timeout=60)
        try:
            # the client's own Host header goes on: the S3 gateway's signatures cover it
            kept = {name: value for name, value in headers.items() if name.lower() not in HOP}
            connection.request(method, path, body=body or None, headers=kept)
            reply = connection.getresponse()
            return reply.status, reply.getheaders(), reply.read()
        finally:
            connection.close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, address: tuple[str, int], proxy: FaultyProxy) -> None:
        self.proxy = proxy
        self._open: set[socket.socket] = set()
        super().__init__(address, _Handler)

    def process_request(self, request: socket.socket, client_address: object) -> None:
        self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: socket.socket) -> None:
        self._open.discard(request)
        super().shutdown_request(request)

    def handle_error(self, *_: object) -> None:
        """Say nothing of clients that went away."""

    def hang_up(self) -> None:
        """Break the connections that are open, which a closed port leaves as they are."""
        for request in list(self._open):
            with suppress(OSError):
                request.shutdown(socket.SHUT_RDWR)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1
    disable_nagle_algorithm = True
    server: _Server

    def _serve(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        fault = self.server.proxy.judge(self.command, self.path)
        kind = fault.kind if fault else ""
        if fault is not None and kind == "status":
            self._answer(*_made_up(fault))
            return
        if fault is not None and kind == "late":
            self.server.proxy.forward_later(
                fault.seconds, self.command, self.path, self.headers, body
            )
        if fault is not None and kind == "meanwhile":
            fault.what()
        if kind != "late" and not kind.endswith("before"):
            reply = self.server.proxy.forward(self.command, self.path, self.headers, body)
            if kind in {"", "meanwhile", "cut"}:
                self._answer(*reply, half=kind == "cut")
            elif kind == "cut in headers":
                self.send_response_only(reply[0])
                self._headers_buffer.append(b"Content-Ty")  # and no more
                self.flush_headers()
                self.wfile.flush()
            elif fault is not None and kind == "another body":
                self._answer(reply[0], [*fault.headers.items()], fault.body)
                return
        if kind.startswith("hang"):
            self._await_the_end()
        elif kind not in {"", "meanwhile"}:
            self._hang_up()

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = _serve  # noqa: N815  # the base's names

    def _answer(
        self, status: int, headers: list[tuple[str, str]], body: bytes, *, half: bool = False
    ) -> None:
        if half and not body:
            self.wfile.write(b"HTTP/1.")  # nothing else of it can be halved
            self.wfile.flush()
            return
        self.send_response_only(status)
        for name, value in headers:
            if name.lower() not in HOP | {"content-length"}:
                self.send_header(name, value)
        length = next((v for n, v in headers if n.lower() == "content-length"), None)
        if status != 204:
            self.send_header("Content-Length", length or str(len(body)))
        self.end_headers()
        self.wfile.write(body[: len(body) // 2] if half else body)
        self.wfile.flush()

    def _await_the_end(self) -> None:
        while not self.server.proxy.closed.is_set():
            self.connection.settimeout(0.05)
            with suppress(TimeoutError):
                if not self.connection.recv(1):
                    break
        self.close_connection = True

    def _hang_up(self) -> None:
        self.close_connection = True
        with suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)

    def log_message(self, *_: object) -> None:
        """Say nothing: the tests' output is theirs."""


def _made_up(fault: Fault) -> tuple[int, list[tuple[str, str]], bytes]:
    body = fault.body
    if fault.message is not None:
        body = json.dumps({"message": fault.message}).encode()
    headers = [("Content-Type", "application/json"), *fault.headers.items()]
    return fault.status, headers, body
