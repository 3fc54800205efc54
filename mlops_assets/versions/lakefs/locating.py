"""Where Polars reads an object in place: the server's S3 gateway, else presigned URLs."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from urllib.parse import quote

from mlops_assets.errors import VersionsError
from mlops_assets.versions.contract import Location
from mlops_assets.versions.lakefs.connection import Connection
from mlops_assets.versions.lakefs.settings import LOCATIONS

_REGION = "us-east-1"  # any will do, but one has to be named


class Locating:
    """The locations of one repository's objects."""

    def __init__(self, connection: Connection, repository: str) -> None:
        self._connection = connection
        self._repository = repository

    def locations(self, commit: str, paths: Sequence[str]) -> list[Location]:
        """Return where each object is read; all are known to be there.

        Raises:
            VersionsError: neither the gateway nor presigned URLs can be had.
        """
        if self._way == "gateway":
            return [
                Location(f"s3://{self._repository}/{commit}/{path}", self._options)
                for path in paths
            ]
        return [Location(self._presigned(commit, path)) for path in paths]

    @cached_property
    def _options(self) -> dict[str, str | int]:
        settings = self._connection.settings
        patience = round(settings.patience * 1000)
        return {
            "aws_endpoint_url": settings.endpoint,
            "aws_access_key_id": settings.access_key,
            "aws_secret_access_key": settings.secret_key,
            "aws_region": _REGION,
            "aws_allow_http": str(settings.endpoint.startswith("http://")).lower(),
            "aws_virtual_hosted_style_request": "false",
            # as patient as our own calls: a server that starts again is no failed run
            "max_retries": 100,
            "retry_timeout_ms": patience,
            "retry_init_backoff_ms": 100,
            "retry_max_backoff_ms": 5000,
        }

    @cached_property
    def _way(self) -> str:
        chosen = self._connection.settings.locations
        if chosen:
            return chosen
        if self._is_gateway_there():
            return "gateway"
        found = self._connection.ask(
            "asking for the store", self._connection.config.get_config
        ).storage_config
        if found is not None and found.pre_sign_support:
            return "presigned"
        raise VersionsError(
            f"{self._connection.settings.endpoint} answers neither as an S3 gateway nor gives "
            f"presigned URLs: reach its gateway there, or set {LOCATIONS} to the one that works"
        )

    def _is_gateway_there(self) -> bool:
        """Ask as an S3 client with a key that can't exist: only a gateway answers in its XML."""
        address = f"{self._connection.settings.endpoint}/{quote(self._repository)}/"
        scope = f"none/20200101/{_REGION}/s3/aws4_request"
        headers = {
            "Authorization": f"AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=0",
            "x-amz-date": "20200101T000000Z",
        }
        pool = self._connection.api.rest_client.pool_manager

        def once() -> bool:
            answer = pool.request(
                "GET", address, headers=headers, timeout=self._connection.settings.timeout
            )
            return b"<Error>" in answer.data[:1000]

        return self._connection.repeat("looking for the S3 gateway", once, lambda: None)

    def _presigned(self, commit: str, path: str) -> str:
        stats = self._connection.ask(
            f"asking for the address of `{path}`",
            self._connection.objects.stat_object,
            self._repository,
            commit,
            path,
            presign=True,
        )
        return str(stats.physical_address)
