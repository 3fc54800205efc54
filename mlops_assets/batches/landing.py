"""Write, audit, publish: a file lands on a branch of its own, is checked, and only then merged.

The branch `landing-<model>-<kind>-<window>-<checksum>` holds the file at the very path that it
will have on main. A refused one stays there with its report until a mended file is published for
the same window; then a tag keeps it.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal, cast

import polars as pl
from polars.exceptions import PolarsError

from mlops_assets import clock
from mlops_assets.batches.casting import conform
from mlops_assets.batches.checks import Beside, Report, check
from mlops_assets.batches.held import held
from mlops_assets.batches.reading import (
    Opened,
    checksum,
    columns_of,
    read,
    row_count,
    scan,
    stem,
    window_of,
    write_parquet,
)
from mlops_assets.declaration import Declaration, load
from mlops_assets.errors import (
    BatchRefusedError,
    NothingToCommitError,
    ObjectNotFoundError,
    RefExistsError,
    RefNotFoundError,
)

if TYPE_CHECKING:
    from datetime import datetime

    import dataframely as dy

    from mlops_assets.versions import Commit, Repository

Kind = Literal["batches", "labels"]
KINDS: tuple[Kind, ...] = ("batches", "labels")
MAIN = "main"
_MANY = 20_000

# by name and head, which says all: of thousands that wait, each would be looked up in each tick
_known: dict[tuple[str, str], tuple[str, datetime, Landing] | None] = {}


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
    notes: tuple[str, ...] = ()  # what was converted when it was read
    replaces: bool = False  # whether rows that landed before may go missing


@dataclass(frozen=True)
class Delivery:
    """A file that is to land: what it is, and the very bytes that land.

    Where nothing of it had to be converted, these are the file's own.
    """

    kind: Kind
    window: str
    content: Path
    version: str  # checksum of the content
    notes: tuple[str, ...]
    replaces: bool

    @property
    def frame(self) -> pl.LazyFrame:
        """The rows."""
        return scan(self.content)


def contract_of(declaration: Declaration, kind: Kind) -> type[dy.Schema]:
    """Return the dataframely schema that the declaration names for this kind."""
    part = declaration.batches if kind == "batches" else declaration.labels
    return cast("type[dy.Schema]", load(part.contract))


def audit(
    declaration: Declaration,
    kind: Kind,
    window: str,
    frame: pl.LazyFrame,
    beside: Beside | None = None,
) -> Report:
    """Check one window's rows as the declaration asks; a damaged file is a problem like others."""
    rules = declaration.batches
    batch = kind == "batches"
    contract = contract_of(declaration, kind)
    try:
        found = conform(frame, contract, declaration.files, declaration.windows.timezone)
        have = frame.collect_schema()
        # it lies there as it was read: the declaration may have been mended since
        as_now = {
            name: "it becomes so as files are read now; land it again"
            for name, dtype in found.frame.collect_schema().items()
            if name in have and have[name] != dtype
        }
        return check(
            frame,
            contract,
            window=window,
            windows=declaration.windows,
            time=rules.time,
            key=rules.key,
            min_rows=rules.min_rows if batch else 1,
            # labels may be unknown: how many is a fact of the world, not a fault of the file
            max_null_share=rules.max_null_share if batch else 1.0,
            null_shares=rules.null_shares if batch else None,
            not_cast={**as_now, **found.problems},
            beside=beside,
        )
    except PolarsError as error:
        return Report(0, (f"the file can't be read: {str(error).splitlines()[0]}",), (), {})


def beside(
    repository: Repository,
    declaration: Declaration,
    kind: Kind,
    window: str,
    *,
    version: str,
    replaces: bool,
) -> Beside:
    """Return what a file of this version is to be checked with.

    That is, for labels, the window's batch; and what landed for the window before, unless the file
    replaces that. Of either the newest that waits, else what is on main.
    """
    batch = None
    if kind == "labels":
        batch = _newest_rows(repository, declaration, "batches", window)
    before = None
    if not replaces:
        before = _newest_rows(repository, declaration, kind, window, but=version)
    return Beside(batch, before, declaration.labels.min_matched_share)


