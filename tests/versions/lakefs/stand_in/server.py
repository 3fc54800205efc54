"""A lakeFS server in memory, on a port of its own: the REST calls and the S3 reads of this project."""

from __future__ import annotations

import base64
import json
import threading
import uuid
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self
from urllib.parse import parse_qs, urlsplit

from tests.versions.lakefs.stand_in import (
    api,
    gateway,
    object_endpoints,
    ref_endpoints,
    repository_endpoints,
)
from tests.versions.lakefs.stand_in.api import Answer, Request, World
from tests.versions.lakefs.stand_in.refs import Refused

API = "/api/v1"
# imported for the routes that they register
assert object_endpoints
assert ref_endpoints
assert repository_endpoints


class StandIn:
    """The server; a context manager that listens while it is open.

    With `presign`, it offers presigned URLs as a cloud's block store does; without `gateway`, its
    S3 gateway can't be reached.
    """

    access_key = "AKIASTANDIN"

    def __init__(self, *, gateway: bool = True, presign: bool = False) -> None:
        # never anywhere but in this process: a message or a log that shows it is found at once
        self.secret_key = f"secret-{uuid.uuid4().hex}"
        self.world = World(self.access_key, self.secret_key, gateway=gateway, presign=presign)
        self._server = _Server(self.world)
        self.url = self.world.address = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        # seldom asked whether to stop: closing would otherwise wait half a second
        serve = {"target": self._server.serve_forever, "args": (0.02,), "daemon": True}
        threading.Thread(**serve).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def environment(self) -> dict[str, str]:
        """What tells a client of this server."""
        return {
            "LAKECTL_SERVER_ENDPOINT_URL": self.url,
            "LAKECTL_CREDENTIALS_ACCESS_KEY_ID": self.access_key,
            "LAKECTL_CREDENTIALS_SECRET_ACCESS_KEY": self.secret_key,
        }


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, world: World) -> None:
        self.world = world
        super().__init__(("127.0.0.1", 0), _Handler)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # a reply leaves in one piece: Nagle's algorithm would hold back the second
    disable_nagle_algorithm = True
    server: _Server

    def _serve(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        parts = urlsplit(self.path)
        request = Request(
            method=self.command,
            path=parts.path,
            query=parse_qs(parts.query, keep_blank_values=True),
            headers=self.headers,
            body=self.rfile.read(length),
        )
        try:
            self._reply(_answer(self.server.world, request))
        except Refused as refused:
            self._reply(Answer(refused.status, refused.body))

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = _serve  # noqa: N815  # the base's names

    def _reply(self, answer: Answer) -> None:
        headers = dict(answer.headers)
        data = answer.data
        if data is None:
            data = b"" if answer.body is None else json.dumps(answer.body).encode() + b"\n"
            headers["Content-Type"] = "application/json"
        self.send_response(answer.status)
        for name, value in headers.items():
            self.send_header(name, value)
        if answer.status != 204:
            self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        """Say nothing: the tests' output is theirs."""


def _answer(world: World, request: Request) -> Answer:
    if request.path == "/_health":
        return Answer(200, data=b"alive!", headers={"Content-Type": "text/plain; charset=utf-8"})
    if request.path.startswith("/presigned/"):
        entry = world.signed.get(request.path.rpartition("/")[2])
        if entry is None:
            raise Refused(403, "no such signature")
        return api.sliced(entry, request.headers.get("Range"))
    if not request.path.startswith(f"{API}/"):
        if not world.gateway:
            return Answer(200, data=b"<!DOCTYPE html>", headers={"Content-Type": "text/html"})
        return gateway.answer(world, request)
    path = request.path.removeprefix(API)
    if path != "/healthcheck" and not _allowed(world, request.headers):
        raise Refused(401, "error authenticating request")
    asked = Request(request.method, path, request.query, request.headers, request.body)
    return api.answer(world, asked)


def _allowed(world: World, headers: Mapping[str, str]) -> bool:
    kind, _, given = headers.get("Authorization", "").partition(" ")
    if kind != "Basic":
        return False
    name, _, secret = base64.b64decode(given).decode().partition(":")
    return (name, secret) == (world.access_key, world.secret_key)
