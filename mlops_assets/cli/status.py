"""`mlops status`: what needs a person, what serves, what was decided and why, and the windows.

Dagster is loaded only where its files say that something may hang, and after a change of the
project, to read its declarations anew. 80 columns are enough, also where nothing tells the width.
"""

from __future__ import annotations

from typing import Any

from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from mlops_assets.cli.declared import declared
from mlops_assets.cli.output import shown, stdout
from mlops_assets.declaration.sections import Retraining
from mlops_assets.errors import UnknownNameError
from mlops_assets.monitoring.known import known_models
from mlops_assets.monitoring.status import of_models
from mlops_assets.project import Project
from mlops_assets.sensors.hanging import read_halted
from mlops_assets.words import counted

STYLES = {"stable": "green", "warning": "yellow", "drifted": "red", "insufficient": "dim"}
SHOWN, TOLD, EXPLAINED = 12, 5, 3  # windows, decisions of a kind, verdicts in full
WIDTH = 80


def read_status(model: str | None = None) -> dict[str, Any]:
    """Return the documented form of everything, or of one model.

    Raises:
        UnknownNameError: nothing is known of such a model.

    """
    project = Project.find()
    home, said = project.home, declared(project)
    known = sorted({*known_models(home), *said.models, *said.broken})
    if model is not None and model not in known:
        raise UnknownNameError.among("model, declared or with any state here,", model, known)
    project.make_importable()  # an expression of the project's may say what is due
    names = known if model is None else [model]
    rules = {name: one.retraining for name, one in said.models.items()}
    longest = {name: rules.get(name, Retraining()).in_flight_minutes for name in names}
    halted = read_halted(home, longest)
    models = of_models(
        home,
        names,
        said.models,
        said.broken,
        hanging=halted.runs,
        stopped_sensors=halted.sensors,
        unread=said.unread is not None,
    )
    return {
        "home": str(home.root),
        "new": home.is_new,
        "in_use_by": home.holder(),
        "project": {"module": project.module, "unread": said.unread},
        "models": models,
    }


def show_status(status: dict[str, Any]) -> None:
    """Print it for a person."""
    new = " (new and empty)" if status["new"] else ""
    stdout.print(f"[dim]home: {shown(status['home'])}{new}[/dim]")  # a path stays on its line
    if status["in_use_by"]:
        say(f"in use by {shown(status['in_use_by'])}", style="dim")
    if status["project"]["unread"]:
        say(f"[red]the project can't be read:[/red] {shown(status['project']['unread'])}")
    if not status["models"]:
        say("No model is declared here, and nothing has landed. `make demo` plays a year of")
        say("flights; docs/declaration.md says how to declare a model.")
    for model in status["models"]:
        stdout.print()
        show_model(model)


def show_model(model: dict[str, Any]) -> None:
    """Print one model: what needs a person first."""
    gone = "  [dim](no longer declared)[/dim]" if model["declared"] is False else ""
    say(f"[bold]{shown(model['model'])}[/bold]{gone}")
    for one in model["needs"]:
        say(f"[red]![/red] {shown(one['what'])}", 2)
        say(f"[bold]{shown(one['do'])}[/bold]", 4)
    champion = model["champion"]
    if champion:
        learnt = f", learnt from {' to '.join(champion['trained_on'])}"
        age = counted(champion["age_windows"], model["every"] or "window")
        say(
            f"champion: version {champion['version']}, promoted at {champion['window']} "
            f"({age} ago){learnt if champion['trained_on'] else ''}",
            2,
        )
    elif model["windows"] or model["waiting"]:
        say("champion: none yet", 2)
    if model["other_target"]:
        say(
            f"[yellow]{shown(model['other_target'])}[/yellow]: it serves on until a challenger of "
            "what is declared now has passed; it is compared with the baseline alone",
            2,
        )
    if model["paused"]:
        why = f": {model['paused']['reason']}" if model["paused"]["reason"] else ""
        say(
            f"[yellow]paused[/yellow] by {shown(model['paused']['by'] + why)}; "
            f"`mlops resume {shown(model['model'])}` ends it",
            2,
        )
    show_waiting(model)
    show_decisions(model)
    show_windows(model)