def audit_landing(repository: Repository, declaration: Declaration, landing: Landing) -> Report:
    """Check a landed file where it lies, with what else is known of its window."""
    kind, window = landing.kind, landing.window
    frame = _rows(repository, landing.commit, declaration.path(kind, window))
    others = beside(
        repository,
        declaration,
        kind,
        window,
        version=landing.version,
        replaces=landing.replaces,
    )
    return audit(declaration, kind, window, frame, others)


def kind_of(declaration: Declaration, columns: Collection[str]) -> Kind | None:
    """Tell labels from a batch by the names of a file's columns; None: it could be either.

    What counts is the share that it has of the columns that only one of the two has, since a name
    or two may be misspelt. Whoever joined the labels to a batch has a batch.
    """
    there = {name.strip().casefold() for name in columns}
    batch, labels = (
        {name.casefold() for name in contract_of(declaration, kind).columns()} for kind in KINDS
    )
    # one that has no column of its own is told by all that it has
    own_batch, own_labels = batch - labels or batch, labels - batch or labels
    of_batch = len(own_batch & there) / len(own_batch)
    of_labels = len(own_labels & there) / len(own_labels)
    if batch <= there or of_labels == 0 < of_batch:
        return "batches"
    if of_batch == 0 < of_labels:
        return "labels"
    if of_batch == of_labels == 0:
        # labels have few columns: all that a batch has too, and only the one of its own misspelt
        few = len(own_labels) == 1 < len(own_batch) and there - batch
        return "labels" if few and labels - own_labels <= there and labels & there else None
    if abs(of_batch - of_labels) <= 0.5:
        return None
    return "batches" if of_batch > of_labels else "labels"


def identify(
    declaration: Declaration,
    file: Path,
    kind: Kind | None = None,
    window: str | None = None,
    *,
    name: str | None = None,
) -> tuple[Kind, str, Opened]:
    """Say what a file is, of which window, and open it lazily.

    Raises:
        BatchRefusedError: it can't be read, its kind or window can't be told, or its window is yet
            to begin.
        UnknownNameError: it is of a window that is not declared.

    """
    # the names of its columns say the kind, only then are their types known
    kind = kind or told_kind(declaration, file)
    opened = open_as(declaration, kind, file, name=name)
    if window is None:
        time = declaration.batches.time
        if not declaration.windows.declares(stem(file)) and time in opened.problems:
            raise BatchRefusedError(f"{file.name}: `{time}`: {opened.problems[time]}")
        window = window_of(file, opened.frame, declaration.windows, time)
    begins = declaration.windows.begins(window)
    if not declaration.windows.has_begun(window, clock.now()):
        raise BatchRefusedError(
            f"{file.name} is of {window}, which begins on {begins:%Y-%m-%d %H:%M %Z}, and now it is "
            f"{clock.now().astimezone(begins.tzinfo):%Y-%m-%d %H:%M %Z}: no row can be of a time to come. Mend its times or "
            "its name, or the clock of what wrote it; --window names another window"
        )
    return kind, window, opened


def told_kind(declaration: Declaration, file: Path) -> Kind:
    """Say whether a file is a batch or labels, by the names of its columns.

    Raises:
        BatchRefusedError: it can't be read, or its columns don't say it.

    """
    known = {name for kind in KINDS for name in contract_of(declaration, kind).columns()}
    columns = columns_of(file, declaration.files, known)
    kind = kind_of(declaration, columns)
    if kind is None:
        shown = ", ".join(f"`{name}`" for name in columns[:8])
        raise BatchRefusedError(
            f"{file.name}: whether it is a batch or labels can't be told by its columns ({shown}); "
            "say `--batch` or `--labels`"
        )
    return kind


