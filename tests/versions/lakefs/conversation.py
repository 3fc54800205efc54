"""Raw SDK calls and what a server answered to each, in a form in which two servers can be compared."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import lakefs_sdk
from lakefs_sdk.client import LakeFSClient
from lakefs_sdk.exceptions import ApiException

ID = re.compile(r"\b[0-9a-f]{64}\b")
RUN = re.compile(r"run id '\w{20}'")
# what no two servers, or no two moments, have in common
OWN = {
    "creation_date",
    "mtime",
    "physical_address",
    "meta_range_id",
    "storage_namespace",
    "storage_id",
    "committer",
    "version",
}


def client(host: str, key: str, secret: str) -> LakeFSClient:
    return LakeFSClient(lakefs_sdk.Configuration(host=host, username=key, password=secret))


@dataclass
class Conversation:
    """Each answer is (what was asked, status, body), with ids and times made comparable."""

    answers: list[tuple[str, int, Any]] = field(default_factory=list)
    _known: dict[str, str] = field(default_factory=dict)
    _own: dict[str, str] = field(default_factory=dict)

    def naming(self, name: str, placeholder: str) -> None:
        """Show a name that only this server has as a placeholder."""
        self._own[name] = placeholder

    def ask(self, what: str, call: Callable[..., Any], *args: Any, **options: Any) -> Any:
        """Make a call by its `_with_http_info` form and return the decoded data, or None."""
        method = getattr(call.__self__, f"{call.__name__}_with_http_info")
        try:
            answer = method(*args, **options)
        except ApiException as error:
            self.answers.append((what, error.status, self._comparable(self._decoded(error.body))))
            return None
        decoded = self._decoded(answer.raw_data)
        self.answers.append((what, answer.status_code, self._comparable(decoded)))
        return answer.data

    @staticmethod
    def _decoded(body: str | bytes | None) -> Any:
        text = body if isinstance(body, str) else bytes(body or b"").decode()
        try:
            return json.loads(text)
        except ValueError:
            return text

    def _comparable(self, value: Any) -> Any:
        if isinstance(value, dict):
            return {
                key: f"<{key}>" if key in OWN else self._comparable(part)
                for key, part in sorted(value.items())
            }
        if isinstance(value, list):
            return [self._comparable(part) for part in value]
        if isinstance(value, str):
            for own, placeholder in self._own.items():
                value = value.replace(own, placeholder)
            value = RUN.sub("run id <run>", value)
            return ID.sub(
                lambda found: self._known.setdefault(found[0], f"<{len(self._known)}>"), value
            )
        return value