def show_waiting(model: dict[str, Any]) -> None:
    """Print what has landed and is not worked on yet, and what was taken back."""
    for one in model["waiting"][:TOLD]:
        why = f": {shown(one['reason'])}" if one["reason"] else ""
        say(f"waiting: {one['kind']} of {shown(one['window'])}{why}", 2)
    if len(model["waiting"]) > TOLD:
        say(f"[dim]and {len(model['waiting']) - TOLD} more that wait[/dim]", 2)
    for one in model["withdrawn"][-TOLD:]:
        why = f": {shown(one['reason'])}" if one["reason"] else ""
        said = f"by {shown(one['by'])} on {shown(one['at'][:10])}{why}"
        say(f"withdrawn: {one['kind']} of {shown(one['window'])}, {said}", 2)


def show_decisions(model: dict[str, Any]) -> None:
    """Print retrainings and what was held back, the newest first."""
    for one in reversed(model["retrainings"][-TOLD:]):
        what = (
            f"[green]promoted[/green] version {one['version']}"
            if one["promoted"]
            else "[yellow]refused the challenger[/yellow]"
        )
        say(f"{shown(one['window'])} retrained on {shown(one['trigger'])}, {what}", 2)
        say(f"[dim]{shown(one['reason'])}[/dim]", 4)
    for one in model["declared_otherwise"][-1:]:
        say(f"{shown(one['window'])} declared otherwise", 2)
        say(f"[dim]{shown(one['reason'])}[/dim]", 4)
    held = [one for one in model["held_back"] if one["trigger"] != "data"]
    for one in reversed(held[-TOLD:]):
        say(f"{shown(one['window'])} held back ({shown(one['trigger'])})", 2)
        say(f"[dim]{shown(one['reason'])}[/dim]", 4)
    earlier = max(0, len(model["retrainings"]) - TOLD) + max(0, len(held) - TOLD)
    if earlier:
        say(f"[dim]{counted(earlier, 'earlier decision')}: mlops log, or --json[/dim]", 2)


def show_windows(model: dict[str, Any]) -> None:
    """Print the newest windows as a table, the newest first, and what its verdicts mean."""
    windows = model["windows"]
    if not windows:
        return
    newest = list(reversed(windows[-SHOWN:]))
    metric = model["metric"] or "metric"
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_edge=False)
    table.add_column("window", no_wrap=True)
    table.add_column("rows", justify="right", no_wrap=True)
    table.add_column("by", no_wrap=True)
    table.add_column("verdict", no_wrap=True)
    for column in ("score", "limit", "expected", "measured"):
        table.add_column(column, justify="right", no_wrap=True)
    for one in newest:
        style = STYLES.get(one["verdict"], "")
        version = f"v{one['version']}" if one["version"] is not None else ""
        table.add_row(
            Text(one["window"]),
            f"{one['rows']:,}",
            version,
            Text(one["verdict"], style=style),
            *(figure(one[key]) for key in ("score", "limit", "estimate", "metric")),
        )
    stdout.print()
    say(f"windows, the newest first; {metric} as expected once scored, and as measured", 2)
    stdout.print(Padding(table, (0, 0, 0, 2)), soft_wrap=False, width=WIDTH)
    if len(windows) > SHOWN:
        say(f"[dim]{counted(len(windows) - SHOWN, 'earlier window')}: mlops status --json[/dim]", 2)
    reference = model["reference"]
    odd = [one for one in newest if one["verdict"] in ("warning", "drifted")]
    for one in odd[:EXPLAINED] or newest[:1]:
        sentence = one["sentence"].removesuffix(f"; {reference}")  # older records repeat it
        say(f"{shown(one['window'])} {shown(sentence)}", 2)
    if reference:
        say(f"[dim]{shown(reference)}[/dim]", 2)


def figure(value: float | None) -> str:
    """Return a number in a column's width, or nothing."""
    if value is None:
        return ""
    return f"{value:.4f}" if abs(value) < 1000 else f"{value:,.0f}"


def say(markup: str, indent: int = 0, *, style: str = "") -> None:
    """Print a paragraph with its indent, and what goes on below by two more."""
    width = min(stdout.width, 120)
    text = Text.from_markup(markup, style=style)
    lines = text.wrap(stdout, width - indent - 2)
    for number, line in enumerate(lines):
        line.rstrip()
        stdout.print(Text(" " * (indent + (2 if number else 0))).append_text(line))
