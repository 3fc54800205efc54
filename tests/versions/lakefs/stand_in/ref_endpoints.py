"""The endpoints of branches, tags and commits: log, diff, merge, revert."""

from __future__ import annotations

from itertools import islice

from tests.versions.lakefs.stand_in.api import (
    Answer,
    Request,
    World,
    page,
    paged,
    route,
    shown_commit,
    shown_difference,
)
from tests.versions.lakefs.stand_in.refs import Refused
from tests.versions.lakefs.stand_in.state import Repository

REPOSITORY = "/repositories/{repository}"
BRANCH = f"{REPOSITORY}/branches/{{branch}}"
REF = f"{REPOSITORY}/refs/{{ref}}"


@route("GET", f"{REPOSITORY}/branches")
def list_branches(world: World, request: Request, repository: Repository) -> Answer:
    hidden = request.flag("show_hidden")
    known = sorted(repository.branches.items())
    return paged(
        request,
        [
            (name, {"commit_id": branch.head, "id": name})
            for name, branch in known
            if hidden or not branch.hidden
        ],
    )


@route("POST", f"{REPOSITORY}/branches")
def create_branch(world: World, request: Request, repository: Repository) -> Answer:
    asked = request.json()
    hidden = bool(asked.get("hidden"))
    head = repository.create_branch(asked["name"], asked["source"], hidden=hidden)
    return Answer(201, data=head.encode(), headers={"Content-Type": "text/plain; charset=utf-8"})


@route("GET", BRANCH)
def get_branch(world: World, request: Request, repository: Repository, branch: str) -> Answer:
    return Answer(200, {"commit_id": repository.branch(branch, "branch").head, "id": branch})


@route("DELETE", BRANCH)
def delete_branch(world: World, request: Request, repository: Repository, branch: str) -> Answer:
    repository.delete_branch(branch)
    return Answer(204)


@route("POST", f"{BRANCH}/commits")
def commit(world: World, request: Request, repository: Repository, branch: str) -> Answer:
    asked = request.json()
    made = repository.commit_staged(
        branch,
        asked["message"],
        asked.get("metadata") or {},
        date=asked.get("date"),
        allow_empty=bool(asked.get("allow_empty")),
    )
    return Answer(201, shown_commit(made))


@route("POST", f"{BRANCH}/revert")
def revert(world: World, request: Request, repository: Repository, branch: str) -> Answer:
    asked = request.json()
    overrides = asked.get("commit_overrides") or {}
    repository.revert(
        branch,
        asked["ref"],
        asked["parent_number"],
        message=overrides.get("message") or "",
        metadata=overrides.get("metadata"),
        allow_empty=bool(asked.get("allow_empty")),
    )
    return Answer(204)


@route("PUT", f"{BRANCH}/hard_reset")
def hard_reset(world: World, request: Request, repository: Repository, branch: str) -> Answer:
    repository.hard_reset(branch, request.required("ref"))
    return Answer(204)


@route("GET", f"{REPOSITORY}/commits/{{name}}")
def get_commit(world: World, request: Request, repository: Repository, name: str) -> Answer:
    try:
        return Answer(200, shown_commit(repository.commit(name)))
    except Refused as refused:
        if refused.status == 404:
            raise Refused(404, "commit not found") from None
        raise Refused(500, str(refused)) from None


@route("GET", f"{REF}/commits")
def log_commits(world: World, request: Request, repository: Repository, ref: str) -> Answer:
    try:
        repository.commit(ref)
    except Refused as refused:
        raise Refused(refused.status, f"ref: {refused}") from None
    commits = repository.log(ref, first_parent=request.flag("first_parent"))
    if after := request.text("after"):
        last = repository.commit(after).id
        for passed in commits:
            if passed.id == last:
                break
    objects, prefixes = request.query.get("objects", []), request.query.get("prefixes", [])
    if objects or prefixes:
        commits = (found for found in commits if repository.changed_any(found, objects, prefixes))
    amount = int(request.text("amount", "100"))
    amount = min(amount, 1000) if amount > 0 else 100
    wanted = amount if request.flag("limit") else amount + 1
    last = repository.commit(request.text("stop_at")).id if request.text("stop_at") else ""
    found = []
    for one in islice(commits, wanted):
        found.append((one.id, shown_commit(one)))
        if one.id == last:
            break
    return page(found[:amount], more=len(found) > amount)


@route("GET", f"{REF}/diff/{{other}}")
def diff_refs(
    world: World, request: Request, repository: Repository, ref: str, other: str
) -> Answer:
    differences = repository.diff(ref, other, two_dots=request.text("type") == "two_dot")
    return paged(request, [shown_difference(found) for found in differences])


@route("POST", f"{REF}/merge/{{branch}}")
def merge(world: World, request: Request, repository: Repository, ref: str, branch: str) -> Answer:
    asked = request.json()
    made = repository.merge(
        ref,
        branch,
        asked.get("message") or "",
        asked.get("metadata") or {},
        strategy=asked.get("strategy") or "",
        squash=bool(asked.get("squash_merge")),
        allow_empty=bool(asked.get("allow_empty")),
    )
    return Answer(200, {"reference": made.id})


@route("GET", f"{REF}/merge/{{branch}}")
def merge_base(
    world: World, request: Request, repository: Repository, ref: str, branch: str
) -> Answer:
    # the server's own answer names the destination and the source the other way round
    source, into = repository.commit(ref), repository.commit(branch)
    base = repository.merge_base(source, into)
    return Answer(
        200,
        {
            "base_commit_id": base.id,
            "destination_commit_id": source.id,
            "source_commit_id": into.id,
        },
    )


@route("GET", f"{REPOSITORY}/tags")
def list_tags(world: World, request: Request, repository: Repository) -> Answer:
    known = sorted(repository.tags.items())
    return paged(request, [(name, {"commit_id": head, "id": name}) for name, head in known])


@route("POST", f"{REPOSITORY}/tags")
def create_tag(world: World, request: Request, repository: Repository) -> Answer:
    asked = request.json()
    head = repository.create_tag(asked["id"], asked["ref"])
    return Answer(201, {"commit_id": head, "id": asked["id"]})


@route("GET", f"{REPOSITORY}/tags/{{name}}")
def get_tag(world: World, request: Request, repository: Repository, name: str) -> Answer:
    return Answer(200, {"commit_id": repository.tag(name), "id": name})


@route("DELETE", f"{REPOSITORY}/tags/{{name}}")
def delete_tag(world: World, request: Request, repository: Repository, name: str) -> Answer:
    repository.tag(name)
    del repository.tags[name]
    return Answer(204)
