"""Every kind of call that the project relies on, put to a server one after the other."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import lakefs_sdk
from lakefs_sdk.client import LakeFSClient

from tests.versions.lakefs.conversation import Conversation
from tests.versions.lakefs.stand_in.hooks import REFUSING


def converse(sdk: LakeFSClient, repository: str, namespace: str) -> list[tuple[str, int, Any]]:
    """Make every kind of call that the project relies on in a repository that is then deleted."""
    talk = Conversation()
    talk.naming(namespace, "<namespace>")
    talk.naming(repository, "<repository>")
    _repositories(talk, sdk, repository, namespace)
    try:
        _objects(talk, sdk, repository)
        _commits(talk, sdk, repository)
        _refs(talk, sdk, repository)
        _merges(talk, sdk, repository)
        _reverts(talk, sdk, repository)
        _paging(talk, sdk, repository)
        _refusals(talk, sdk, repository)
    finally:
        sdk.repositories_api.delete_repository(repository)
    return talk.answers


def _repositories(talk: Conversation, sdk: LakeFSClient, repository: str, namespace: str) -> None:
    api = sdk.repositories_api
    made = lakefs_sdk.RepositoryCreation(name=repository, storage_namespace=namespace)
    talk.ask("a repository that is not there", api.get_repository, repository)
    talk.ask("create a repository", api.create_repository, made)
    talk.ask("create it again", api.create_repository, made)
    talk.ask("the repository", api.get_repository, repository)
    nowhere = lakefs_sdk.RepositoryCreation(name=f"{repository}-2", storage_namespace="s3://x")
    talk.ask("create a repository in a bad namespace", api.create_repository, nowhere)
    talk.ask("list repositories", api.list_repositories, prefix=repository)
    talk.ask("the health", sdk.health_check_api.health_check)
    talk.ask("a branch elsewhere", sdk.branches_api.get_branch, f"{repository}-3", "main")


@contextmanager
def _headers(sdk: LakeFSClient, headers: dict[str, str]) -> Iterator[None]:
    before = dict(sdk.objects_api.api_client.default_headers)
    sdk.objects_api.api_client.default_headers.update(headers)
    try:
        yield
    finally:
        sdk.objects_api.api_client.default_headers = before


def _put(sdk: LakeFSClient, repository: str, branch: str, contents: dict[str, bytes]) -> None:
    for path, content in contents.items():
        sdk.objects_api.upload_object(repository, branch, path, content=content)


def _objects(talk: Conversation, sdk: LakeFSClient, repository: str) -> None:
    api = sdk.objects_api
    with _headers(sdk, {"x-lakefs-meta-sha256": "abc", "x-lakefs-meta-Two": "2"}):
        talk.ask("upload", api.upload_object, repository, "main", "d/a b", content=b"hello")
    talk.ask("upload to no branch", api.upload_object, repository, "no", "a", content=b"1")
    talk.ask("upload to a bad branch", api.upload_object, repository, "a.b", "a", content=b"1")
    talk.ask("upload to no path", api.upload_object, repository, "main", "", content=b"1")
    talk.ask("upload an empty object", api.upload_object, repository, "main", "e", content=b"")
    once = {"if_none_match": "*", "content": b"2"}
    talk.ask("upload over one", api.upload_object, repository, "main", "e", **once)
    for what, path in (("an object", "d/a b"), ("no object", "d"), ("no path", "")):
        talk.ask(f"stat {what}", api.stat_object, repository, "main", path)
        talk.ask(f"head {what}", api.head_object, repository, "main", path)
        talk.ask(f"get {what}", api.get_object, repository, "main", path)
    talk.ask(
        "stat without metadata",
        api.stat_object,
        repository,
        "main",
        "d/a b",
        user_metadata=False,
    )
    for wanted in ("bytes=1-2", "bytes=3-", "bytes=-2", "bytes=9-", "bytes=3-1", "bytes=1-99"):
        talk.ask(f"get {wanted}", api.get_object, repository, "main", "d/a b", range=wanted)
        talk.ask(f"head {wanted}", api.head_object, repository, "main", "d/a b", range=wanted)
    talk.ask("get of no ref", api.get_object, repository, "nowhere", "a")
    talk.ask("list", api.list_objects, repository, "main")
    talk.ask("list by folders", api.list_objects, repository, "main", delimiter="/")
    talk.ask("list a prefix", api.list_objects, repository, "main", prefix="d/")
    talk.ask("list none", api.list_objects, repository, "main", prefix="x")
    talk.ask("list no ref", api.list_objects, repository, "nowhere")
    talk.ask("what is staged", sdk.branches_api.diff_branch, repository, "main")
    talk.ask("delete what is not there", api.delete_object, repository, "main", "absent")
    talk.ask("delete", api.delete_object, repository, "main", "e")
    paths = lakefs_sdk.PathList(paths=["absent", "d/a b"])
    talk.ask("delete many", api.delete_objects, repository, "main", paths)
    talk.ask("delete on no branch", api.delete_objects, repository, "no", paths)
    talk.ask("delete one on no branch", api.delete_object, repository, "no", "a")
    talk.ask("what is staged now", sdk.branches_api.diff_branch, repository, "main")


def _commit(
    talk: Conversation, sdk: LakeFSClient, repository: str, branch: str, date: int, **options: Any
) -> Any:
    # a date of its own, for commits of one second are listed by their id
    asked = lakefs_sdk.CommitCreation(message=f"c{date}", date=date, **options)
    return talk.ask(f"commit {date}", sdk.commits_api.commit, repository, branch, asked)


def _commits(talk: Conversation, sdk: LakeFSClient, repository: str) -> None:
    _commit(talk, sdk, repository, "main", 1)
    _put(sdk, repository, "main", {"a": b"1", "d/b": b"1"})
    first = _commit(talk, sdk, repository, "main", 2, metadata={"k": "v", "ä": "ö"})
    _put(sdk, repository, "main", {"a": b"1"})
    _commit(talk, sdk, repository, "main", 3)
    _commit(talk, sdk, repository, "main", 4, allow_empty=True)
    _commit(talk, sdk, repository, "no", 5)
    _put(sdk, repository, "main", {"a": b"2"})
    sdk.objects_api.delete_object(repository, "main", "d/b")
    _put(sdk, repository, "main", {"d/c": b"1"})
    talk.ask("staged changes", sdk.branches_api.diff_branch, repository, "main")
    second = _commit(talk, sdk, repository, "main", 6)
    for what, ref in (("an id", first.id), ("a short id", first.id[:10]), ("a branch", "main")):
        talk.ask(f"get commit of {what}", sdk.commits_api.get_commit, repository, ref)
    for ref in (
        "nowhere",
        "0" * 64,
        "abc",
        "main~1",
        "main^",
        "main^0",
        "main@",
        "main$",
        "main~9",
    ):
        talk.ask(f"get commit of {ref}", sdk.commits_api.get_commit, repository, ref)
    refs = sdk.refs_api
    talk.ask("log", refs.log_commits, repository, "main")
    talk.ask("log of no ref", refs.log_commits, repository, "nowhere")
    talk.ask("log of two", refs.log_commits, repository, "main", amount=2)
    talk.ask("log of two, limited", refs.log_commits, repository, "main", amount=2, limit=True)
    talk.ask("log after", refs.log_commits, repository, "main", after=second.id, amount=1)
    talk.ask("log of an object", refs.log_commits, repository, "main", objects=["a"])
    talk.ask("log of a prefix", refs.log_commits, repository, "main", prefixes=["d/"])
    talk.ask("log of a first page", refs.log_commits, repository, "main", objects=["a"], amount=1)
    talk.ask("log until", refs.log_commits, repository, "main", stop_at=first.id)
    pair = (repository, first.id, "main")
    talk.ask("two-dot diff", refs.diff_refs, *pair, type="two_dot")
    talk.ask("two-dot diff of a prefix", refs.diff_refs, *pair, type="two_dot", prefix="d/")
    talk.ask("two-dot diff, paged", refs.diff_refs, *pair, type="two_dot", amount=1)
    talk.ask("two-dot diff, next", refs.diff_refs, *pair, type="two_dot", amount=1, after="a")
    talk.ask("three-dot diff back", refs.diff_refs, repository, "main", first.id)
    talk.ask("diff of no ref", refs.diff_refs, repository, "main", "nowhere", type="two_dot")
    talk.ask("commit a bad branch", sdk.branches_api.get_branch, repository, "a.b")


def _refs(talk: Conversation, sdk: LakeFSClient, repository: str) -> None:
    branches, tags = sdk.branches_api, sdk.tags_api

    def branch(name: str, source: str, **options: Any) -> Any:
        asked = lakefs_sdk.BranchCreation(name=name, source=source, **options)
        return talk.ask(f"branch {name} from {source}", branches.create_branch, repository, asked)

    def tag(name: str, ref: str) -> Any:
        asked = lakefs_sdk.TagCreation(id=name, ref=ref)
        return talk.ask(f"tag {name} at {ref}", tags.create_tag, repository, asked)

    branch("b", "main")
    branch("b", "main")
    branch("b", "main~1")
    branch("h", "main", hidden=True)
    for name, source in (("c", "nowhere"), ("a.b", "main"), ("-a", "main"), ("", "main")):
        branch(name, source)
    tag("v1", "main")
    tag("v1", "main")
    tag("v1", "main~1")
    for name, ref in (("v2", "nowhere"), ("b", "main"), ("a/b", "main"), ("", "main")):
        tag(name, ref)
    branch("v1", "main")
    talk.ask("branches", branches.list_branches, repository)
    talk.ask("hidden ones too", branches.list_branches, repository, show_hidden=True)
    talk.ask("branches by prefix", branches.list_branches, repository, prefix="b")
    talk.ask("branches after", branches.list_branches, repository, after="b", amount=1)
    talk.ask("the first branch", branches.list_branches, repository, amount=1)
    talk.ask("a hidden branch", branches.get_branch, repository, "h")
    talk.ask("no branch", branches.get_branch, repository, "nowhere")
    talk.ask("tags", tags.list_tags, repository)
    talk.ask("a tag", tags.get_tag, repository, "v1")
    talk.ask("no tag", tags.get_tag, repository, "nowhere")
    talk.ask("commit of a tag", sdk.commits_api.get_commit, repository, "v1")
    talk.ask("delete a tag", tags.delete_tag, repository, "v1")
    talk.ask("delete it again", tags.delete_tag, repository, "v1")
    talk.ask("delete a hidden branch", branches.delete_branch, repository, "h")
    talk.ask("delete that again", branches.delete_branch, repository, "h")
    talk.ask("delete main", branches.delete_branch, repository, "main")


def _merges(talk: Conversation, sdk: LakeFSClient, repository: str) -> None:
    refs = sdk.refs_api

    def merge(source: str, into: str, **options: Any) -> Any:
        asked = lakefs_sdk.Merge(**options)
        what = f"merge {source} into {into} {options}"
        return talk.ask(what, refs.merge_into_branch, repository, source, into, asked)

    def create(name: str, source: str = "main") -> None:
        made = lakefs_sdk.BranchCreation(name=name, source=source)
        sdk.branches_api.create_branch(repository, made)

    merge("b", "main")
    merge("nowhere", "main")
    merge("b", "nowhere")
    merge("main", "main")
    create("side")
    _put(sdk, repository, "side", {"s": b"1", "a": b"side"})
    merge("side", "b")
    merge("b", "side")
    _commit(talk, sdk, repository, "side", 10)
    talk.ask("the merge base", refs.find_merge_base, repository, "side", "main")
    talk.ask("three-dot diff", refs.diff_refs, repository, "main", "side")
    merge("side", "b", message="squash", metadata={"k": "v"}, squash_merge=True)
    talk.ask("the squash", sdk.commits_api.get_commit, repository, "b")
    merge("side", "b", message="again", squash_merge=True)
    merge("side", "main", message="plain")
    talk.ask("the merge", sdk.commits_api.get_commit, repository, "main")
    merge("side", "main", message="nothing")
    merge("side", "main", message="empty", allow_empty=True)
    create("left")
    create("right")
    _put(sdk, repository, "left", {"a": b"left", "l": b"1", "both": b"1"})
    sdk.objects_api.delete_object(repository, "left", "s")
    _commit(talk, sdk, repository, "left", 11)
    _put(sdk, repository, "right", {"a": b"right", "s": b"right", "r": b"r", "both": b"1"})
    _commit(talk, sdk, repository, "right", 12)
    talk.ask("diff of a conflict", refs.diff_refs, repository, "right", "left")
    merge("left", "right")
    merge("left", "right", strategy="ours")
    create("right-2", "right")
    merge("left", "right", strategy="source-wins")
    talk.ask("what the source won", sdk.objects_api.list_objects, repository, "right")
    merge("left", "right-2", strategy="dest-wins")
    talk.ask("what the destination won", sdk.objects_api.list_objects, repository, "right-2")
    merge("left", "right", strategy="source-wins")
    _put(sdk, repository, "right", {"dirt": b"1"})
    merge("main", "right")
    asked = lakefs_sdk.ResetCreation(type="reset")
    talk.ask("reset", sdk.branches_api.reset_branch, repository, "right", asked)
    talk.ask("nothing is staged", sdk.branches_api.diff_branch, repository, "right")


def _reverts(talk: Conversation, sdk: LakeFSClient, repository: str) -> None:
    def revert(what: str, ref: str, branch: str = "r", parent: int = 0, **options: Any) -> None:
        asked = lakefs_sdk.RevertCreation(ref=ref, parent_number=parent, **options)
        talk.ask(f"revert {what}", sdk.branches_api.revert_branch, repository, branch, asked)

    made = lakefs_sdk.BranchCreation(name="r", source="main~2")
    sdk.branches_api.create_branch(repository, made)
    _put(sdk, repository, "r", {"x": b"1", "y": b"1"})
    _commit(talk, sdk, repository, "r", 20)
    _put(sdk, repository, "r", {"x": b"2"})
    bad = _commit(talk, sdk, repository, "r", 21)
    _put(sdk, repository, "r", {"y": b"2"})
    _commit(talk, sdk, repository, "r", 22)
    revert("a commit", bad.id)
    talk.ask("the revert", sdk.commits_api.get_commit, repository, "r")
    talk.ask("reverted", sdk.objects_api.list_objects, repository, "r")
    revert("it again", bad.id)
    revert("what was changed since", "r~3")
    revert("no ref", "nowhere")
    revert("on no branch", "r", "nowhere")
    revert("a merge", "main")
    overrides = lakefs_sdk.CommitOverrides(message="back", metadata={"k": "v"})
    revert("the empty merge", "main", "main", 1, commit_overrides=overrides)
    revert("the merge", "main~1", "main", 1, commit_overrides=overrides)
    talk.ask("the reverted merge", sdk.commits_api.get_commit, repository, "main")
    revert("by another parent", "r", "r", 2)
    _put(sdk, repository, "r", {"dirt": b"1"})
    revert("on a dirty branch", "r")


def _paging(talk: Conversation, sdk: LakeFSClient, repository: str) -> None:
    made = lakefs_sdk.BranchCreation(name="p", source="main")
    sdk.branches_api.create_branch(repository, made)
    _put(sdk, repository, "p", {f"p/{number:03}/x": b"1" for number in range(102)})
    api = sdk.objects_api
    talk.ask("a page", api.list_objects, repository, "p", prefix="p/")
    talk.ask("the rest", api.list_objects, repository, "p", prefix="p/", after="p/099/x")
    talk.ask("a small page", api.list_objects, repository, "p", prefix="p/", amount=2)
    talk.ask("amount -1", api.list_objects, repository, "p", prefix="p/", amount=-1)
    folders = {"prefix": "p/", "delimiter": "/", "amount": 2}
    talk.ask("folders", api.list_objects, repository, "p", **folders)
    talk.ask("folders on", api.list_objects, repository, "p", after="p/001/", **folders)


def _refusals(talk: Conversation, sdk: LakeFSClient, repository: str) -> None:
    branches, refs = sdk.branches_api, sdk.refs_api
    branches.create_branch(repository, lakefs_sdk.BranchCreation(name="f", source="main"))
    _put(sdk, repository, "f", {"_lakefs_actions/freeze.yaml": REFUSING})
    _commit(talk, sdk, repository, "f", 30)
    talk.ask("merge past a hook", refs.merge_into_branch, repository, "f", "main")
    talk.ask("where no hook is", refs.merge_into_branch, repository, "f", "p")
    api = sdk.repositories_api
    talk.ask("rules", api.get_branch_protection_rules, repository)
    rules = [lakefs_sdk.BranchProtectionRule(pattern="main")]
    talk.ask("protect", api.set_branch_protection_rules, repository, rules)
    talk.ask("the rules", api.get_branch_protection_rules, repository)
