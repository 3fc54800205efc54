"""Objects' data to and from a server, in pieces: the SDK's own calls would hold it whole in memory."""

from __future__ import annotations

import hashlib
import io
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, cast
from urllib.parse import quote

from urllib3.exceptions import HTTPError, ProtocolError

from mlops_assets.errors import RepositoryCorruptError, VersionsError
from mlops_assets.versions.lakefs.connection import Connection
from mlops_assets.versions.lakefs.failures import translated

if TYPE_CHECKING:
    from urllib3 import BaseHTTPResponse

CHECKSUM = "sha256"  # of the user metadata: lakeFS' own checksum is the block store's, of any kind
PLACE = "mlops-place"  # of the path: alike objects at two paths are two objects, see `upload`

_CREATED = 201  # what lakeFS answers to an upload; a proxy's page comes with 200
_CHUNK = 1 << 20  # bytes
_READ_AHEAD = 1 << 20  # bytes
_CUTS = 10  # of a connection, one after the other at the same byte


@dataclass(frozen=True)
class Content:
    """What is to be uploaded: bytes or a file, with its SHA-256 in hex and its size in bytes."""

    source: bytes | Path
    checksum: str
    size: int

    @contextmanager
    def stream(self) -> Iterator[BinaryIO]:
        """Open it at its beginning."""
        if isinstance(self.source, bytes):
            yield io.BytesIO(self.source)
        else:
            with self.source.open("rb") as file:
                yield file


def measured(source: bytes | Path) -> Content:
    """Read a source once for its checksum.

    Raises:
        VersionsError: the file can't be read.
    """
    if isinstance(source, bytes):
        return Content(source, hashlib.sha256(source).hexdigest(), len(source))
    try:
        with source.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256")
            return Content(source, digest.hexdigest(), file.tell())
    except OSError as error:
        raise VersionsError(f"{source} can't be read: {error.strerror}") from error


@contextmanager
def spooled(stream: BinaryIO) -> Iterator[Content]:
    """Keep a stream on this machine's disk: the checksum has to be known before the upload."""
    digest, size = hashlib.sha256(), 0
    with tempfile.NamedTemporaryFile(prefix="mlops-upload-") as file:
        while chunk := stream.read(_CHUNK):
            digest.update(chunk)
            size += file.write(chunk)
        file.flush()
        yield Content(Path(file.name), digest.hexdigest(), size)