def open_as(declaration: Declaration, kind: Kind, file: Path, *, name: str | None = None) -> Opened:
    """Open a file as a batch or as labels, with the contract's types where nothing is lost.

    Raises:
        BatchRefusedError: it can't be read.

    """
    contract = contract_of(declaration, kind)
    return read(file, contract, declaration.files, declaration.windows.timezone, name=name)


@contextmanager
def delivered(
    repository: Repository,
    declaration: Declaration,
    file: Path,
    *,
    kind: Kind | None = None,
    window: str | None = None,
    replace: bool = False,
) -> Iterator[Delivery]:
    """Read a file and give what is to land of it, which lies in a folder until the end.

    Where the declaration says that files bring more rows, these are the rows that landed before and
    those of the file that they don't hold already. A file that does not fit the contract stands for
    itself: its checks name what is wrong with it.

    Raises:
        BatchRefusedError: it can't be read, or its kind or window can't be told.
        UnknownNameError: it is of a window that is not declared.

    """
    kind, window, opened = identify(declaration, file, kind, window)
    part = declaration.batches if kind == "batches" else declaration.labels
    before = None
    columns = contract_of(declaration, kind).column_names()
    fits = not opened.problems and set(columns) <= set(opened.frame.collect_schema())
    if part.deliveries == "append" and not replace and fits:
        before = _newest(repository, declaration, kind, window)
    with tempfile.TemporaryDirectory(prefix="mlops-") as folder:
        content = Path(folder) / "delivery.parquet"
        if before is not None:
            path = declaration.path(kind, window)
            earlier = _rows(repository, before, path)
            write_parquet(_appended(earlier, opened.frame, file), content)
            if row_count(scan(content)) == row_count(earlier):
                # it brought nothing new: what is there stays, to the byte
                content.write_bytes(repository.read(before, path))
        elif opened.as_is:
            content = file
        else:
            write_parquet(opened.frame, content)
        yield Delivery(kind, window, content, checksum(content), opened.notes, replace)


def _appended(before: pl.LazyFrame, more: pl.LazyFrame, file: Path) -> pl.LazyFrame:
    """Put a file's rows behind those that landed before; one that is there already is no other."""
    together = pl.concat([before, more], how="diagonal")
    try:
        together.collect_schema()
    except PolarsError as error:
        raise BatchRefusedError(
            f"{file.name} does not fit what landed before: {str(error).splitlines()[0]}"
        ) from error
    return together.unique(keep="first", maintain_order=True)


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
    replace: bool = False,
    taken_back: bool = False,
) -> Landing | None:
    """Put a file on a landing branch. None: main holds exactly this already, or it was withdrawn.

    Landing the same file twice is the same landing. One that was refused stays refused, unless it
    lands `again`: then it waits for its checks anew, since the rules may have changed. Whatever
    else waits for the same window goes on waiting until this one has passed (see `succeed`). An
    `immutable` file never changes again: the repository may link it instead of copying it. Only one
    that is to `replace` may lack rows that landed before. What a person withdrew does not land by
    itself: it has to be asked for as `taken_back`.

    Raises:
        BatchRefusedError: it can't be read, its kind or window can't be told, or its window is yet
            to begin.
        UnknownNameError: it is of a window that is not declared.

    """
    with delivered(
        repository, declaration, file, kind=kind, window=window, replace=replace
    ) as delivery:
        return put(
            repository,
            declaration,
            delivery,
            metadata=metadata,
            again=again,
            immutable=immutable and delivery.content == file,
            taken_back=taken_back,
        )


