"""The endpoints of objects and of what is staged on a branch."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from tests.versions.lakefs.stand_in.api import (
    Answer,
    Request,
    World,
    made_entry,
    paged,
    route,
    shown_difference,
    shown_entry,
    sliced,
)
from tests.versions.lakefs.stand_in.refs import Refused
from tests.versions.lakefs.stand_in.state import Repository

REPOSITORY = "/repositories/{repository}"
BRANCH = f"{REPOSITORY}/branches/{{branch}}"
REF = f"{REPOSITORY}/refs/{{ref}}"


@route("PUT", BRANCH)
def reset_branch(world: World, request: Request, repository: Repository, branch: str) -> Answer:
    asked, staged = request.json(), repository.writable(branch).staged
    if asked["type"] == "reset":
        staged.clear()
    elif asked["type"] == "object":
        staged.pop(asked["path"], None)
    elif asked["type"] == "common_prefix":
        for path in [path for path in staged if path.startswith(asked["path"])]:
            del staged[path]
    else:
        raise Refused(400, "unknown reset type")
    return Answer(204)


@route("GET", f"{BRANCH}/diff")
def diff_branch(world: World, request: Request, repository: Repository, branch: str) -> Answer:
    shown = [shown_difference(found) for found in repository.staged(branch)]
    for _, difference in shown:
        if difference["type"] == "removed":
            difference["size_bytes"] = 0
    return paged(request, shown)


@route("POST", f"{BRANCH}/objects")
def upload(world: World, request: Request, repository: Repository, branch: str) -> Answer:
    path = request.required("path")
    try:
        repository.branch(branch)
    except Refused as refused:
        if refused.status == 404:
            raise Refused(404, f"branch '{branch}' not found") from None
        raise
    if request.headers.get("If-None-Match") == "*" and path in repository.tree(branch):
        raise Refused(412, "path already exists")
    entry = made_entry(request, repository)
    repository.stage(branch, path, entry)
    return Answer(201, shown_entry(path, entry))


@route("DELETE", f"{BRANCH}/objects")
def delete_object(world: World, request: Request, repository: Repository, branch: str) -> Answer:
    repository.stage(branch, request.required("path"), None)
    return Answer(204)


@route("POST", f"{BRANCH}/objects/delete")
def delete_objects(world: World, request: Request, repository: Repository, branch: str) -> Answer:
    errors = []
    for path in request.json()["paths"]:
        try:
            repository.stage(branch, path, None)
        except Refused as refused:
            if refused.status != 404:  # what is not there counts as deleted, even with its branch
                error = {"status_code": refused.status, "message": str(refused), "path": path}
                errors.append(error)
    return Answer(200, {"errors": errors})


@route("POST", f"{BRANCH}/objects/copy")
def copy_object(world: World, request: Request, repository: Repository, branch: str) -> Answer:
    asked = request.json()
    if branch not in repository.branches:
        raise Refused(404, f"branch '{branch}' not found")
    entry = replace(repository.entry(asked.get("src_ref") or branch, asked["src_path"]))
    path = request.required("dest_path")
    repository.stage(branch, path, entry)
    return Answer(201, shown_entry(path, entry))


@route("GET", f"{REF}/objects")
@route("HEAD", f"{REF}/objects")
def get_object(world: World, request: Request, repository: Repository, ref: str) -> Answer:
    entry = repository.entry(ref, request.required("path"))
    if request.flag("presign"):
        return Answer(302, data=b"", headers={"Location": world.sign(entry)})
    return sliced(entry, request.headers.get("Range"))


@route("GET", f"{REF}/objects/stat")
def stat_object(world: World, request: Request, repository: Repository, ref: str) -> Answer:
    path = request.required("path")
    entry = repository.entry(ref, path)
    shown = shown_entry(path, entry, world.sign(entry) if request.flag("presign") else "")
    if not request.flag("user_metadata", "true"):
        shown["metadata"] = {}
    return Answer(200, shown)


@route("GET", f"{REF}/objects/ls")
def list_objects(world: World, request: Request, repository: Repository, ref: str) -> Answer:
    prefix, delimiter = request.text("prefix"), request.text("delimiter")
    presign = request.flag("presign")
    shown: dict[str, dict[str, Any]] = {}
    for path, entry in sorted(repository.tree(ref).items()):
        if not path.startswith(prefix):
            continue
        folder, found, _ = path[len(prefix) :].partition(delimiter) if delimiter else ("", "", "")
        if found:
            whole = prefix + folder + found
            common = {"checksum": "", "mtime": 0, "physical_address": ""}
            shown[whole] = {**common, "path": whole, "path_type": "common_prefix"}
            continue
        shown[path] = shown_entry(path, entry, world.sign(entry) if presign else "")
        if not entry.metadata or not request.flag("user_metadata", "true"):
            del shown[path]["metadata"]
    return paged(request, sorted(shown.items()))