class Transfer:
    """The objects' data of one repository on a server."""

    def __init__(self, connection: Connection, repository: str) -> None:
        self._connection = connection
        self._repository = repository

    def upload(self, branch: str, path: str, content: Content) -> None:
        """Stage an object on a branch; the same again is the same.

        Raises:
            VersionsError: the file was changed while it was read, or the server failed.
        """
        address = self._address("branches", branch, path)
        headers = {
            **self._connection.authorization,
            "Content-Type": "application/octet-stream",
            "Content-Length": str(content.size),
            f"x-lakefs-meta-{CHECKSUM}": content.checksum,
            # lakeFS (1.84) compares, towards the end of a merge, an object with its neighbour in the
            # base, and loses it if the two are alike; with their places among their metadata they
            # never are
            f"x-lakefs-meta-{PLACE}": hashlib.sha256(path.encode()).hexdigest()[:16],
        }

        def once() -> None:
            with content.stream() as stream:
                sent = _Hashed(stream)
                self._request("POST", address, headers=headers, body=cast("BinaryIO", sent))
            if sent.checksum != content.checksum:
                raise VersionsError(
                    f"{content.source!s} was changed while it was put at `{path}`: put it again"
                )

        self._connection.repeat(f"uploading `{path}`", once, lambda: None)

    def pieces(self, commit: str, path: str, size: int) -> Iterator[bytes]:
        """Yield an object's data piece by piece, going on where a cut connection stopped.

        Raises:
            RepositoryCorruptError: it is shorter than the commit says.
        """
        begin, stuck = 0, 0
        doing = f"reading `{path}` at {commit[:12]}"
        while begin < size:
            before = begin
            cut: Exception | None = None
            with self._opened(commit, path, begin) as response:
                try:
                    for piece in response.stream(_CHUNK):
                        begin += len(piece)
                        yield piece
                except (HTTPError, OSError) as error:
                    cut = error
                if begin < size and cut is None:
                    cut = _cut_in_its_headers(response)
            if begin < size and cut is None:
                raise RepositoryCorruptError(
                    f"the data of `{path}` is damaged: the server gave {begin} bytes, not {size}"
                )
            if cut is not None:
                # the next request says it if the server is gone; a cut at the same place again
                # and again is no accident
                stuck = 0 if begin > before else stuck + 1
                if stuck > _CUTS:
                    raise translated(cut, doing, self._connection.settings.endpoint) from cut

    def read(self, commit: str, path: str, begin: int, end: int) -> bytes:
        """Return bytes `begin` to `end` (not included) of an object.

        Raises:
            RepositoryCorruptError: it is shorter than the commit says.
        """

        def once() -> bytes:
            response = self._get(commit, path, begin, end)
            try:
                data = response.read()
                if len(data) < end - begin and (cut := _cut_in_its_headers(response)):
                    raise cut
                return data
            finally:
                response.release_conn()

        data = self._connection.repeat(f"reading `{path}` at {commit[:12]}", once, lambda: None)
        if len(data) < end - begin:
            raise RepositoryCorruptError(
                f"the data of `{path}` is damaged: the server gave {len(data)} bytes from {begin} "
                f"on, not {end - begin}"
            )
        return data

    def open(self, commit: str, path: str, size: int) -> BinaryIO:
        """Open an object of that many bytes for reading; seeking costs nothing."""
        return io.BufferedReader(_Remote(self, commit, path, size), _READ_AHEAD)

    def checksum(self, commit: str, path: str, size: int) -> str:
        """Read an object through and return its SHA-256 in hex; raises as `pieces` does."""
        digest = hashlib.sha256()
        for piece in self.pieces(commit, path, size):
            digest.update(piece)
        return digest.hexdigest()

    @contextmanager
    def _opened(self, commit: str, path: str, begin: int) -> Iterator[BaseHTTPResponse]:
        response = self._connection.repeat(
            f"reading `{path}` at {commit[:12]}",
            lambda: self._get(commit, path, begin),
            lambda: None,
        )
        try:
            yield response
        finally:
            response.release_conn()

    def _get(
        self, commit: str, path: str, begin: int = 0, end: int | None = None
    ) -> BaseHTTPResponse:
        headers = dict(self._connection.authorization)
        if begin or end is not None:
            headers["Range"] = f"bytes={begin}-{'' if end is None else end - 1}"
        return self._request("GET", self._address("refs", commit, path), headers=headers)

    def _address(self, kind: str, ref: str, path: str) -> str:
        root = self._connection.settings.endpoint
        return (
            f"{root}/api/v1/repositories/{self._repository}/{kind}/{quote(ref, safe='')}"
            f"/objects?path={quote(path, safe='')}"
        )

    def _request(
        self, method: str, address: str, *, headers: dict[str, str], body: BinaryIO | None = None
    ) -> BaseHTTPResponse:
        """Send one request whose body streams; a GET's reply is still to be read."""
        from lakefs_sdk.exceptions import ApiException
        from urllib3 import Timeout

        connect, read = self._connection.limits
        response: BaseHTTPResponse = self._connection.api.rest_client.pool_manager.request(
            method,
            address,
            headers=headers,
            body=body,
            preload_content=False,
            timeout=Timeout(connect=connect, read=read),
        )
        if response.status >= 300:
            failure = ApiException(status=response.status, reason=response.reason)
            failure.body = response.read(10_000)
            response.release_conn()
            raise failure
        if method != "GET":
            response.read()
            response.release_conn()
            if response.status != _CREATED:
                raise ValueError(f"an answer of {response.status} to an upload")
        return response


def _cut_in_its_headers(response: BaseHTTPResponse) -> ProtocolError | None:
    """Return the error of a reply that did not come as far as to say how long it is."""
    known = {name.lower() for name in response.headers}
    if known & {"content-length", "transfer-encoding"}:
        return None  # then urllib3 sees that it was cut
    return ProtocolError("the reply was cut in its headers")


class _Hashed(io.RawIOBase):
    """A stream that knows the SHA-256 of what was read of it."""

    def __init__(self, stream: BinaryIO) -> None:
        super().__init__()
        self._stream = stream
        self._digest = hashlib.sha256()

    @property
    def checksum(self) -> str:
        return self._digest.hexdigest()

    def read(self, size: int = -1) -> bytes:
        piece = self._stream.read(_CHUNK if size < 0 else max(size, _CHUNK))
        self._digest.update(piece)
        return piece


class _Remote(io.RawIOBase):
    """An object on the server as a file: each read is a range of it."""

    def __init__(self, transfer: Transfer, commit: str, path: str, size: int) -> None:
        super().__init__()
        self._transfer = transfer
        self._place = (commit, path)
        self._size = size
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        begin = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        if begin + offset < 0:
            raise ValueError(f"a position before the beginning: {begin + offset}")
        self._at = begin + offset
        return self._at

    def tell(self) -> int:
        return self._at

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]  # the base says Buffer
        end = min(self._at + len(buffer), self._size)
        if end <= self._at:
            return 0
        piece = self._transfer.read(*self._place, self._at, end)
        buffer[: len(piece)] = piece
        self._at += len(piece)
        return len(piece)
