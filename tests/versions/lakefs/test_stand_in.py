from __future__ import annotations

import io
import uuid
from itertools import zip_longest
from typing import Any

import polars as pl
import pytest
from lakefs_sdk.exceptions import UnauthorizedException

from mlops_assets.versions import open_repository
from tests.versions.lakefs.conversation import client
from tests.versions.lakefs.questions import converse
from tests.versions.lakefs.servers import IS_REAL_CONFIGURED, KEY, SECRET, Server
from tests.versions.lakefs.stand_in import StandIn

# what of a message tells one failure from another; the rest may be worded anew by a later lakeFS
TELLING = ("no changes", "dirty branch", "conflict", "not unique", "not found", "hook", "protected")


def agree(own: Any, theirs: Any, name: str = "") -> bool:
    """Say whether an answer holds what the stand-in's holds; a server may say more."""
    if isinstance(own, dict) and isinstance(theirs, dict):
        return all(key in theirs and agree(own[key], theirs[key], key) for key in own)
    if isinstance(own, list) and isinstance(theirs, list):
        return len(own) == len(theirs) and all(map(agree, own, theirs))
    if name == "message" and isinstance(theirs, str):
        return [told in own for told in TELLING] == [told in theirs for told in TELLING]
    return bool(own == theirs)


@pytest.mark.lakefs
@pytest.mark.skipif(not IS_REAL_CONFIGURED, reason="no real server is configured")
def test_it_answers_as_the_real_server_does(stand_in: Server) -> None:
    name = f"test-{uuid.uuid4().hex[:16]}"
    real = Server.real().sdk
    store = real.config_api.get_config().storage_config
    prefix = store.default_namespace_prefix or f"{store.blockstore_type}://"

    theirs = converse(real, name, f"{prefix}{'' if prefix.endswith('/') else '/'}{name}")
    own = converse(stand_in.sdk, name, f"local://{name}")

    assert len(own) > 150
    for ours, answer in zip_longest(own, theirs):
        assert ours[:2] == answer[:2]
        assert agree(ours[2], answer[2]), f"{ours}\n\n{answer}"


def test_strangers_are_refused(stand_in: Server) -> None:
    known = stand_in.environment
    for key, secret in ((known[KEY], "wrong"), ("wrong", known[SECRET]), ("", "")):
        with pytest.raises(UnauthorizedException, match="error authenticating request"):
            client(f"{stand_in.url}/api/v1", key, secret).repositories_api.list_repositories()


@pytest.fixture
def parquet() -> bytes:
    buffer = io.BytesIO()
    pl.DataFrame({"x": [1, 2, 3]}).write_parquet(buffer)
    return buffer.getvalue()


def test_polars_reads_through_the_gateway(stand_in: Server, open_on: Any, parquet: bytes) -> None:
    repository = open_on(stand_in)
    with repository.transaction("main", "x") as transaction:
        transaction.put("d/a b=1/ä.parquet", parquet)
    there = repository.location("main", "d/a b=1/ä.parquet")
    absent = there.uri.replace("ä", "o")

    def read(uri: str, **others: str) -> int:
        options = {**there.storage_options, **others}
        return pl.scan_parquet(uri, storage_options=options, glob=False).sum().collect().item()

    assert there.uri.startswith("s3://")
    assert read(there.uri) == 6
    with pytest.raises(FileNotFoundError):
        read(absent)
    with pytest.raises(PermissionError):
        read(there.uri, aws_secret_access_key="wrong")


def test_where_no_gateway_is_polars_reads_by_presigned_addresses(
    monkeypatch: pytest.MonkeyPatch, parquet: bytes
) -> None:
    with StandIn(gateway=False, presign=True) as server:
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("MLOPS_LAKEFS_CREATE", "presigned")
        repository = open_repository("lakefs://presigned")
        with repository.transaction("main", "x") as transaction:
            transaction.put("a.parquet", parquet)

        there = repository.location("main", "a.parquet")

        assert there.uri.startswith("http://")
        assert server.secret_key not in there.uri
        assert pl.read_parquet(there.uri)["x"].to_list() == [1, 2, 3]
