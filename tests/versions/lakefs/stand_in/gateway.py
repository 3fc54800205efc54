"""The part of the S3 gateway that Polars reads with: GET and HEAD of /<repository>/<ref>/<path>."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Mapping
from urllib.parse import unquote
from xml.sax.saxutils import escape

from tests.versions.lakefs.stand_in.api import Answer, Request, World, sliced
from tests.versions.lakefs.stand_in.refs import Refused

SIGNED = re.compile(
    r"AWS4-HMAC-SHA256 Credential=(?P<key>[^/]+)/(?P<scope>[^,]+), ?"
    r"SignedHeaders=(?P<headers>[^,]+), ?Signature=(?P<signature>[0-9a-f]+)"
)
MESSAGES = {
    "NoSuchKey": (404, "The specified key does not exist."),
    "NoSuchBucket": (404, "The specified bucket does not exist"),
    "InvalidAccessKeyId": (
        403,
        "The access key ID you provided does not exist in our records.",
    ),
    "SignatureDoesNotMatch": (
        403,
        "The request signature we calculated does not match the signature you provided. "
        "Check your key and signing method.",
    ),
    "InvalidRange": (416, "The requested range is not satisfiable"),
    "AccessDenied": (403, "Access Denied."),
}


def answer(world: World, request: Request) -> Answer:
    """Return the object, if the signature (AWS' version 4) is the one that the key makes."""
    code = _stranger(world, request)
    if code:
        return _refused(code)
    repository, _, rest = unquote(request.path).removeprefix("/").partition("/")
    ref, _, path = rest.partition("/")
    with world.lock:
        if repository not in world.repositories:
            return _refused("NoSuchBucket")
        try:
            entry = world.repositories[repository].entry(ref, path)
        except Refused:
            return _refused("NoSuchKey")
    try:
        return sliced(entry, request.headers.get("Range"))
    except Refused:
        return _refused("InvalidRange")


def _stranger(world: World, request: Request) -> str:
    """Return why a request is not let in, or nothing."""
    found = SIGNED.fullmatch(request.headers.get("Authorization", ""))
    if not found:
        return "AccessDenied"
    if found["key"] != world.access_key:
        return "InvalidAccessKeyId"
    signature = _signature(world.secret_key, request, found.groupdict())
    return "" if hmac.compare_digest(signature, found["signature"]) else "SignatureDoesNotMatch"


def _signature(secret: str, request: Request, given: Mapping[str, str]) -> str:
    names = given["headers"].split(";")
    canonical = "\n".join(
        [
            request.method,
            request.path,
            "",
            *(f"{name}:{request.headers.get(name, '').strip()}" for name in names),
            "",
            given["headers"],
            request.headers.get("x-amz-content-sha256", "UNSIGNED-PAYLOAD"),
        ]
    )
    hashed = hashlib.sha256(canonical.encode()).hexdigest()
    moment = request.headers.get("x-amz-date", "")
    key = f"AWS4{secret}".encode()
    for part in given["scope"].split("/"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    text = "\n".join(["AWS4-HMAC-SHA256", moment, given["scope"], hashed])
    return hmac.new(key, text.encode(), hashlib.sha256).hexdigest()


def _refused(code: str) -> Answer:
    status, message = MESSAGES[code]
    text = f"<Error><Code>{code}</Code><Message>{escape(message)}</Message></Error>"
    return Answer(status, data=text.encode(), headers={"Content-Type": "text/xml; charset=utf-8"})