def put(
    repository: Repository,
    declaration: Declaration,
    delivery: Delivery,
    *,
    metadata: Mapping[str, str] | None = None,
    again: bool = False,
    immutable: bool = False,
    taken_back: bool = False,
) -> Landing | None:
    """Put what was delivered on a landing branch; see `land`."""
    kind, window, version = delivery.kind, delivery.window, delivery.version
    path = declaration.path(kind, window)
    branch = f"landing-{declaration.name}-{kind}-{window}-{version[:12]}"
    known = landings(repository, declaration.name, kind, window)
    if not taken_back and repository.tags(withdrawal_tag(declaration.name, kind, window, version)):
        return None
    if held(repository, declaration.name, MAIN).there[kind].get(window) == version:
        # it passed once, and landed last: it is meant
        for landing in known:
            if not landing.refused and landing.branch != branch:
                _retire(repository, landing)
        return None
    for landing in known:
        if landing.branch != branch or (landing.refused and again):
            continue
        last = landing.refused or landing == [one for one in known if not one.refused][-1]
        if last and (landing.replaces or not delivery.replaces):
            return landing
        # it lands anew: it is newer than what came since then, or may replace more
        _retire(repository, landing, keep=False)
    # there already: made by one that was killed before its commit
    with suppress(RefExistsError):
        repository.create_branch(branch, MAIN)
    details = {
        **(metadata or {}),
        **_named(declaration, delivery),
        "mlops.landing": "landed",
        **_noted(delivery),
    }
    try:
        with repository.transaction(
            branch, f"{declaration.name}: {kind} of {window} landed", details
        ) as transaction:
            transaction.put(path, delivery.content, immutable=immutable)
            transaction.remove(_report(declaration, kind, window))
    except NothingToCommitError:
        # main has moved to exactly this content since we looked
        repository.delete_branch(branch)
        return None
    return Landing(
        branch,
        kind,
        window,
        version,
        transaction.commit_id,
        refused=False,
        notes=delivery.notes,
        replaces=delivery.replaces,
    )


def withdrawal_tag(model: str, kind: str, window: str, version: str) -> str:
    """Return the name of the tag that keeps what was withdrawn."""
    return f"withdrawn-{model}-{kind}-{window}-{version[:12]}"


def succeed(repository: Repository, declaration: Declaration, landing: Landing) -> None:
    """Put away what waited for the same window before a landing that has passed its checks."""
    for other in landings(repository, declaration.name, landing.kind, landing.window):
        if other.branch == landing.branch:
            return  # what follows landed since
        if not other.refused:
            _retire(repository, other)


def check_landing(
    repository: Repository, declaration: Declaration, landing: Landing
) -> tuple[Landing, Report]:
    """Check a landed file where it lies; a refused one gets its report.

    What waited for the window before one that passes is put away.
    """
    report = audit_landing(repository, declaration, landing)
    if report.passed:
        succeed(repository, declaration, landing)
        return landing, report
    return refuse(repository, declaration, landing, report), report


