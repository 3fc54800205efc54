"""`mlops status`: what serves, what was decided and why, and what each window looked like.

Read from the home alone, without MLflow, and without Dagster unless its files say that something
may hang: so it answers at once and at any time.
"""

from __future__ import annotations

from typing import Any

from rich.markup import escape
from rich.table import Table

from mlops_assets.batches.landing import KINDS, MAIN, landings
from mlops_assets.cli.hanging import read_halted
from mlops_assets.cli.output import stdout
from mlops_assets.errors import UnknownNameError
from mlops_assets.home import Home
from mlops_assets.profiles.store import Store
from mlops_assets.registry.ledger import Entry, Ledger
from mlops_assets.versions import Repository, existing_repository

STYLES = {"stable": "green", "warning": "yellow", "drifted": "red", "insufficient": "dim"}
SHOWN = 12


def known_models(home: Home) -> list[str]:
    """Return the models of which the home holds anything."""
    found: set[str] = set()
    if home.ledger.is_dir():
        found |= {folder.name for folder in home.ledger.iterdir() if folder.is_dir()}
    if home.store.is_dir():
        for kind in ("batches", "verdicts", "controls"):
            found |= {row["model"] for row in Store(home.store).rows(kind)}
    repository = existing_repository(home.repository, home.cache)
    if repository is not None:
        for name, head in repository.branches("landing-"):
            found.add(repository.commit(head).metadata.get("mlops.model", name.split("-")[1]))
        for info in repository.objects(MAIN):
            stage = info.path.split("/")
            if len(stage) == 3 and stage[1] in KINDS:
                found.add(stage[0])
    return sorted(found)


def read_status(model: str | None = None) -> dict[str, Any]:
    """Return the documented form of everything, or of one model.

    Raises:
        UnknownNameError: nothing is known of such a model.

    """
    home = Home.find()
    models = known_models(home)
    if model is not None and model not in models:
        raise UnknownNameError.among("model with any state here", model, models)
    repository = existing_repository(home.repository, home.cache)
    store, ledger = Store(home.store), Ledger(home.ledger)
    shown = [name for name in models if model is None or name == model]
    halted = read_halted(home, shown)
    return {
        "home": str(home.root),
        "in_use_by": home.holder(),
        "models": [
            {
                **of_model(name, store, ledger, repository),
                "hanging": halted.runs.get(name, []),
                "stopped_sensors": halted.sensors.get(name, []),
            }
            for name in shown
        ],
    }


def of_model(
    model: str, store: Store, ledger: Ledger, repository: Repository | None
) -> dict[str, Any]:
    """Return one model's part."""
    entries = ledger.entries(model)
    champion = ledger.champion(model)
    decisions = store.rows("decisions", model=model)
    # what was given up, and done after all
    done = {row["cause"] for row in store.latest("decisions", model=model) if row["code"] == "done"}
    decided = [entry for entry in entries if entry.event in ("promoted", "refused")]
    first = next((entry for entry in decided if entry.event == "promoted"), None)
    measured = {row["window"]: row for row in store.latest("performance", model=model)}
    estimated = {row["window"]: row["value"] for row in store.latest("estimates", model=model)}
    rows = {row["window"]: row["rows"] for row in store.latest("batches", model=model)}
    controls = [
        row for row in store.rows("controls", model=model) if row["action"] in ("pause", "resume")
    ]
    newest = max(controls, key=lambda row: (row["requested_at"], row["event_id"]), default=None)
    waiting = landings(repository, model) if repository else []
    return {
        "model": model,
        "champion": champion and as_champion(champion),
        "first_training": first and as_retraining(first),
        "retrainings": [
            as_retraining(entry) for entry in decided if first and entry.number > first.number
        ],
        "held_back": [
            {"window": row["window"], "trigger": row["trigger"], "reason": row["reason"]}
            for row in decisions
            if row["decision"] == "held_back" and row["cause"] not in done
        ],
        "missing": [
            {"window": row["window"], "reason": row["reason"]}
            for row in store.latest("decisions", model=model, trigger="missing")
            if row["code"] != "arrived"
        ],
        "windows": [
            {
                "window": row["window"],
                "rows": rows.get(row["window"], row["rows"]),
                "verdict": row["verdict"],
                "metric": measured[row["window"]]["value"] if row["window"] in measured else None,
                "estimate": estimated.get(row["window"]),
                "version": row["champion"],
                "score": row["score"],
                "limit": row["score_limit"],
                "sentence": row["sentence"],
            }
            for row in store.latest("verdicts", model=model)
        ],
        "paused": newest if newest and newest["action"] == "pause" else None,
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
            {"kind": one.kind, "window": one.window, "branch": one.branch}
            for one in waiting
            if not one.refused
        ],
        "outdated": outdated(model, champion, repository),
    }


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


