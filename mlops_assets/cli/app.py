"""The commands: what each takes, in one place; the work is in the modules beside it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from mlops_assets.cli.output import print_json, stderr, stdout

app = typer.Typer(
    name="mlops",
    help="The life of your models: land data, see what was decided and why, decide yourself.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

Model = Annotated[str, typer.Argument(help="Name of a declared model.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the documented JSON form.")]
Reason = Annotated[str, typer.Option("--reason", help="Why; it is kept with the decision.")]


@contextmanager
def interruptible() -> Iterator[None]:
    """Let a person stop what goes on later from where it stopped, and say so."""
    try:
        yield
    except KeyboardInterrupt:
        stderr.print("\ninterrupted; the same command goes on where this one stopped", markup=False)
        raise typer.Exit(130) from None


@app.command()
def land(
    model: Model,
    file: Annotated[
        Path, typer.Argument(help="A Parquet or CSV file with the rows of one window.")
    ],
    *,
    window: Annotated[
        str | None, typer.Option(help="Its window, if neither name nor rows say it.")
    ] = None,
    labels: Annotated[
        bool | None,
        typer.Option("--labels/--batch", help="What it is, if its columns don't say it."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Land one window's batch or labels: checked at once, ingested by the daemon."""
    from mlops_assets.cli.landing import land_file

    outcome = land_file(model, file, window=window, labels=labels)
    if as_json:
        print_json(outcome.as_json())
    else:
        outcome.print()
    if outcome.refused:
        raise typer.Exit(1)


@app.command()
def replay(
    model: Model,
    *,
    since: Annotated[str | None, typer.Option("--from", help="First window to play.")] = None,
    until: Annotated[str | None, typer.Option("--until", help="Last window to play.")] = None,
    as_json: AsJson = False,
) -> None:
    """Play history window by window through the real assets and sensors."""
    from mlops_assets.cli.replay import replay_model

    with interruptible():
        summary = replay_model(model, since=since, until=until)
    if as_json:
        print_json(summary.as_json())
    else:
        summary.print()


@app.command()
def status(
    model: Annotated[str | None, typer.Argument(help="One model only.")] = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Show champion, retrainings, what was held back and why, and every window's verdict."""
    from mlops_assets.cli.status import read_status, show_status

    found = read_status(model)
    if as_json:
        print_json(found)
    else:
        show_status(found)


@app.command()
def log(model: Model, *, as_json: AsJson = False) -> None:
    """Show the ledger: every promotion and refusal, with the gates that were read."""
    from mlops_assets.cli.ledger import read_log, show_log

    entries = read_log(model)
    if as_json:
        print_json(entries)
    else:
        show_log(model, entries)


@app.command()
def retrain(model: Model, *, reason: Reason = "", as_json: AsJson = False) -> None:
    """Ask for a retraining now; cooldown and pause don't hold it back, an unfair comparison does."""
    from mlops_assets.cli.control import ask_for_retraining

    with interruptible():
        outcome = ask_for_retraining(model, reason)
    if as_json:
        print_json(outcome)
    else:
        stdout.print(outcome["message"], markup=False)


@app.command()
def pause(model: Model, *, reason: Reason = "") -> None:
    """Hold back every retraining that nobody asked for by hand, until `mlops resume`."""
    from mlops_assets.cli.control import set_paused

    stdout.print(set_paused(model, "pause", reason), markup=False)


@app.command()
def resume(model: Model, *, reason: Reason = "") -> None:
    """End a pause."""
    from mlops_assets.cli.control import set_paused

    stdout.print(set_paused(model, "resume", reason), markup=False)


@app.command()
def dev(
    *,
    port: Annotated[int, typer.Option(help="Port of the UI.", min=1, max=65535)] = 3000,
    host: Annotated[
        str, typer.Option(help="Address of the UI; it has no login, so keep it on this machine.")
    ] = "127.0.0.1",
) -> None:
    """Open the Dagster UI and the daemon on the home's state."""
    from mlops_assets.cli.dev import serve

    raise typer.Exit(serve(host, port))


@app.command()
def env() -> None:
    """Print what a shell needs for Dagster's own commands: eval "$(mlops env)"."""
    from shlex import quote

    from mlops_assets.home import Home

    home = Home.find().prepare()
    for name, value in home.environment().items():
        stdout.print(f"export {name}={quote(value)}", markup=False)
    stderr.print(f"[dim]# state lives in {home.root}[/dim]")