def reconsider(repository: Repository, declaration: Declaration, landing: Landing) -> Landing:
    """Check a refused landing again where it lies: it waits anew if it passes now.

    Else it stays refused, for the reasons that there are now.
    """
    path = declaration.path(landing.kind, landing.window)
    try:
        there = repository.stat(landing.commit, path).checksum
    except ObjectNotFoundError:
        there = None
    if there != landing.version:
        return landing  # the file could not even be read: only another one can land
    report = audit_landing(repository, declaration, landing)
    if not report.passed:
        same = report.problems == landing.problems
        return landing if same else refuse(repository, declaration, landing, report)
    details = {
        **_named(declaration, landing),
        "mlops.landing": "landed",
        **_noted(landing),
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
        if (name, head) in _known:
            known = _known[name, head]
        else:
            known = _landing(name, repository.commit(head))
            if len(_known) >= _MANY:
                _known.clear()
            _known[name, head] = known
        if known is not None and known[0] == model:
            _, at, landing = known
            found.append((landing.window, landing.kind, at, landing))
    return [landing for *_, landing in sorted(found, key=lambda entry: entry[:3])]


def _landing(branch: str, commit: Commit) -> tuple[str, datetime, Landing] | None:
    """Return whose it is, when it landed, and what; None for a branch whose file never arrived."""
    details = commit.metadata
    wanted = ("mlops.model", "mlops.landing", "mlops.kind", "mlops.window", "mlops.version")
    if any(name not in details for name in wanted) or details["mlops.kind"] not in KINDS:
        return None
    try:
        problems, notes = (
            tuple(map(str, json.loads(details.get(f"mlops.{name}", "[]"))))
            for name in ("problems", "notes")
        )
    except (ValueError, TypeError):  # others can write to our branches
        problems, notes = ("its report can't be read",), ()
    landing = Landing(
        branch=branch,
        kind=details["mlops.kind"],
        window=details["mlops.window"],
        version=details["mlops.version"],
        commit=commit.id,
        refused=details["mlops.landing"] == "refused",
        problems=problems,
        notes=notes,
        replaces=details.get("mlops.replaces") == "true",
    )
    return details["mlops.model"], commit.created_at, landing


def newest(
    repository: Repository, declaration: Declaration, kind: Kind, window: str
) -> Landing | None:
    """Return the newest landing for a window that was not refused, if there is one."""
    known = landings(repository, declaration.name, kind, window)
    waiting = [landing for landing in known if not landing.refused]
    return waiting[-1] if waiting else None


def landed_versions(repository: Repository, declaration: Declaration, kind: Kind) -> dict[str, str]:
    """Return window -> checksum of what lies there: on a landing branch, else on main."""
    versions = dict(held(repository, declaration.name, MAIN).files[kind])
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
        **_named(declaration, landing),
        "mlops.landing": "refused",
        "mlops.problems": json.dumps(list(report.problems)),
        **_noted(landing),
    }
    message = f"{declaration.name}: {landing.kind} of {landing.window} refused"
    with repository.transaction(
        landing.branch, message, details, allow_unchanged=True
    ) as transaction:
        transaction.put(
            _report(declaration, landing.kind, landing.window),
            json.dumps({**report.as_json(), "version": landing.version}, indent=1).encode(),
        )
    return replace(landing, commit=transaction.commit_id, refused=True, problems=report.problems)


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
    details = {**(metadata or {}), **_named(declaration, landing)}
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


def _newest_rows(
    repository: Repository,
    declaration: Declaration,
    kind: Kind,
    window: str,
    *,
    but: str | None = None,
) -> pl.LazyFrame | None:
    """Return what landed for a window last and was not refused, but one version of it.

    None too where that has no rows: it was withdrawn.
    """
    commit = _newest(repository, declaration, kind, window, but=but)
    if commit is None:
        return None
    rows = _rows(repository, commit, declaration.path(kind, window))
    return rows if row_count(rows) else None


def _newest(
    repository: Repository,
    declaration: Declaration,
    kind: Kind,
    window: str,
    *,
    but: str | None = None,
) -> str | None:
    """Return the commit of what landed for a window last and was not refused, but one version."""
    known = landings(repository, declaration.name, kind, window)
    waiting = [one for one in known if not one.refused and one.version != but]
    if waiting:
        return waiting[-1].commit
    main = held(repository, declaration.name, MAIN)
    version = main.files[kind].get(window)
    return main.commit if version not in (None, but) else None


def _rows(repository: Repository, ref: str, path: str) -> pl.LazyFrame:
    location = repository.location(ref, path)
    return scan(location.uri, location.storage_options)


def _named(declaration: Declaration, landed: Landing | Delivery) -> dict[str, str]:
    return {
        "mlops.model": declaration.name,
        "mlops.kind": landed.kind,
        "mlops.window": landed.window,
        "mlops.version": landed.version,
    }


def _noted(landed: Landing | Delivery) -> dict[str, str]:
    return {
        **({"mlops.notes": json.dumps(list(landed.notes))} if landed.notes else {}),
        "mlops.replaces": "true" if landed.replaces else "false",
    }


def _report(declaration: Declaration, kind: Kind, window: str) -> str:
    return f"{declaration.name}/reports/{kind}/{window}.json"
