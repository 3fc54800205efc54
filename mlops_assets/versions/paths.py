"""Which names and paths every repository accepts, lakeFS' own laxer rules notwithstanding."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping

from mlops_assets.errors import InvalidNameError

MAX_NAME = 128  # characters
MAX_PATH = 1024  # bytes of UTF-8: an S3 key holds no more
MAX_COMPONENT = 255  # bytes of UTF-8: a file name holds no more, and `git clone` makes them files

_NAME = re.compile(r"\w[-\w]*", re.ASCII)  # lakeFS is written in Go, whose \w is ASCII
_COMMIT_ID = re.compile(r"[0-9a-fA-F]{40}|[0-9a-fA-F]{64}")
# Control, format (zero-width, direction) and surrogate characters, line and paragraph separators.
_UNSEEN = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})


def is_name(name: str) -> bool:
    """Tell whether a branch or tag may be called so."""
    return (
        len(name) <= MAX_NAME
        and _NAME.fullmatch(name) is not None
        and name != "HEAD"
        and not is_commit_id(name)
    )


def is_commit_id(text: str) -> bool:
    """Tell whether it has the form of a whole commit id, of git (40 digits) or lakeFS (64)."""
    return _COMMIT_ID.fullmatch(text) is not None


def check_name(what: str, name: str) -> str:
    """Return the name of a branch or tag.

    Raises:
        InvalidNameError: it is longer than 128 characters, holds more than ASCII letters, digits,
            `_` and `-`, begins with `-`, or reads like a commit id or `HEAD`.
    """
    if not is_name(name):
        raise InvalidNameError(
            f"no {what} can be called {name!r}: use 1 to {MAX_NAME} letters, digits, `_` and `-`, "
            "not beginning with `-`, and neither a whole commit id nor `HEAD`"
        )
    return name


def check_path(path: str) -> str:
    """Return the path of an object.

    Raises:
        InvalidNameError: it is empty or too long, begins or ends with `/`, or holds `//`, `.`, `..`,
            a component that begins with `.git`, a backslash or a control character.
    """
    problem = _problem(path)
    if problem:
        raise InvalidNameError(f"no object can stand at {path!r}: {problem}")
    return path


def check_log_path(path: str) -> str:
    """Return the path of an object, or of a folder ending in "/", without that ending.

    Raises:
        InvalidNameError: as for `check_path`.
    """
    return check_path(path.removesuffix("/"))


def check_message(message: str) -> str:
    """Return a commit message without the blank space around it.

    Raises:
        InvalidNameError: it is blank, or not text that git can keep.
    """
    message = message.strip()
    if not message:
        raise InvalidNameError("a commit needs a message: say what it is for")
    if "\0" in message or not _encodable(message):
        raise InvalidNameError(f"a commit message can't hold NUL or lone surrogates: {message!r}")
    return message


def check_metadata(metadata: Mapping[str, str] | None) -> dict[str, str]:
    """Return a copy of a commit's metadata.

    Raises:
        InvalidNameError: a key or a value is not text, or a key is empty.
    """
    checked = dict(metadata or {})
    for key, value in checked.items():
        # The annotation is a promise that callers without a type checker don't give.
        for text in (key, value):
            if not isinstance(text, str) or not _encodable(text):
                raise InvalidNameError(f"metadata is text to text; {key!r} is {value!r}")
        if not key:
            raise InvalidNameError("a key of the metadata is empty")
    return checked


def _problem(path: str) -> str | None:
    if any(unicodedata.category(character) in _UNSEEN for character in path):
        return "it holds a control or invisible character"
    if "\\" in path:
        return "it holds a backslash; folders are parted by `/`"
    if len(path.encode()) > MAX_PATH:
        return f"it is longer than {MAX_PATH} bytes"
    return next(filter(None, map(_problem_of_component, path.split("/"))), None)


def _problem_of_component(component: str) -> str | None:
    if not component:
        return "a component is empty; it may not begin or end with `/`, nor hold `//`"
    if component in {".", ".."}:
        return f"`{component}` is no name"
    if component.casefold().startswith(".git"):
        return f"`{component}` would mean something to git"
    if len(component.encode()) > MAX_COMPONENT:
        return f"a component is longer than {MAX_COMPONENT} bytes"
    return None


def _encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