def as_champion(entry: Entry) -> dict[str, Any]:
    """Return the documented form of the champion."""
    return {
        "version": entry.version,
        "window": entry.window,
        "data_commit": entry.data_commit,
        "mlflow_run_id": entry.mlflow_run_id,
        "trained_on": [entry.training_windows[0], entry.training_windows[-1]]
        if entry.training_windows
        else [],
    }


def as_retraining(entry: Entry) -> dict[str, Any]:
    """Return the documented form of one finished retraining."""
    return {
        "window": entry.window,
        "trigger": entry.trigger,
        "reason": entry.reason,
        "version": entry.version,
        "promoted": entry.event == "promoted",
    }


def show_status(status: dict[str, Any]) -> None:
    """Print it for a person."""
    if not status["models"]:
        stdout.print("Nothing has landed yet. `make demo` plays a year of flights; or land a file:")
        stdout.print("  mlops land MODEL FILE", markup=False)
    for model in status["models"]:
        show_model(model)
    if status["in_use_by"]:
        stdout.print(f"[dim]The home is in use by {escape(status['in_use_by'])}.[/dim]")


def show_model(model: dict[str, Any]) -> None:
    """Print one model."""
    champion = model["champion"]
    stdout.print(f"[bold]{model['model']}[/bold]")
    if champion:
        trained = f", learnt from {champion['trained_on'][0]} to {champion['trained_on'][1]}"
        stdout.print(
            f"  champion: version {champion['version']}, promoted at {champion['window']}{trained}"
        )
    else:
        stdout.print("  champion: none yet")
    if model["paused"]:
        why = f": {model['paused']['reason']}" if model["paused"]["reason"] else ""
        stdout.print(f"  [yellow]paused[/yellow] by {escape(model['paused']['by'] + why)}")
    show_halted(model)
    if model["outdated"]:
        stdout.print(
            f"  [yellow]outdated:[/yellow] {', '.join(model['outdated'])} changed since the champion "
            "learnt from it; `mlops retrain` learns from what is there now"
        )
    for one in model["refused"]:
        stdout.print(f"  [red]refused:[/red] {one['kind']} of {one['window']}, on {one['branch']}")
        for problem in one["problems"]:
            stdout.print(f"    - {escape(problem)}")
    for one in model["waiting"]:
        stdout.print(f"  waiting to be ingested: {one['kind']} of {one['window']}")
    for one in model["retrainings"]:
        what = (
            f"[green]promoted[/green] version {one['version']}"
            if one["promoted"]
            else "[yellow]refused the challenger[/yellow]"
        )
        stdout.print(f"  {one['window']} retrained on {one['trigger']}, {what}")
        stdout.print(f"    [dim]{escape(one['reason'])}[/dim]")
    for one in model["missing"][-5:]:
        stdout.print(f"  [yellow]missing[/yellow] {escape(one['reason'])}")
    for one in model["held_back"][-5:]:
        stdout.print(f"  {one['window']} held back ({one['trigger']})")
        stdout.print(f"    [dim]{escape(one['reason'])}[/dim]")
    show_windows(model["windows"])


def show_halted(model: dict[str, Any]) -> None:
    """Print what does not go on by itself, why, and what to do."""
    for one in model["stopped_sensors"]:
        stdout.print(f"  [yellow]stopped:[/yellow] {one['sensor']}: {one['why']}; {one['do']}")
    for one in model["hanging"]:
        about = f" for {one['about']}" if one["about"] else ""
        line = f"run {one['run'][:8]} of {one['job']}{about} ({one['status']}): {one['why']}"
        stdout.print(f"  [yellow]hanging:[/yellow] {escape(line)}; {one['do']}")


def show_windows(windows: list[dict[str, Any]]) -> None:
    """Print the newest windows as a table."""
    if not windows:
        return
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 2))
    figures = ("score", "limit", "estimate", "metric")
    for column in ("window", "rows", "version", "verdict", *figures):
        right = column in ("rows", *figures)
        table.add_column(column, justify="right" if right else "left")
    for one in windows[-SHOWN:]:
        style = STYLES.get(one["verdict"], "")
        table.add_row(
            one["window"],
            f"{one['rows']:,}",
            f"v{one['version']}" if one["version"] is not None else "",
            f"[{style}]{one['verdict']}[/{style}]",
            *("" if one[key] is None else f"{one[key]:.4f}" for key in figures),
        )
    stdout.print(table)
    if len(windows) > SHOWN:
        stdout.print(f"  [dim]{len(windows) - SHOWN} earlier windows: mlops status --json[/dim]")
