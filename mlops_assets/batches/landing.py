"""Write, audit, publish: a file lands on a branch of its own, is checked, and only then merged.

The branch `landing-<model>-<kind>-<window>-<checksum>` holds the file at the very path that it
will have on main. A refused one stays there with its report until a mended file is published for
the same window; then a tag keeps it.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal, cast

import dataframely as dy
import polars as pl
from polars.exceptions import PolarsError

from mlops_assets import clock
from mlops_assets.batches.checks import Report, check
from mlops_assets.batches.reading import checksum, read, window_of, write_parquet
from mlops_assets.declaration import Declaration, load
from mlops_assets.errors import (
    BatchRefusedError,
    NothingToCommitError,
    ObjectNotFoundError,
    RefExistsError,
    RefNotFoundError,
)

if TYPE_CHECKING:
    from mlops_assets.versions import Repository

Kind = Literal["batches", "labels"]
KINDS: tuple[Kind, ...] = ("batches", "labels")
MAIN = "main"


@dataclass(frozen=True)
class Landing:
    """A file that landed on a branch and is not on main."""

    branch: str
    kind: Kind
    window: str
    version: str  # checksum of the file
    commit: str
    refused: bool
    problems: tuple[str, ...] = ()


def contract_of(declaration: Declaration, kind: Kind) -> type[dy.Schema]:
    """Return the dataframely schema that the declaration names for this kind."""
    part = declaration.batches if kind == "batches" else declaration.labels
    return cast("type[dy.Schema]", load(part.contract))


def audit(declaration: Declaration, kind: Kind, window: str, frame: pl.LazyFrame) -> Report:
    """Check one window's rows as the declaration asks; a damaged file is a problem like others."""
    rules = declaration.batches
    batch = kind == "batches"
    try:
        return check(
            frame,
            contract_of(declaration, kind),
            window=window,
            windows=declaration.windows,
            time=rules.time,
            key=rules.key,
            min_rows=rules.min_rows if batch else 1,
            # labels may be unknown: how many is a fact of the world, not a fault of the file
            max_null_share=rules.max_null_share if batch else 1.0,
            null_shares=rules.null_shares if batch else None,
        )
    except PolarsError as error:
        return Report(0, (f"the file can't be read: {str(error).splitlines()[0]}",), (), {})


def kind_of(declaration: Declaration, frame: pl.LazyFrame) -> Kind:
    """Tell labels from a batch: whose own columns, that the other has not, the file has more of."""
    there = set(frame.collect_schema().names())
    batch, labels = (set(contract_of(declaration, kind).columns()) for kind in KINDS)

    def missing(columns: set[str], other: set[str]) -> tuple[float, int]:
        own = columns - other
        # a share, since labels have few: two names misspelt make no labels of a batch
        return len(own - there) / max(len(own), 1), len(columns - there)

    return "labels" if missing(labels, batch) < missing(batch, labels) else "batches"


def identify(
    declaration: Declaration, file: Path, kind: Kind | None = None, window: str | None = None
) -> tuple[Kind, str, pl.LazyFrame]:
    """Say what a file is, of which window, and open it lazily.

    Raises:
        BatchRefusedError: it can't be read, no window can be told, or its window is yet to begin.
        UnknownNameError: it is of a window that is not declared.

    """
    # the names of its columns say the kind, only then are their types known
    kind = kind or kind_of(declaration, read(file, dy.Schema))
    frame = read(file, contract_of(declaration, kind))
    window = window or window_of(file, frame, declaration.windows, declaration.batches.time)
    begins = declaration.windows.begins(window)
    if not declaration.windows.has_begun(window, clock.now()):
        raise BatchRefusedError(
            f"{file.name} is of {window}, which begins on {begins:%Y-%m-%d %H:%M %Z}, and now it is "
            f"{clock.now():%Y-%m-%d %H:%M %Z}: no row can be of a time to come. Mend its times or "
            "its name, or the clock of what wrote it; --window names another window"
        )
    return kind, window, frame


