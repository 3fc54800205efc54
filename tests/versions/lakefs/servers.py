"""The lakeFS servers that tests speak to: the stand-in always, a real one where it is configured."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

import pytest
from lakefs_sdk import Configuration
from lakefs_sdk.client import LakeFSClient
from lakefs_sdk.exceptions import NotFoundException

from tests.versions.lakefs.stand_in import StandIn

ENDPOINT = "LAKECTL_SERVER_ENDPOINT_URL"
KEY = "LAKECTL_CREDENTIALS_ACCESS_KEY_ID"
SECRET = "LAKECTL_CREDENTIALS_SECRET_ACCESS_KEY"
VARIABLES = (ENDPOINT, KEY, SECRET)

IS_REAL_CONFIGURED = all(os.environ.get(name) for name in VARIABLES)
# as they were when the tests began: each test has an environment of its own
_REAL = {name: os.environ.get(name, "") for name in VARIABLES}

PARAMETERS = [
    "lakefs-stand-in",
    *([pytest.param("lakefs", marks=pytest.mark.lakefs)] if IS_REAL_CONFIGURED else []),
]


@dataclass(frozen=True)
class Server:
    """Where a server is, who we are there, and its plain SDK beside the product's own way."""

    environment: Mapping[str, str] = field(repr=False)  # it holds the secret
    stand_in: StandIn | None = None

    @classmethod
    def of(cls, stand_in: StandIn) -> Server:
        return cls(stand_in.environment, stand_in)

    @classmethod
    def real(cls) -> Server:
        return cls(_REAL)

    @property
    def url(self) -> str:
        return self.environment[ENDPOINT].rstrip("/").removesuffix("/api/v1")

    @property
    def secret(self) -> str:
        return self.environment[SECRET]

    @property
    def sdk(self) -> LakeFSClient:
        """The server's own API, past any proxy."""
        return LakeFSClient(
            Configuration(host=self.url, username=self.environment[KEY], password=self.secret)
        )

    @contextmanager
    def named_repository(self) -> Iterator[str]:
        """Give a name that no repository has; what is made under it is removed afterwards."""
        name = f"test-{uuid.uuid4().hex[:16]}"
        try:
            yield name
        finally:
            with suppress(NotFoundException):
                self.sdk.repositories_api.delete_repository(name, force=True)
