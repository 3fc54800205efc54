"""What a server, or the way to it, can answer instead of what was asked, in the contract's errors."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from enum import Enum
from typing import Any

from mlops_assets.errors import (
    AccessRefusedError,
    ConflictError,
    HookRefusedError,
    NothingToCommitError,
    RefNotFoundError,
    RepositoryBusyError,
    RepositoryCorruptError,
    RepositoryUnreachableError,
    VersionsError,
)

_DIRTY = "dirty branch"


class Kind(Enum):
    """What a failure says of the request."""

    REFUSED = "it was answered: asking again gives the same answer"
    NOT_DONE = "it surely changed nothing and may be asked again"
    UNKNOWN = "nobody knows whether it was done"
    GARBLED = "the answer is none of lakeFS', or was cut: nobody knows whether it was done either"


def kind_of(error: Exception) -> Kind:
    """Say what a failure means, from its status or from how far the request came."""
    from lakefs_sdk.exceptions import ApiException, OpenApiException
    from urllib3.exceptions import ConnectTimeoutError, HTTPError, NewConnectionError

    if isinstance(error, ApiException):
        said = told(error)
        # an upload of somebody else's that waits for its commit makes a branch dirty for a while
        if error.status in {423, 429} or "currently locked" in said or _DIRTY in said:
            return Kind.NOT_DONE
        # a gateway in between may say so of what was done behind it
        is_unknown = error.status in {408, 425} or (error.status or 500) >= 500
        return Kind.UNKNOWN if is_unknown else Kind.REFUSED
    if isinstance(error, NewConnectionError | ConnectTimeoutError):
        return Kind.NOT_DONE
    if isinstance(error, ValueError) and not isinstance(error, OpenApiException | HTTPError):
        return Kind.GARBLED  # what the SDK can't read: half a reply, nothing, or a proxy's page
    return Kind.UNKNOWN if isinstance(error, HTTPError | OSError) else Kind.REFUSED


def asked_pause(error: Exception) -> float:
    """Return for how many seconds the server asked to be left alone (RFC 9110, 10.2.3); else 0."""
    said = str((getattr(error, "headers", None) or {}).get("Retry-After", "")).strip()
    if said.isdecimal():
        return float(said)
    try:
        until = parsedate_to_datetime(said)
    except ValueError:
        return 0.0
    return max(0.0, (until.replace(tzinfo=until.tzinfo or UTC) - datetime.now(UTC)).total_seconds())


def translated(error: Exception, doing: str, endpoint: str) -> VersionsError:
    """Return the contract's error; `doing` says what was asked ("merging `a` into `main`")."""
    from lakefs_sdk.exceptions import ApiException
    from urllib3.exceptions import SSLError

    if isinstance(error, SSLError) or (isinstance(error, ApiException) and not error.status):
        if _speaks_plainly(error):
            return RepositoryUnreachableError(
                f"{doing}: {endpoint} does not answer in TLS; if it is a plain server, name it as "
                f"{endpoint.replace('https://', 'http://', 1)}"
            )
        return RepositoryUnreachableError(
            f"{doing}: the certificate of {endpoint} can't be trusted: {_shown(error)}"
        )
    if isinstance(error, ValueError):
        return VersionsError(
            f"{doing}: what {endpoint} answered is no answer of a lakeFS server "
            f"({type(error).__name__}); see that the address is right and no proxy answers for it"
        )
    if not isinstance(error, ApiException):
        return RepositoryUnreachableError(
            f"{doing}: the lakeFS server at {endpoint} does not answer ({_shown(error)}); see "
            f"whether it runs ({endpoint}/_health), then do the same again"
        )
    return _of_status(int(error.status), told(error), doing, endpoint)


def _of_status(status: int, said: str, doing: str, endpoint: str) -> VersionsError:
    if status == 400 and "no changes" in said:
        return NothingToCommitError(f"{doing}: nothing differs")
    if status == 400 and _DIRTY in said:
        return RepositoryBusyError(
            f"{doing}: somebody has uncommitted changes there ({said}); commit them with "
            "`lakectl commit` or take them back with `lakectl branch reset`, then do the same again"
        )
    if status == 412 and "precondition failed" not in said.lower():
        return HookRefusedError(f"{doing}: a hook of the repository refused it: {said}")
    kinds: dict[int, tuple[type[VersionsError], str]] = {
        401: (AccessRefusedError, _of_401(said, endpoint)),
        403: (AccessRefusedError, f"not allowed: {said}"),
        404: (RefNotFoundError, f"not found: {said}"),
        409: (ConflictError, said or "conflict"),
        410: (RepositoryCorruptError, f"the data is gone from the server's store: {said}"),
        412: (ConflictError, said),
        423: (RepositoryBusyError, f"locked: {said}; try again"),
        429: (RepositoryBusyError, f"too much at once: {said}; try again"),
        503: (RepositoryBusyError, f"the server is overloaded: {said}; try again"),
    }
    kind, reason = kinds.get(status, (VersionsError, f"{endpoint} answered {status}: {said}"))
    return kind(f"{doing}: {reason}")


def _of_401(said: str, endpoint: str) -> str:
    # lakeFS answers so to whom it doesn't know and to whom it knows
    if "permission" in said.lower() or "not allowed" in said.lower():
        return (
            f"{endpoint} knows these credentials, and they may not do this ({said}): ask whoever "
            "keeps that server for the right to"
        )
    return f"{endpoint} does not know these credentials" + (f" ({said})" if said else "")


def _speaks_plainly(error: Exception) -> bool:
    """Tell a server that answers without TLS from one whose certificate is no good."""
    text = str(error).upper().replace("_", " ")
    return (
        "WRONG VERSION NUMBER" in text
        or "RECORD LAYER FAILURE" in text
        or "UNKNOWN PROTOCOL" in text
    )


def told(error: Any) -> str:
    """Return what the server itself said in its answer, at most 500 characters."""
    body = error.body or ""
    text = body.decode(errors="replace") if isinstance(body, bytes) else str(body)
    try:
        content = json.loads(text)
    except ValueError:
        content = None
    if isinstance(content, dict):
        text = str(content.get("message", ""))
    return " ".join(text.split())[:500]


def _shown(error: Exception) -> str:
    text = str(error)
    # urllib3 puts the connection's address in front, which differs each time
    return text.rsplit(": ", 1)[-1].strip("()'\". ") or type(error).__name__
