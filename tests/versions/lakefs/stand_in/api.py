"""The endpoints under /api/v1 that the SDK uses here, over the state."""

from __future__ import annotations

import json
import re
import secrets
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from email.parser import BytesParser
from email.policy import HTTP
from hashlib import md5
from typing import Any
from urllib.parse import unquote

from tests.versions.lakefs.stand_in.refs import Commit, Refused
from tests.versions.lakefs.stand_in.state import Difference, Repository
from tests.versions.lakefs.stand_in.three_way import Entry

META = "x-lakefs-meta-"
RANGE = re.compile(r"bytes=(\d*)-(\d*)")


@dataclass(frozen=True)
class Request:
    """One request, its body read."""

    method: str
    path: str
    query: Mapping[str, list[str]]
    headers: Mapping[str, str]
    body: bytes

    def text(self, name: str, default: str = "") -> str:
        return self.query.get(name, [default])[0]

    def flag(self, name: str, default: str = "false") -> bool:
        return self.text(name, default).lower() == "true"

    def json(self) -> dict[str, Any]:
        return json.loads(self.body) if self.body else {}

    def required(self, name: str) -> str:
        if name not in self.query:
            raise Refused(
                400, f'parameter "{name}" in query has an error: value is required but missing'
            )
        if not self.text(name):
            raise Refused(
                400, f'parameter "{name}" in query has an error: empty value is not allowed'
            )
        return self.text(name)


@dataclass(frozen=True)
class Answer:
    """A reply: JSON, unless data is given."""

    status: int
    body: object = None
    data: bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass
class World:
    """All that a server holds, and who may use it."""

    access_key: str
    secret_key: str
    gateway: bool = True
    presign: bool = False
    address: str = ""
    repositories: dict[str, Repository] = field(default_factory=dict)
    signed: dict[str, Entry] = field(default_factory=dict)
    lock: threading.RLock = field(default_factory=threading.RLock)

    def repository(self, name: str) -> Repository:
        if name not in self.repositories:
            raise Refused(404, "repository not found")
        return self.repositories[name]

    def sign(self, entry: Entry) -> str:
        if not self.presign:
            raise Refused(400, "local adapter presigned URL: operation not supported")
        key = secrets.token_hex(8)
        self.signed[key] = entry
        return f"{self.address}/presigned/{key}"


Endpoint = Callable[..., Answer]
_ROUTES: list[tuple[str, re.Pattern[str], Endpoint]] = []


def route(method: str, path: str) -> Callable[[Endpoint], Endpoint]:
    pattern = re.compile(re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]*)", path))

    def register(endpoint: Endpoint) -> Endpoint:
        _ROUTES.append((method, pattern, endpoint))
        return endpoint

    return register


def answer(world: World, request: Request) -> Answer:
    """Find the endpoint and ask it; `request.path` is what follows /api/v1, still quoted."""
    for method, pattern, endpoint in _ROUTES:
        found = pattern.fullmatch(request.path)
        if found and method == request.method:
            parts = {name: unquote(value) for name, value in found.groupdict().items()}
            with world.lock:
                if "repository" in parts:
                    parts["repository"] = world.repository(parts["repository"])
                return endpoint(world, request, **parts)
    raise Refused(404, "invalid API endpoint")


def paged(request: Request, items: Iterable[tuple[str, Any]]) -> Answer:
    """Return one page of (name, shown) in order, after the name asked for."""
    after, prefix = request.text("after"), request.text("prefix")
    amount = int(request.text("amount", "100"))
    amount = min(amount, 1000) if amount > 0 else 100
    wanted = [(name, shown) for name, shown in items if name > after and name.startswith(prefix)]
    return page(wanted[:amount], more=len(wanted) > amount)


def page(items: list[tuple[str, Any]], *, more: bool) -> Answer:
    pagination = {
        "has_more": more,
        "max_per_page": 1000,
        "next_offset": items[-1][0] if more and items else "",
        "results": len(items),
    }
    return Answer(200, {"pagination": pagination, "results": [shown for _, shown in items]})


def shown_commit(commit: Commit) -> dict[str, Any]:
    return {
        "committer": "stand-in",
        "creation_date": commit.date // 1_000_000_000,
        "generation": commit.generation,
        "id": commit.id,
        "message": commit.message,
        "meta_range_id": commit.id[:16],
        "metadata": commit.metadata,
        "parents": list(commit.parents),
        "version": 1,
    }


def shown_entry(path: str, entry: Entry, address: str = "") -> dict[str, Any]:
    return {
        "checksum": entry.checksum,
        "content_type": entry.content_type,
        "metadata": dict(entry.metadata),
        "mtime": entry.mtime,
        "path": path,
        "path_type": "object",
        "physical_address": address or entry.address,
        "size_bytes": len(entry.data),
    }


def shown_difference(difference: Difference) -> tuple[str, dict[str, Any]]:
    path, kind, entry = difference
    size = len(entry.data)
    return path, {"path": path, "path_type": "object", "size_bytes": size, "type": kind}


def sliced(entry: Entry, wanted: str | None) -> Answer:
    """Return an object's data, or the range of it that a header asks for."""
    headers = {
        "Content-Type": entry.content_type,
        "ETag": f'"{entry.checksum}"',
        "Last-Modified": time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(entry.mtime)),
        "Accept-Ranges": "bytes",
    }
    if wanted is None:
        return Answer(200, data=entry.data, headers=headers)
    found = RANGE.fullmatch(wanted)
    if not found:
        raise Refused(400, 'parameter "Range" in header has an error')
    size = len(entry.data)
    first, last = found.groups()
    if first:
        begin, end = int(first), min(int(last or size - 1), size - 1)
    else:
        begin, end = max(size - int(last or 0), 0), size - 1
    if begin > end or not (first or last):
        raise Refused(416, "Requested Range Not Satisfiable")
    headers["Content-Range"] = f"bytes {begin}-{end}/{size}"
    return Answer(206, data=entry.data[begin : end + 1], headers=headers)


def made_entry(request: Request, repository: Repository) -> Entry:
    """Return the object that an upload brings."""
    data, content_type = request.body, request.headers.get("Content-Type", "")
    if content_type.startswith("multipart/form-data"):
        # what the SDK's own upload sends
        whole = b"Content-Type: " + content_type.encode() + b"\r\n\r\n" + data
        (part,) = BytesParser(policy=HTTP).parsebytes(whole).iter_parts()
        data, content_type = part.get_payload(decode=True), part.get_content_type()
    metadata = {
        name.lower().removeprefix(META): value
        for name, value in request.headers.items()
        if name.lower().startswith(META)
    }
    return Entry(
        data=data,
        checksum=md5(data, usedforsecurity=False).hexdigest(),
        content_type=content_type or "application/octet-stream",
        metadata=metadata,
        mtime=int(time.time()),
        address=f"{repository.namespace}/data/{secrets.token_hex(8)}",
    )