def land(
    repository: Repository,
    declaration: Declaration,
    file: Path,
    *,
    kind: Kind | None = None,
    window: str | None = None,
    metadata: Mapping[str, str] | None = None,
    again: bool = False,
    immutable: bool = False,
) -> Landing | None:
    """Put a file on a landing branch. None: main holds exactly this already.

    Landing the same file twice is the same landing. One that was refused stays refused, unless it
    lands `again`: then it waits for its checks anew, since the rules may have changed. Whatever
    else waits for the same window is replaced: the file that landed last is meant. An `immutable`
    file never changes again: the repository may link it instead of copying it.

    Raises:
        BatchRefusedError: it can't be read, no window can be told, or its window is yet to begin.
        UnknownNameError: it is of a window that is not declared.

    """
    kind, window, frame = identify(declaration, file, kind, window)
    path = declaration.path(kind, window)
    content = file if file.suffix == ".parquet" else _as_parquet(frame)
    version = checksum(content)
    branch = f"landing-{declaration.name}-{kind}-{window}-{version[:12]}"
    known = landings(repository, declaration.name, kind, window)
    for landing in known:
        if not landing.refused and landing.branch != branch:
            _retire(repository, landing)
    if _on_main(repository, path) == version:
        return None
    for landing in known:
        if landing.branch == branch and not (landing.refused and again):
            return landing
    # there already: made by one that was killed before its commit
    with suppress(RefExistsError):
        repository.create_branch(branch, MAIN)
    details = {
        **(metadata or {}),
        "mlops.kind": kind,
        "mlops.window": window,
        "mlops.model": declaration.name,
        "mlops.version": version,
        "mlops.landing": "landed",
    }
    try:
        with repository.transaction(
            branch, f"{declaration.name}: {kind} of {window} landed", details
        ) as transaction:
            transaction.put(path, content, immutable=immutable)
            transaction.remove(_report(declaration, kind, window))
    except NothingToCommitError:
        # main has moved to exactly this content since we looked
        repository.delete_branch(branch)
        return None
    return Landing(branch, kind, window, version, transaction.commit_id, refused=False)


def reconsider(repository: Repository, declaration: Declaration, landing: Landing) -> Landing:
    """Check a refused landing again where it lies: it waits anew if it passes now.

    Else it stays refused, for the reasons that there are now.
    """
    path = declaration.path(landing.kind, landing.window)
    try:
        location = repository.location(landing.commit, path)
    except ObjectNotFoundError:
        return landing  # the file could not even be read: only another one can land
    frame = pl.scan_parquet(location.uri, storage_options=dict(location.storage_options) or None)
    report = audit(declaration, landing.kind, landing.window, frame)
    if not report.passed:
        same = report.problems == landing.problems
        return landing if same else refuse(repository, declaration, landing, report)
    details = {
        "mlops.kind": landing.kind,
        "mlops.window": landing.window,
        "mlops.model": declaration.name,
        "mlops.version": landing.version,
        "mlops.landing": "landed",
    }
    message = f"{declaration.name}: {landing.kind} of {landing.window} pass the present rules"
    with repository.transaction(
        landing.branch, message, details, allow_unchanged=True
    ) as transaction:
        transaction.remove(_report(declaration, landing.kind, landing.window))
    return replace(landing, commit=transaction.commit_id, refused=False, problems=())


def landings(
    repository: Repository, model: str, kind: Kind | None = None, window: str | None = None
) -> list[Landing]:
    """Return what landed (of one kind and window) and is not on main, a window's newest last."""
    prefix = f"landing-{model}-" + (f"{kind}-{window}-" if kind and window else "")
    found = []
    for name, head in repository.branches(prefix):
        commit = repository.commit(head)
        details = commit.metadata
        if details.get("mlops.model") != model or "mlops.landing" not in details:
            continue  # a branch whose file never arrived
        refused = details["mlops.landing"] == "refused"
        landing = Landing(
            branch=name,
            kind=cast("Kind", details["mlops.kind"]),
            window=details["mlops.window"],
            version=details["mlops.version"],
            commit=head,
            refused=refused,
            problems=tuple(json.loads(details.get("mlops.problems", "[]"))),
        )
        found.append((landing.window, landing.kind, commit.created_at, landing))
    return [landing for *_, landing in sorted(found, key=lambda entry: entry[:3])]


def newest(
    repository: Repository, declaration: Declaration, kind: Kind, window: str
) -> Landing | None:
    """Return the newest landing for a window that was not refused, if there is one."""
    known = landings(repository, declaration.name, kind, window)
    waiting = [landing for landing in known if not landing.refused]
    return waiting[-1] if waiting else None


def landed_versions(repository: Repository, declaration: Declaration, kind: Kind) -> dict[str, str]:
    """Return window -> checksum of what lies there: on a landing branch, else on main."""
    prefix = f"{declaration.name}/{kind}/"
    versions = {
        info.path.removeprefix(prefix).removesuffix(".parquet"): info.checksum
        for info in repository.objects(MAIN, prefix)
    }
    for landing in landings(repository, declaration.name):
        if landing.kind == kind and not landing.refused:
            versions[landing.window] = landing.version
    return {window: versions[window] for window in sorted(versions)}


