"""Write down what was decided of a model, and what was noted beside it: rows that say why."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from typing import NamedTuple

from mlops_assets.batches.maturity import LandedWindows, missing_windows
from mlops_assets.decisions.governor import Code, Decision, Evidence, changed
from mlops_assets.declaration import Declaration
from mlops_assets.monitoring.meaning import Meaning, begin, differences, recorded, remember
from mlops_assets.records import kinds
from mlops_assets.records.store import Store
from mlops_assets.registry.ledger import Entry

MOST_GAPS = 300  # that one tick notes, each shown in Dagster too: the next tick notes more
UNTIL = "drift:until:"  # begins the cause of a decision on all windows up to one


class Landed(NamedTuple):
    """Of a window's batch."""

    version: str


class Judged(NamedTuple):
    """Of a window's newest verdict."""

    verdict: str
    batch_version: str


class Said(NamedTuple):
    """Of the newest decision about a cause."""

    trigger: str
    window: str
    code: str


def seen_until(cursor: str | None) -> int:
    """Return the last event looked at; 0 where the cursor, which a person can set, says none."""
    return int(cursor) if cursor and cursor.isdecimal() else 0


def keep_meaning(declaration: Declaration, landed: LandedWindows, store: Store) -> None:
    """Write down what the figures mean, as soon as there can be any: before, all may change."""
    if landed.newest is not None:
        begin(declaration, store)


def other_meaning(declaration: Declaration, store: Store) -> list[kinds.Decision]:
    """Write down that the figures mean something else than before; return the row, if it is new."""
    known = recorded(store, declaration.name)
    now = Meaning.declared(declaration)
    if not known or known[-1] == now:
        return []
    changes = "; ".join(differences(known[-1], now))
    row = note(
        declaration,
        store,
        cause=f"declaration:{len(known)}",
        window=max(store.newest(kinds.Batch, Landed, model=declaration.name), default=""),
        trigger="declaration",
        decision="noted",
        code="other_meaning",
        reason=f"{changes}: what was measured before is no longer compared with, and is measured again",
    )
    remember(declaration, store)
    return [row]


def note_gaps(
    declaration: Declaration, landed: LandedWindows, store: Store
) -> list[kinds.Decision]:
    """Write down which windows are gone without, some hundred at a time; return the rows.

    In one file: each one that came in by itself would have the next read all decisions again.
    """
    gaps = islice(gone_without(declaration, landed, store), MOST_GAPS)
    rows = [row_of(declaration, landed, gap) for gap in gaps]
    store.add_many(rows)
    return rows


def gone_without(
    declaration: Declaration, landed: LandedWindows, store: Store
) -> Iterable[Decision]:
    """Yield a decision for each window whose batch or labels should be there and are not.

    Once for each, and once more when they came after all.
    """
    missing = missing_windows(landed, declaration)
    decided = store.newest(kinds.Decision, Said, model=declaration.name)
    said = {cause: row for cause, row in decided.items() if row.trigger == "missing"}
    now = {
        **{f"missing:batches:{window}": window for window in missing.batches},
        **{f"missing:labels:{window}": window for window in missing.labels},
    }
    for cause, window in now.items():
        if cause in said and said[cause].code != "arrived":
            continue  # asked for each by itself, many gaps would make a tick long
        evidence = Evidence(cause, "missing", window, "", None)
        if cause.startswith("missing:batches"):
            code: Code = "missing_batch"
            reason = (
                f"no batch of {window} has landed, and {landed.newest} has: what follows is judged "
                "without it; `mlops land` brings it"
            )
        else:
            code = "missing_labels"
            reason = (
                f"the labels of {window} were due on {declaration.matures(window):%Y-%m-%d} and "
                "have not landed: the window is neither measured nor learnt from"
            )
        yield Decision(evidence, retrain=False, code=code, reason=reason)
    for cause in sorted(said.keys() - now.keys()):
        row = said[cause]
        # a declaration that begins later now misses what was before no more
        if row.code != "arrived" and declaration.windows.declares(row.window):
            what = cause.split(":")[1]
            yield Decision(
                Evidence(cause, "missing", row.window, "", None),
                retrain=False,
                code="arrived",
                reason=f"the {what} of {row.window} landed after all",
            )


