"""One model as a person asks for it: what needs them, what serves, what was decided, the windows.

Read from the home alone, without MLflow, so it answers at once and at any time.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from mlops_assets.batches.landing import KINDS, MAIN, landings
from mlops_assets.batches.withdrawing import withdrawals
from mlops_assets.declaration import Declaration
from mlops_assets.home import Home
from mlops_assets.monitoring.controls import newest_pause
from mlops_assets.monitoring.due import Agenda, agenda
from mlops_assets.monitoring.given_up import retraining_given_up
from mlops_assets.monitoring.meaning import Series, other_windows
from mlops_assets.records import kinds
from mlops_assets.records.store import Store
from mlops_assets.registry.ledger import Entry, Ledger, champion_of
from mlops_assets.versions import Repository, existing_repository
from mlops_assets.words import counted

FEW = 3  # windows named of many


def of_models(
    home: Home,
    names: Iterable[str],
    declared: Mapping[str, Declaration],
    broken: Mapping[str, str],
    *,
    hanging: Mapping[str, list[dict[str, Any]]],
    stopped_sensors: Mapping[str, list[dict[str, Any]]],
    unread: bool,
) -> list[dict[str, Any]]:
    """Return the documented form of some models, each with what it needs of a person.

    Args:
        home: that holds what was recorded of them.
        names: of the models.
        declared: those that are declared and can be kept.
        broken: of those that can't, why.
        hanging: by model, its runs that don't end by themselves.
        stopped_sensors: by model, its sensors that somebody stopped.
        unread: whether nobody knows what is declared, as the project can't be read.

    """
    repository = existing_repository(home.repository, home.cache)
    store, ledger, holder = Store(home.store), Ledger(home.ledger), home.holder()
    found = []
    for name in names:
        one = of_model(name, store, ledger, repository, declared.get(name))
        one["hanging"] = hanging.get(name, [])
        one["stopped_sensors"] = stopped_sensors.get(name, [])
        one["declared"] = None if unread else name in declared or name in broken
        one["broken"] = broken.get(name)
        one["needs"] = needs(one, declared.get(name), holder)
        found.append(one)
    return found


def of_model(
    model: str,
    store: Store,
    ledger: Ledger,
    repository: Repository | None,
    declaration: Declaration | None = None,
) -> dict[str, Any]:
    """Return one model's part, as far as it follows from what was recorded of it."""
    entries = ledger.entries(model)
    champion = champion_of(entries)
    decisions = store.rows(kinds.Decision, model=model)
    # what was given up, and done after all
    done = {row.cause for row in store.latest(kinds.Decision, model=model) if row.code == "done"}
    decided = [entry for entry in entries if entry.event in ("promoted", "refused")]
    first = next((entry for entry in decided if entry.event == "promoted"), None)
    series = series_of(model, store, declaration)
    measured = {
        row.window: row
        for row in store.latest(kinds.Performance, model=model)
        if series is None or series.holds("performance", row)
    }
    estimated = {
        row.window: row
        for row in store.latest(kinds.Estimate, model=model)
        if series is None or series.holds("performance", row)
    }
    rows = {row.window: row.rows for row in store.latest(kinds.Batch, model=model)}
    verdicts = store.latest(kinds.Verdict, model=model)
    newest = newest_pause(store, model)
    waiting = landings(repository, model) if repository else []
    ahead = Agenda((), ())
    if repository is not None and declaration is not None:
        ahead = agenda(repository, store, declaration)
    why = {(one.kind, one.window): one for one in ahead.waiting}
    return {
        "model": model,
        "every": declaration.windows.every if declaration else None,
        "metric": declaration.metric
        if declaration
        else next((row.metric for row in reversed(measured.values())), None),
        "champion": champion
        and as_champion(champion, declaration, [row.window for row in verdicts]),
        "first_training": first and as_retraining(first),
        "retrainings": [
            as_retraining(entry) for entry in decided if first and entry.number > first.number
        ],
        "held_back": [
            {"window": row.window, "trigger": row.trigger, "reason": row.reason}
            for row in decisions
            if row.decision == "held_back" and row.cause not in done
        ],
        "given_up": as_given_up(retraining_given_up(store, model)),
        "missing": [
            {"window": row.window, "reason": row.reason}
            for row in store.latest(kinds.Decision, model=model, trigger="missing")
            if row.code != "arrived"
        ],
        "windows": [
            {
                "window": row.window,
                "rows": rows.get(row.window, row.rows),
                "verdict": row.verdict,
                "metric": measured[row.window].value if row.window in measured else None,
                "estimate": estimated[row.window].value if row.window in estimated else None,
                "version": row.champion,
                "score": row.score,
                "limit": row.score_limit,
                "sentence": row.sentence,
            }
            for row in verdicts
        ],
        "reference": verdicts[-1].detail.get("budget_short") if verdicts else None,
        "paused": dict(vars(newest)) if newest and newest.action == "pause" else None,
        "refused": [
            {
                "kind": one.kind,
                "window": one.window,
                "branch": one.branch,
                "problems": list(one.problems),
            }
            for one in waiting
            if one.refused
        ],
        "waiting": [
            {
                "kind": one.kind,
                "window": one.window,
                "branch": one.branch,
                "reason": why[one.kind, one.window].reason
                if (one.kind, one.window) in why
                else None,
            }
            for one in waiting
            if not one.refused
        ],
        "due": [{"window": work.window, "stages": list(work.stages)} for work in ahead.work],
        "withdrawn": withdrawals(repository, model) if repository else [],
        "outdated": outdated(model, champion, repository),
        "other_target": (champion and series and series.unlike(champion)) or None,
        "other_windows": (declaration and other_windows(declaration, store)) or None,
        "declared_otherwise": [
            {"window": row.window, "reason": row.reason}
            for row in decisions
            if row.trigger == "declaration"
        ],
    }


