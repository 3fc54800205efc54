from __future__ import annotations

import logging
import pickle
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest

from mlops_assets.errors import (
    AccessRefusedError,
    InvalidNameError,
    MlopsError,
    RefNotFoundError,
    RepositoryUnreachableError,
    VersionsError,
)
from mlops_assets.versions import Repository, existing_repository, open_repository
from mlops_assets.versions.patience import hurried, seconds_left
from tests.versions.lakefs.faulty_proxy import Fault, FaultyProxy
from tests.versions.lakefs.operations import put
from tests.versions.lakefs.servers import ENDPOINT, KEY, SECRET, VARIABLES, Server


@pytest.fixture
def name(server: Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A repository that is not there yet, and may be made."""
    with server.named_repository() as name:
        monkeypatch.setenv("MLOPS_LAKEFS_CREATE", name)
        yield name


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home folder with no ~/.lakectl.yaml yet, and an environment that names no server."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("LAKECTL_CONFIG_FILE", raising=False)
    for variable in VARIABLES:
        monkeypatch.delenv(variable, raising=False)
    return tmp_path


def configure(home: Path, server: Server, secret: str | None = None) -> None:
    (home / ".lakectl.yaml").write_text(
        f"credentials:\n  access_key_id: {server.environment[KEY]}\n"
        f"  secret_access_key: {secret or server.secret}\n"
        f"server:\n  endpoint_url: {server.url}/api/v1\n"
    )


def test_the_environment_says_where(
    server: Server, home: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable, value in server.environment.items():
        monkeypatch.setenv(variable, value)

    assert open_repository(f"lakefs://{name}").resolve("main")


def test_else_the_file_that_lakectl_keeps(server: Server, home: Path, name: str) -> None:
    configure(home, server)

    repository = open_repository(f"lakefs://{name}")

    put(repository, {"a": b"1"})
    assert pickle.loads(pickle.dumps(repository)).read("main", "a") == b"1"


def test_the_environment_goes_before_the_file(
    server: Server, home: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    configure(home, server, "wrong")
    monkeypatch.setenv(SECRET, server.secret)

    assert open_repository(f"lakefs://{name}").resolve("main")


def test_a_server_that_nothing_names_is_asked_for(home: Path) -> None:
    with pytest.raises(VersionsError, match=ENDPOINT) as caught:
        open_repository("lakefs://flights")

    assert "lakectl config" in str(caught.value)


def test_a_file_that_cant_be_read_is_named_but_not_quoted(home: Path) -> None:
    (home / ".lakectl.yaml").write_text("credentials: [secret_access_key: hush\n")

    with pytest.raises(VersionsError, match=r"\.lakectl\.yaml") as caught:
        open_repository("lakefs://flights")

    assert "hush" not in str(caught.value)


@pytest.mark.parametrize("variable", [KEY, SECRET])
def test_wrong_credentials_are_refused_at_once(
    server: Server, home: Path, name: str, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    for known, value in {**server.environment, variable: "WRONG"}.items():
        monkeypatch.setenv(known, value)

    with pytest.raises(AccessRefusedError, match=server.url):
        open_repository(f"lakefs://{name}")


def test_a_server_that_is_not_there_is_told(
    stand_in: Server, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nowhere = "http://127.0.0.1:1"
    for variable, value in {**stand_in.environment, ENDPOINT: nowhere}.items():
        monkeypatch.setenv(variable, value)
    monkeypatch.setenv("MLOPS_LAKEFS_PATIENCE", "0.3")

    with pytest.raises(RepositoryUnreachableError, match=nowhere) as caught:
        open_repository("lakefs://flights")

    assert "see whether it runs" in str(caught.value)


@pytest.mark.parametrize("bad", ["", "A", "ab", "-ab", "a_b", "a/b/c", "x" * 64, "ä-ä"])
def test_names_that_no_repository_can_have_are_refused(
    stand_in: Server, home: Path, bad: str
) -> None:
    configure(home, stand_in)

    with pytest.raises(InvalidNameError):
        open_repository(f"lakefs://{bad}")


@pytest.mark.parametrize("patience", [0.3])
def test_the_secret_is_never_shown(
    server: Server,
    direct: Repository,
    behind: Repository,
    proxy: FaultyProxy,
    patience: float,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    put(behind, {"a": b"1"})
    shown = [repr(behind), str(behind), repr(behind.location("main", "a")), repr(vars(behind))]
    shown.append(pickle.dumps(behind).decode("latin1"))

    for fault in (
        Fault("status", "POST", status=403, message="no"),
        Fault("status", "POST", status=500, message=None, body=b"<html>no lakeFS</html>"),
        Fault("drop before", "POST"),
        Fault("hang before", "POST"),
    ):
        proxy.faults = [fault]
        try:
            put(behind, {"b": b"1"})
        except MlopsError as error:
            shown.extend(chain(error))
    proxy.faults = []

    assert len(shown) > 8
    assert server.secret not in "\n".join([*shown, caplog.text])


def chain(error: BaseException | None) -> Iterator[str]:
    while error is not None:
        yield f"{error!r} {error}"
        error = error.__cause__ or error.__context__


def test_a_repository_is_made_once_however_many_open_it(
    server: Server, name: str, home: Path
) -> None:
    configure(home, server)

    with ThreadPoolExecutor(4) as pool:
        opened = list(pool.map(open_repository, [f"lakefs://{name}"] * 4))

    assert len({repository.resolve("main") for repository in opened}) == 1


@pytest.mark.parametrize("form", ["seconds", "date"])
def test_a_server_that_asks_for_a_pause_is_left_alone_so_long(
    behind: Repository, proxy: FaultyProxy, form: str
) -> None:
    wanted = format_datetime(datetime.now(UTC) + timedelta(seconds=2), usegmt=True)
    headers = {"Retry-After": "1" if form == "seconds" else wanted}
    proxy.faults = [Fault("status", nth=1, status=429, headers=headers)]
    begun = time.monotonic()

    assert behind.resolve("main")

    # a date has whole seconds, and its second may be nearly over
    assert time.monotonic() - begun >= (1.0 if form == "seconds" else 0.9)
    assert proxy.faults[0].happened == 1


def test_a_name_that_is_not_there_makes_no_repository(
    direct: Repository, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = direct.url.removeprefix("lakefs://")
    mistyped = there[:-1]

    for named in ("", there, "another"):
        monkeypatch.setenv("MLOPS_LAKEFS_CREATE", named)
        with pytest.raises(RefNotFoundError, match=f"did you mean `{there}`") as caught:
            open_repository(f"lakefs://{mistyped}")

    assert f"MLOPS_LAKEFS_CREATE={mistyped}" in str(caught.value)
    assert existing_repository(f"lakefs://{mistyped}") is None
    # once it is named for that, it is made
    monkeypatch.setenv("MLOPS_LAKEFS_CREATE", f"lakefs://{mistyped}")
    assert open_repository(f"lakefs://{mistyped}").resolve("main")
    server.sdk.repositories_api.delete_repository(mistyped, force=True)


def test_a_plain_server_asked_in_tls_is_not_said_to_have_a_bad_certificate(
    stand_in: Server, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable, value in stand_in.environment.items():
        monkeypatch.setenv(variable, value)
    monkeypatch.setenv(ENDPOINT, stand_in.url.replace("http://", "https://"))
    monkeypatch.setenv("MLOPS_LAKEFS_PATIENCE", "0.3")

    with pytest.raises(RepositoryUnreachableError, match="does not answer in TLS") as caught:
        open_repository("lakefs://flights")

    assert f"name it as {stand_in.url}" in str(caught.value)


@pytest.mark.parametrize("patience", [20])
def test_what_is_waited_for_is_said_within_seconds(
    behind: Repository,
    proxy: FaultyProxy,
    patience: float,
    caplog: pytest.LogCaptureFixture,
) -> None:
    proxy.refuse(6)

    assert behind.resolve("main")

    (said,) = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert f"the lakeFS server at {proxy.url} does not answer" in said
    assert "asked again for another" in said


def test_a_tick_waits_no_longer_than_a_tick_may(
    behind: Repository, proxy: FaultyProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy.faults = [Fault("hang before")]
    begun = time.monotonic()

    with hurried(0.4), pytest.raises(RepositoryUnreachableError, match=proxy.url):
        behind.resolve("main")

    assert seconds_left() is None
    assert len(proxy.asked()) <= 4
    assert time.monotonic() - begun < 60


def test_looking_makes_no_repository(
    server: Server, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable, value in server.environment.items():
        monkeypatch.setenv(variable, value)

    assert existing_repository("lakefs://nobody-made-this") is None
    assert existing_repository("lakefs://nobody-made-this") is None
    assert existing_repository(str(home / "nowhere")) is None
    assert not (home / "nowhere").exists()