def refuse(
    repository: Repository, declaration: Declaration, landing: Landing, report: Report
) -> Landing:
    """Write the report beside the refused file, on its branch. Main stays as it is.

    Refusing twice for the same reasons is the same refusal.
    """
    details = {
        "mlops.kind": landing.kind,
        "mlops.window": landing.window,
        "mlops.model": declaration.name,
        "mlops.version": landing.version,
        "mlops.landing": "refused",
        "mlops.problems": json.dumps(list(report.problems)),
    }
    message = f"{declaration.name}: {landing.kind} of {landing.window} refused"
    with repository.transaction(
        landing.branch, message, details, allow_unchanged=True
    ) as transaction:
        transaction.put(
            _report(declaration, landing.kind, landing.window),
            json.dumps({**report.as_json(), "version": landing.version}, indent=1).encode(),
        )
    return Landing(
        landing.branch,
        landing.kind,
        landing.window,
        landing.version,
        transaction.commit_id,
        refused=True,
        problems=report.problems,
    )


def refuse_on_main(
    repository: Repository,
    declaration: Declaration,
    kind: Kind,
    window: str,
    version: str,
    report: Report,
) -> Landing:
    """Note a refusal of what somebody put on main without landing it, or of what can't land.

    Main is theirs to mend; what stands on it is not built until they do.
    """
    branch = f"landing-{declaration.name}-{kind}-{window}-{version[:12]}"
    with suppress(RefExistsError):
        repository.create_branch(branch, MAIN)
    head = repository.resolve(branch)
    landing = Landing(branch, kind, window, version, head, refused=True)
    return refuse(repository, declaration, landing, report)


def publish(
    repository: Repository,
    declaration: Declaration,
    landing: Landing,
    metadata: Mapping[str, str] | None = None,
) -> str:
    """Merge a checked landing into main and return main's commit.

    What was refused for the same window is kept by a tag, its branch removed: it is mended. What
    landed for it since is newer and stays. Publishing twice is publishing once.

    Raises:
        BatchRefusedError: the landing was refused.

    """
    if landing.refused:
        raise BatchRefusedError(
            f"{landing.kind} of {landing.window} was refused: {'; '.join(landing.problems)}",
            landing.problems,
        )
    details = {
        **(metadata or {}),
        "mlops.model": declaration.name,
        "mlops.kind": landing.kind,
        "mlops.window": landing.window,
        "mlops.version": landing.version,
    }
    message = f"{declaration.name}: {landing.kind} of {landing.window} published"
    try:
        # a corrected window may land twice before either is published: the newer one is meant.
        # By commit: that is what was checked, and it is there when a copy has removed the branch
        commit = repository.merge(landing.commit, MAIN, message, details, strategy="source-wins")
    except NothingToCommitError:
        commit = repository.resolve(MAIN)  # merged by one that was killed right after
    landed_at = repository.commit(landing.commit).created_at
    for other in landings(repository, declaration.name, landing.kind, landing.window):
        newer = not other.refused and repository.commit(other.commit).created_at > landed_at
        if not newer:
            _retire(repository, other, keep=other.commit != landing.commit)
    return commit


def mended(repository: Repository, declaration: Declaration, kind: Kind, window: str) -> None:
    """Put away what was refused of a window whose file on main is good; tags keep it."""
    for landing in landings(repository, declaration.name, kind, window):
        if landing.refused:
            _retire(repository, landing)


def _retire(repository: Repository, landing: Landing, *, keep: bool = True) -> None:
    """Remove a landing branch; a tag keeps what main does not hold."""
    if keep:
        fate = "refused" if landing.refused else "replaced"
        with suppress(RefExistsError):
            repository.create_tag(f"{fate}-{landing.commit[:12]}", landing.commit)
    # gone already: a second copy of this step was quicker
    with suppress(RefNotFoundError):
        repository.delete_branch(landing.branch)


def _as_parquet(frame: pl.LazyFrame) -> bytes:
    buffer = io.BytesIO()
    write_parquet(frame, buffer)
    return buffer.getvalue()


def _report(declaration: Declaration, kind: Kind, window: str) -> str:
    return f"{declaration.name}/reports/{kind}/{window}.json"


def _on_main(repository: Repository, path: str) -> str | None:
    try:
        return repository.stat(MAIN, path).checksum
    except ObjectNotFoundError:
        return None
