"""Take back what landed: while it waits it goes, of an ingested window a version without rows stays.

Nothing is lost: a tag keeps what was taken back, and main's history says by whom and why. The same
file does not land by itself again, as by `mlops import`; a person can land it.
"""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from mlops_assets import clock
from mlops_assets.batches.held import held, mark_of
from mlops_assets.batches.landing import (
    KINDS,
    MAIN,
    Kind,
    Landing,
    landings,
    withdrawal_tag,
)
from mlops_assets.batches.reading import checksum, scan, write_parquet
from mlops_assets.declaration import Declaration
from mlops_assets.errors import (
    ConflictError,
    NothingToCommitError,
    RefExistsError,
    RefNotFoundError,
    UnknownNameError,
)

if TYPE_CHECKING:
    from mlops_assets.versions import Repository

_TRIES = 10  # main moves while runs publish


@dataclass(frozen=True)
class Withdrawal:
    """What was taken back.

    Attributes:
        kind: batch or labels.
        window: of which.
        what: `waiting` or `refused`, which stood on a branch, or `ingested`, which stood on main.
        tags: that keep it.
        commit: main's, that holds the version without rows; None if nothing was on main.
        version: checksum of that version; None as well.

    """

    kind: Kind
    window: str
    what: Literal["waiting", "refused", "ingested"]
    tags: tuple[str, ...]
    commit: str | None = None
    version: str | None = None


def withdraw(
    repository: Repository,
    declaration: Declaration,
    window: str,
    kind: Kind | None = None,
    *,
    by: str,
    reason: str = "",
) -> Withdrawal:
    """Take back what landed last for a window: what waits, else what was refused, else main's.

    Without a kind the batch is meant, or the labels where no batch has landed. Labels of a
    withdrawn batch stay, and count again with the next one. What was withdrawn from main already
    is told once more, so that what was interrupted can be brought to its end.

    Raises:
        UnknownNameError: nothing has landed for the window, or nothing of this kind.
        ConflictError: what waited was published at this very moment.

    """
    model = declaration.name
    for one in (kind,) if kind else KINDS:
        known = landings(repository, model, one, window)
        waiting = [landing for landing in known if not landing.refused]
        if known:
            gone = waiting or known
            what: Literal["waiting", "refused"] = "waiting" if waiting else "refused"
            tags = _put_away(repository, model, gone)
            on_main = held(repository, model, MAIN).there[one].get(window)
            if what == "waiting" and on_main in {landing.version for landing in gone}:
                raise ConflictError(
                    f"{one} of {window} were published at this very moment: main holds them now; "
                    "withdraw them once more to take them back from there"
                )
            return Withdrawal(one, window, what, tags)
        main = held(repository, model, MAIN)
        if window in main.there[one]:
            return _empty(repository, declaration, one, window, by, reason)
    wanted = f"{kind} of {window}" if kind else window
    raise UnknownNameError(
        f"nothing of {wanted} has landed for {model}; `mlops status {model}` shows what has"
    )


def withdrawals(repository: Repository, model: str) -> list[dict[str, Any]]:
    """Return what is withdrawn of main by now: kind, window, and by whom, when and why; sorted."""
    main = held(repository, model, MAIN)
    found = []
    for kind in KINDS:
        for window, version in sorted(main.withdrawn[kind].items()):
            said = json.loads(repository.read(main.commit, mark_of(model, kind, window, version)))
            told = {name: str(said.get(name, "")) for name in ("by", "at", "reason")}
            found.append({"kind": kind, "window": window, **told})
    return found


def _put_away(repository: Repository, model: str, gone: Sequence[Landing]) -> tuple[str, ...]:
    tags = []
    for landing in gone:
        tag = withdrawal_tag(model, landing.kind, landing.window, landing.version)
        with suppress(RefExistsError):
            repository.create_tag(tag, landing.commit)
        with suppress(RefNotFoundError):  # published or put away at this moment
            repository.delete_branch(landing.branch)
        tags.append(tag)
    return tuple(tags)


def _empty(
    repository: Repository,
    declaration: Declaration,
    kind: Kind,
    window: str,
    by: str,
    reason: str,
) -> Withdrawal:
    """Commit a version without rows to main, and beside it who wanted it and why."""
    model, path = declaration.name, declaration.path(kind, window)
    for left in reversed(range(_TRIES)):
        main = held(repository, model, MAIN)
        if window in main.withdrawn[kind]:  # and was interrupted after that, or is asked for twice
            return Withdrawal(
                kind, window, "ingested", (), main.commit, main.withdrawn[kind][window]
            )
        location = repository.location(main.commit, path)
        buffer = io.BytesIO()
        write_parquet(scan(location.uri, location.storage_options).head(0), buffer)
        version = checksum(buffer.getvalue())
        tag = withdrawal_tag(model, kind, window, main.there[kind][window])
        with suppress(RefExistsError):
            repository.create_tag(tag, main.commit)
        said = {"by": by, "at": clock.now().isoformat(), "reason": reason}
        details = {
            "mlops.model": model,
            "mlops.kind": kind,
            "mlops.window": window,
            "mlops.version": version,
            "mlops.withdrawn": main.there[kind][window],
            "mlops.by": by,
            "mlops.reason": reason,
        }
        message = f"{model}: {kind} of {window} withdrawn"
        try:
            with repository.transaction(
                MAIN, message, details, expected=main.commit
            ) as transaction:
                transaction.put(path, buffer.getvalue())
                transaction.put(
                    mark_of(model, kind, window, version), json.dumps(said, indent=1).encode()
                )
        except (ConflictError, NothingToCommitError):  # main has moved: look again
            if not left:
                raise
        else:
            return Withdrawal(kind, window, "ingested", (tag,), transaction.commit_id, version)
    raise AssertionError("unreachable: the last try returns or raises")
