"""How text from outside, and counts, are written in sentences."""

from __future__ import annotations

import re
from collections.abc import Iterable

# control characters, lone surrogates of names that are no Unicode, line and paragraph separators,
# and what turns the direction of reading: each can make a line say what it doesn't
_UNSEEN = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)


def visible(text: object) -> str:
    r"""Return text of one line, with what a terminal would act on written as its escape.

    >>> visible("red \x1b[31m or\nnot")
    'red \\x1b[31m or\\nnot'
    """
    return _UNSEEN.sub(lambda found: found[0].encode("unicode_escape").decode(), str(text))


def counted(number: int, noun: str, plural: str | None = None) -> str:
    """Return a number with its noun: `1 window`, `1,200 windows`.

    >>> counted(1, "batch", "batches")
    '1 batch'
    """
    return f"{number:,} {noun if number == 1 else plural or f'{noun}s'}"


def joined(sentences: Iterable[str]) -> str:
    """Return sentences as one, without the full stops before the semicolons.

    >>> joined(["It is late.", "It rains."])
    'It is late; It rains'
    """
    return "; ".join(one.removesuffix(".") for one in sentences)
