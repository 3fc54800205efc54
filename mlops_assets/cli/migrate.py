"""`mlops migrate`: an embedded repository moves to a lakeFS server with its whole history."""

from __future__ import annotations

from typing import Any

from rich.filesize import decimal

from mlops_assets.cli.output import stderr
from mlops_assets.cli.progress import counting
from mlops_assets.errors import VersionsError
from mlops_assets.home import Home
from mlops_assets.versions import existing_repository

LAKEFS = "lakefs://"


def migrate_to(url: str) -> dict[str, Any]:
    """Move the home's repository to a lakeFS server; return the documented form.

    Raises:
        HomeError: somebody else uses the home; nothing may be committed meanwhile.
        VersionsError: there is nothing to move, the target is no lakeFS repository, or it holds
            what did not come from here.

    """
    from mlops_assets.versions.embedded.repository import EmbeddedRepository
    from mlops_assets.versions.lakefs.migration import migrate
    from mlops_assets.versions.lakefs.repository import open_lakefs

    home = Home.find()
    with home.held(f"mlops migrate {url}"):
        source = existing_repository(home.repository, home.cache)
        if not isinstance(source, EmbeddedRepository):
            where = home.repository if source is None else source.url
            raise VersionsError(
                f"{where} is no embedded repository with anything to move; MLOPS_REPOSITORY and "
                "MLOPS_HOME say which one is meant"
            )
        if not url.startswith(LAKEFS):
            raise VersionsError(f"{url!r} is no lakeFS repository: name it as in lakefs://flights")
        target = open_lakefs(url.removeprefix(LAKEFS).rstrip("/"), home.cache, create=True)
        with counting("commits", 100) as (bar, task):

            def tell(done: int, total: int) -> None:
                bar.update(task, completed=done, total=total)
                if not stderr.is_terminal and (done % 100 == 0 or done == total):
                    # a log shows no bar; a line now and then says that it lives
                    stderr.print(f"commit {done} of {total}", markup=False)

            moved = migrate(source, target, tell)
    return {
        "from": source.url,
        "to": target.url,
        "commits": moved.commits,
        "objects": moved.objects,
        "bytes": moved.size,
        "branches": moved.branches,
        "tags": moved.tags,
        "known": moved.known,
    }


def said_of(moved: dict[str, Any]) -> str:
    """Return what a person reads."""
    before = f" ({moved['known']:,} were there already)" if moved["known"] else ""
    return (
        f"{moved['from']} is on {moved['to']}: {moved['commits']:,} commits{before} with "
        f"{moved['objects']:,} objects, {decimal(moved['bytes'])}, each read back and compared; "
        f"{moved['branches']} branches and {moved['tags']} tags.\n"
        f"Go on there:  export MLOPS_REPOSITORY={moved['to']}"
    )
