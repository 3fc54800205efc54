"""The endpoints of the server itself and of its repositories."""

from __future__ import annotations

from typing import Any

from tests.versions.lakefs.stand_in.api import (
    Answer,
    Request,
    World,
    paged,
    route,
)
from tests.versions.lakefs.stand_in.refs import Refused
from tests.versions.lakefs.stand_in.state import Repository

REPOSITORY = "/repositories/{repository}"


def _storage(world: World) -> dict[str, Any]:
    return {
        "blockstore_type": "local",
        "blockstore_namespace_example": "local://example-bucket/",
        "blockstore_namespace_ValidityRegex": "^local://",
        "default_namespace_prefix": "local://",
        "pre_sign_support": world.presign,
        "pre_sign_support_ui": False,
        "import_support": False,
        "import_validity_regex": "^local://",
        "pre_sign_multipart_upload": False,
    }


@route("GET", "/config")
def config(world: World, request: Request) -> Answer:
    return Answer(
        200,
        {
            "storage_config": _storage(world),
            "storage_config_list": [],
            "version_config": {"version": "stand-in", "version_context": "lakeFS"},
        },
    )


@route("GET", "/config/storage")
def storage_config(world: World, request: Request) -> Answer:
    return Answer(200, _storage(world))


@route("GET", "/config/version")
def version(world: World, request: Request) -> Answer:
    return Answer(200, {"version": "stand-in", "version_context": "lakeFS"})


@route("GET", "/healthcheck")
def health(world: World, request: Request) -> Answer:
    return Answer(204)


def _shown(repository: Repository) -> dict[str, Any]:
    return {
        "creation_date": repository.created,
        "default_branch": repository.default_branch,
        "id": repository.name,
        "read_only": False,
        "storage_id": "",
        "storage_namespace": repository.namespace,
    }


@route("POST", "/repositories")
def create_repository(world: World, request: Request) -> Answer:
    asked = request.json()
    name, namespace = asked["name"], asked["storage_namespace"]
    if name in world.repositories:
        raise Refused(409, "error creating repository: not unique")
    if not namespace.startswith("local://"):
        raise Refused(400, "failed to match required regex ^local://: invalid namespace")
    if any(known.namespace == namespace for known in world.repositories.values()):
        raise Refused(
            400,
            f"failed to create repository: found lakeFS objects in the storage root "
            f"(:{namespace}): storage namespace already in use",
        )
    made = Repository(name, namespace, asked.get("default_branch") or "main")
    world.repositories[name] = made
    return Answer(201, _shown(made))


@route("GET", "/repositories")
def list_repositories(world: World, request: Request) -> Answer:
    return paged(request, [(n, _shown(known)) for n, known in sorted(world.repositories.items())])


@route("GET", REPOSITORY)
def get_repository(world: World, request: Request, repository: Repository) -> Answer:
    return Answer(200, _shown(repository))


@route("DELETE", REPOSITORY)
def delete_repository(world: World, request: Request, repository: Repository) -> Answer:
    del world.repositories[repository.name]
    return Answer(204)


@route("GET", f"{REPOSITORY}/settings/branch_protection")
def get_protection(world: World, request: Request, repository: Repository) -> Answer:
    return Answer(200, [{"pattern": pattern} for pattern in repository.protected])


@route("PUT", f"{REPOSITORY}/settings/branch_protection")
def set_protection(world: World, request: Request, repository: Repository) -> Answer:
    repository.protected = [rule["pattern"] for rule in request.json()]
    return Answer(204)