def overtaken(
    declaration: Declaration,
    landed: LandedWindows,
    store: Store,
    champion: Entry | None,
    cursor: int,
) -> tuple[int, list[Decision]]:
    """Say of which windows nobody decided before a newer one landed, as after a night without us.

    Only the newest state is decided on. The cursor, the last verdict looked at, only spares looking
    again: what was decided is known from the decisions. A verdict may be made again, since one
    before it was: only the newest counts, and what was accounted for is not accounted for again.
    """
    rows = store.rows(kinds.Verdict, model=declaration.name, after_event=cursor, verdict="drifted")
    if not rows:
        return cursor, []
    cursor = max(row.event_id for row in rows)
    newest = store.newest(kinds.Verdict, Judged, model=declaration.name)
    told = store.latest(kinds.Decision, model=declaration.name, trigger="drift")
    decided = {row.window for row in told if not row.cause.startswith(UNTIL)}
    drifted = {
        window: newest[window].batch_version
        for window in {row.window for row in rows} - decided - {landed.newest}
        if newest[window].verdict == "drifted"
    }
    until = [row for row in told if row.cause.startswith(UNTIL)]
    windows = sorted(drifted.keys() - accounted_for(store, declaration.name, drifted, until))
    version = champion.version if champion else None
    if not windows or "drift" not in declaration.retraining.triggers:
        return cursor, []
    several = f"{len(windows)} windows, {windows[0]} to {windows[-1]}, had drifted"
    which = f"{windows[0]} had drifted" if len(windows) == 1 else several
    evidence = Evidence(f"{UNTIL}{windows[-1]}", "drift", windows[-1], which, version)
    reason = f"{which} before anybody decided; {landed.newest} has landed since and is decided on"
    return cursor, [Decision(evidence, retrain=False, code="superseded", reason=reason)]


def accounted_for(
    store: Store, model: str, batches: Mapping[str, str], until: Sequence[kinds.Decision]
) -> set[str]:
    """Return which windows a decision on all up to one spoke of; not those corrected after it.

    Args:
        store: with the verdicts.
        model: whose.
        batches: window -> version of its batch, as it is now.
        until: those decisions.

    """
    if not batches or not until:
        return set()
    first = store.query(
        'SELECT "window", batch_version, min(event_id) FROM verdicts WHERE model = ? GROUP BY 1, 2',
        [model],
    )
    return {
        window
        for window, batch, event in first.iter_rows()
        if batches.get(window) == batch
        and any(window <= row.window and event < row.event_id for row in until)
    }


def record(
    declaration: Declaration, store: Store, landed: LandedWindows, decided: Decision
) -> list[kinds.Decision]:
    """Write the decision down: one row for each cause and state, not one for each tick.

    Returns:
        The row, if it is a new one.

    """
    before = store.newest(kinds.Decision, Said, model=declaration.name).get(decided.evidence.cause)
    if not changed(decided, before.code if before else None):
        return []
    row = row_of(declaration, landed, decided)
    store.add(row)
    return [row]


def row_of(declaration: Declaration, landed: LandedWindows, decided: Decision) -> kinds.Decision:
    """Return what is written down of a decision."""
    one = decided.evidence
    return kinds.Decision(
        model=declaration.name,
        cause=one.cause,
        window=one.window,
        trigger=one.trigger,
        decision="retrain"
        if decided.retrain
        else "noted"
        if one.trigger == "missing"
        else "held_back",
        code=decided.code,
        reason=decided.reason,
        champion=one.champion,
        decided_at=landed.now.isoformat() if landed.now else "",
    )


def note(
    declaration: Declaration,
    store: Store,
    *,
    cause: str,
    window: str,
    trigger: str,
    decision: str,
    code: str,
    reason: str,
) -> kinds.Decision:
    """Write down what is no decision about evidence, dated by the end of its window; return the row."""
    row = kinds.Decision(
        model=declaration.name,
        cause=cause,
        window=window,
        trigger=trigger,
        decision=decision,
        code=code,
        reason=reason,
        champion=None,
        # there may be no window, or one of before that is declared no more
        decided_at=declaration.windows.ends(window).isoformat()
        if declaration.windows.declares(window)
        else "",
    )
    store.add(row)
    return row
