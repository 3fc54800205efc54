"""The repository itself: looked for, and made where it is clear in which store."""

from __future__ import annotations

import re
import time

from mlops_assets.errors import InvalidNameError, RefNotFoundError, VersionsError, did_you_mean
from mlops_assets.versions.lakefs.connection import Connection
from mlops_assets.versions.lakefs.settings import CREATE, NAMESPACE

_NAME = re.compile(r"[a-z0-9][a-z0-9-]{2,62}")
_LOOKS, _PAUSE = 10, 0.2  # seconds apart
_LOCAL = {"local": "local", "mem": "mem"}  # stores of the server itself: any name will do


def find_or_create(connection: Connection, name: str) -> None:
    """See to it that the repository is there; it is made only where its very name was given for that.

    Raises:
        InvalidNameError: no repository can be called so.
        RefNotFoundError: it is not there, and nobody said that it may be made.
        VersionsError: it is not there, and nothing says in which store to make it.
    """
    if not _NAME.fullmatch(name):
        raise InvalidNameError(
            f"no lakeFS repository can be called {name!r}: use 3 to 63 small letters, digits and "
            "`-`, not beginning with `-`, as in lakefs://flights"
        )
    if is_there(connection, name):
        return
    if connection.settings.create != name:
        known = [
            one.id
            for one in connection.pages(
                "listing the repositories", connection.repositories.list_repositories
            )
        ]
        raise RefNotFoundError(
            f"there is no repository `{name}` at {connection.settings.endpoint}"
            f"{did_you_mean(name, known).removesuffix('?')}. To have a new one made, set {CREATE}={name} for the first "
            "command, or make it with `lakectl repo create`"
        )
    from lakefs_sdk.models.repository_creation import RepositoryCreation

    namespace = _namespace(connection, name)
    try:
        connection.repeat(
            f"creating the repository `{name}`",
            lambda: connection.repositories.create_repository(
                RepositoryCreation(name=name, storage_namespace=namespace, default_branch="main"),
                _request_timeout=connection.limits,
            ),
            lambda: is_there(connection, name) or None,
        )
    except VersionsError:
        # another process may be making it in this moment, and have got only as far as the store
        for _ in range(_LOOKS):
            if is_there(connection, name):
                return
            time.sleep(_PAUSE)
        raise


def is_there(connection: Connection, name: str) -> bool:
    """Say whether the server has such a repository."""
    try:
        connection.ask(
            f"looking for the repository `{name}`", connection.repositories.get_repository, name
        )
    except RefNotFoundError:
        return False
    return True


def _namespace(connection: Connection, name: str) -> str:
    given = connection.settings.namespace
    if given:
        return given
    found = connection.ask("asking for the store", connection.config.get_config).storage_config
    if found is not None and found.default_namespace_prefix:
        prefix = found.default_namespace_prefix
        return f"{prefix}{'' if prefix.endswith('/') else '/'}{name}"
    if found is not None and found.blockstore_type in _LOCAL:
        return f"{_LOCAL[found.blockstore_type]}://{name}"
    example = found.blockstore_namespace_example if found is not None else "s3://bucket/path"
    raise VersionsError(
        f"there is no repository `{name}` at {connection.settings.endpoint}: make it with "
        f"`lakectl repo create lakefs://{name} {example}`, or say in {NAMESPACE} where its objects "
        "are to be kept"
    )