def series_of(model: str, store: Store, declaration: Declaration | None) -> Series | None:
    """Return which figures are of one meaning: as declared, or else as it was when last seen."""
    if declaration is None:
        return Series.as_recorded(store, model)
    return Series.of(declaration, store)


def needs(
    model: dict[str, Any], declaration: Declaration | None, holder: str | None
) -> list[dict[str, str]]:
    """Return what a person has to do, the most urgent first: each what it is, and the command."""
    name = model["model"]
    if model["declared"] is False:
        return []  # nothing is done for a model that is gone, so nothing is asked
    found: list[tuple[str, str]] = []
    if model["broken"]:
        first, *more = model["broken"].splitlines()
        others = f" (and {counted(len(more), 'more fault')})" if more else ""
        found.append(
            (
                f"the declaration can't be kept: {first}{others}",
                f"mend it; `mlops check {name}` names every fault",
            )
        )
    if model["other_windows"]:
        found.append((model["other_windows"], "mend the declaration; until then nothing is done"))
    found += [
        (
            f"{one['kind']} of {one['window']} were refused: {'; '.join(one['problems'])}",
            f"mend the file, or what is asked of it, then `mlops land {name} FILE`",
        )
        for one in model["refused"]
    ]
    found += [*run_needs(model), *data_needs(model)]
    ready = [one for one in model["waiting"] if not one["reason"]]
    if (ready or model["due"]) and not holder:
        what = counted(len(ready), "landed file") if ready else "what has landed or matured"
        found.append(
            (
                f"{what} {'waits' if len(ready) < 2 else 'wait'}, and nothing is at work here",
                f"`mlops dev`, or once `mlops replay {name}`",
            )
        )
    if not model["windows"] and not model["waiting"] and not found and declaration is not None:
        found.append(("no data yet", first_step(declaration)))
    return [{"what": what, "do": do} for what, do in found]


def run_needs(model: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield what is wrong with runs and sensors."""
    name = model["model"]
    for one in model["held_back"]:
        if one["trigger"] == "data":
            yield one["reason"], f"see its runs (`mlops dev`), then `mlops replay {name}`"
    if (one := model["given_up"]) is not None:
        yield (
            f"no retraining on {one['trigger']} of {one['window']} is tried any more: "
            f"{one['reason']}",
            f"see its runs (`mlops dev`), mend the cause, then `mlops retrain {name}`",
        )
    for one in model["hanging"]:
        about = f" for {one['about']}" if one["about"] else ""
        run = f"run {one['run'][:8]} of {one['job']}{about} ({one['status']})"
        yield f"{run} hangs: {one['why']}", one["do"]
    for one in model["stopped_sensors"]:
        yield f"the sensor {one['sensor']}: {one['why']}", one["do"]


def data_needs(model: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield what is wrong with the data: changed since it was learnt from, or missing."""
    name = model["model"]
    if model["outdated"]:
        several = len(model["outdated"]) > FEW
        more = f" and {len(model['outdated']) - FEW} more" if several else ""
        yield (
            f"{', '.join(model['outdated'][:FEW])}{more} changed since the champion learnt from it",
            f"`mlops retrain {name}` learns from what is there now",
        )
    if model["missing"]:
        others = len(model["missing"]) - 1
        more = f" (and {others} more)" if others else ""
        yield f"missing: {model['missing'][-1]['reason']}{more}", f"`mlops land {name} FILE`"


def first_step(declaration: Declaration) -> str:
    """Return the command that brings a model its first data."""
    if declaration.batches.history:
        return f"`mlops replay {declaration.name}` plays its history"
    return f"`mlops land {declaration.name} FILE`, or `mlops import {declaration.name} FOLDER`"


def outdated(model: str, champion: Entry | None, repository: Repository | None) -> list[str]:
    """Return the windows that were corrected since the champion learnt from them."""
    if champion is None or champion.data_commit is None or repository is None:
        return []
    learnt = set(champion.training_windows)
    changed = set()
    for kind in KINDS:
        prefix = f"{model}/{kind}/"
        for change in repository.diff(champion.data_commit, MAIN, prefix):
            changed.add(change.path.removeprefix(prefix).removesuffix(".parquet"))
    return sorted(changed & learnt)


def as_champion(entry: Entry, declaration: Declaration | None, judged: list[str]) -> dict[str, Any]:
    """Return the documented form of the champion; its age is counted in the data's windows."""
    age = sum(window > entry.window for window in judged)
    if declaration is not None and judged and declaration.windows.declares(entry.window):
        age = max(0, declaration.windows.distance(entry.window, max(judged)))
    return {
        "version": entry.version,
        "window": entry.window,
        "age_windows": age,
        "promoted_at": entry.at,
        "data_commit": entry.data_commit,
        "mlflow_run_id": entry.mlflow_run_id,
        "trained_on": [entry.training_windows[0], entry.training_windows[-1]]
        if entry.training_windows
        else [],
    }


def as_given_up(decided: kinds.Decision | None) -> dict[str, Any] | None:
    """Return a retraining that is tried no more as others read it."""
    if decided is None:
        return None
    return {"window": decided.window, "trigger": decided.trigger, "reason": decided.reason}


def as_retraining(entry: Entry) -> dict[str, Any]:
    """Return the documented form of one finished retraining."""
    return {
        "window": entry.window,
        "trigger": entry.trigger,
        "reason": entry.reason,
        "version": entry.version,
        "promoted": entry.event == "promoted",
    }
