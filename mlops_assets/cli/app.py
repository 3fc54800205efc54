"""The commands: what each takes, in one place; the work is in the modules beside it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from mlops_assets.cli.output import (
    AsJson,
    finite,
    interruptible,
    name_home,
    print_json,
    shown,
    stderr,
    stdout,
)
from mlops_assets.cli.store import store
from mlops_assets.errors import MlopsError
from mlops_assets.home import Home

app = typer.Typer(
    name="mlops",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

app.add_typer(store)

Model = Annotated[str, typer.Argument(help="Name of a declared model.")]
Reason = Annotated[str, typer.Option("--reason", help="Why; it is kept with the decision.")]


# these name the home themselves, or work on none
NAMES_IT = ("status", "env", "check")


def say_version(wanted: bool) -> None:
    """Print the version and end."""
    if wanted:
        from importlib.metadata import PackageNotFoundError, version

        try:
            said = version("mlops-assets")
        except PackageNotFoundError:
            said = "(not installed: run from its sources)"
        stdout.print(f"mlops_assets {said}", markup=False)
        raise typer.Exit


def name_unless_failed(home: Home) -> None:
    """Name the home at the end of a command; an error is a line by itself."""
    if not isinstance(sys.exc_info()[1], MlopsError):
        name_home(home)


@app.callback()
def mlops(
    context: typer.Context,
    *,
    _version: Annotated[
        bool,
        typer.Option("--version", help="Print the version.", callback=say_version, is_eager=True),
    ] = False,
) -> None:
    """The life of your models: land data, see what was decided and why, decide yourself."""
    asks_help = {"-h", "--help"} & set(sys.argv[1:])
    if context.invoked_subcommand in NAMES_IT or asks_help:
        return
    home = Home.find()
    if home.is_new:
        name_home(home)
    else:
        context.call_on_close(lambda: name_unless_failed(home))


@app.command()
def check(
    model: Annotated[str | None, typer.Argument(help="One model only.")] = None,
    *,
    data: Annotated[
        Path | None,
        typer.Option(help="A file of the model: a batch or labels of one window."),
    ] = None,
    window: Annotated[
        str | None, typer.Option(help="With --data: its window, if neither name nor rows say it.")
    ] = None,
    labels: Annotated[
        bool | None,
        typer.Option(
            "--labels/--batch", help="With --data: what it is, if its columns don't say it."
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Check what is declared, before it runs: each fault on a line, with file and line."""
    from mlops_assets.cli import check

    if data is None and (window is not None or labels is not None):
        raise typer.BadParameter("goes with --data only", param_hint="--window, --labels")
    checked = check.check_models(model, data, labels=labels, window=window)
    if as_json:
        print_json(check.documented(checked))
    else:
        check.show(checked)
    if any(one.problems for one in checked):
        raise typer.Exit(1)


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
    replace: Annotated[
        bool,
        typer.Option("--replace", help="Rows that landed before and are not in it may go."),
    ] = False,
    jump: Annotated[
        bool,
        typer.Option("--jump", help="Also a batch of more than 4 windows after the newest one."),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Land one window's batch or labels: checked at once, ingested by the daemon."""
    from mlops_assets.cli import land

    landed = land.land_file(model, file, window=window, labels=labels, replace=replace, jump=jump)
    if as_json:
        print_json(land.documented(model, file, landed))
    else:
        land.show(model, file, landed)
    if landed.landing is not None and landed.landing.refused:
        raise typer.Exit(1)


@app.command()
def withdraw(
    model: Model,
    window: Annotated[str, typer.Argument(help="The window of what landed.")],
    *,
    labels: Annotated[
        bool | None,
        typer.Option("--labels/--batch", help="Which; the batch if there is one."),
    ] = None,
    reason: Reason = "",
    as_json: AsJson = False,
) -> None:
    """Take back what landed: a file that waits, or the rows of an ingested window."""
    from mlops_assets.cli.withdraw import withdraw_window

    outcome = withdraw_window(model, window, labels=labels, reason=reason)
    if as_json:
        print_json(outcome)
    else:
        stdout.print(outcome["message"], markup=False)


@app.command("import")
def import_(
    model: Model,
    source: Annotated[
        Path,
        typer.Argument(
            metavar="FOLDER",
            help="A folder with Parquet or CSV files; with --rev, of a DVC project.",
        ),
    ],
    *,
    rev: Annotated[
        str | None,
        typer.Option(help="A git revision of the DVC project: import what DVC tracked at it."),
    ] = None,
    path: Annotated[
        list[str] | None,
        typer.Option(help="With --rev: only what is tracked here, below FOLDER; may be repeated."),
    ] = None,
    labels: Annotated[
        bool | None,
        typer.Option("--labels/--batch", help="What they are, if their columns don't say it."),
    ] = None,
    replace: Annotated[
        bool,
        typer.Option("--replace", help="Rows that landed before and are not in it may go."),
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Read and check everything, import nothing.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Bring in history: every file of a folder, or of a DVC project, lands as windows, checked."""
    from mlops_assets.cli.import_ import import_history

    if path and rev is None:
        raise typer.BadParameter("goes with --rev only", param_hint="--path")
    with interruptible():
        summary = import_history(
            model,
            source,
            revision=rev,
            paths=path or (),
            labels=labels,
            dry_run=dry_run,
            replace=replace,
        )
    if as_json:
        print_json(summary.as_json())
    else:
        summary.print()
    if summary.refused:
        raise typer.Exit(1)


@app.command()
def replay(
    model: Model,
    *,
    since: Annotated[str | None, typer.Option("--from", help="First window to play.")] = None,
    until: Annotated[str | None, typer.Option("--until", help="Last window to play.")] = None,
    policy: Annotated[
        list[Path] | None,
        typer.Option(
            "--policy",
            help="Change nothing, but say what this policy would have done beside the declared "
            "one: a YAML file with `drift` and `retraining`. May be repeated.",
        ),
    ] = None,
    plot: Annotated[
        Path | None,
        typer.Option(help="With --policy: the picture, .svg or .png; else in the home."),
    ] = None,
    further: Annotated[
        list[Path] | None, typer.Argument(help="Further policy files.", hidden=True)
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Play history window by window through the real assets and sensors.

    With --policy, play it under several policies side by side, and leave all state as it is.
    """
    if not policy and (further or plot):
        raise typer.BadParameter("goes with --policy only", param_hint="--plot, or a file")
    with interruptible():
        if policy:
            from mlops_assets.cli import policies

            files = [*policy, *(further or ())]
            judged = policies.judge_policies(model, files, since=since, until=until, plot=plot)
            if as_json:
                print_json(policies.documented(judged))
            else:
                policies.show(judged)
            return
        from mlops_assets.cli import replay

        summary = replay.replay_model(model, since=since, until=until)
    if as_json:
        print_json(replay.documented(summary))
    else:
        replay.show(summary)
    if not summary.clean:
        raise typer.Exit(1)


@app.command()
def status(
    model: Annotated[str | None, typer.Argument(help="One model only.")] = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Show what needs you, champion, retrainings, what was held back and why, and the windows."""
    from mlops_assets.cli.status import read_status, show_status

    found = read_status(model)
    if as_json:
        print_json(found)
    else:
        show_status(found)


@app.command()
def log(model: Model, *, as_json: AsJson = False) -> None:
    """Show the ledger: every promotion and refusal, with the gates that were read."""
    from mlops_assets.cli.log import read_log, show_log

    entries = read_log(model)
    if as_json:
        print_json(entries)
    else:
        show_log(model, entries)


@app.command()
def retrain(model: Model, *, reason: Reason = "", as_json: AsJson = False) -> None:
    """Ask for a retraining now; cooldown and pause don't hold it back, an unfair comparison does."""
    from mlops_assets.cli.retrain import ask_for_retraining

    with interruptible():
        outcome = ask_for_retraining(model, reason)
    if as_json:
        print_json(outcome)
    else:
        stdout.print(outcome["message"], markup=False)


@app.command()
def pause(model: Model, *, reason: Reason = "") -> None:
    """Hold back every retraining that nobody asked for by hand, until `mlops resume`."""
    from mlops_assets.cli.pause import pause_model

    stdout.print(pause_model(model, reason, paused=True), markup=False)


@app.command()
def resume(model: Model, *, reason: Reason = "") -> None:
    """End a pause."""
    from mlops_assets.cli.pause import pause_model

    stdout.print(pause_model(model, reason, paused=False), markup=False)


@app.command()
def gc(
    *,
    grace: Annotated[
        float,
        typer.Option(
            help="Hours for which what was written or touched stays.",
            min=0,
            max=876_000,
            callback=finite,
        ),
    ] = 24,
    keep_days: Annotated[
        int | None,
        typer.Option(
            help="Also let go of data that was replaced longer ago, unless a branch or tag "
            "stands at it; commits always stay.",
            min=0,
            max=36_500,
        ),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would go.")] = False,
    as_json: AsJson = False,
) -> None:
    """Remove the data that nothing reaches any more, safely beside whatever runs."""
    from mlops_assets.cli.gc import collect_garbage, said_of

    with interruptible():
        collection = collect_garbage(grace, keep_days, dry_run=dry_run)
    if as_json:
        print_json(collection)
    else:
        stdout.print(said_of(collection), markup=False)


@app.command()
def retire(
    model: Model,
    version: Annotated[str, typer.Argument(help="A promoted version, as `3` or `v3`.")],
    *,
    reason: Reason = "",
    as_json: AsJson = False,
) -> None:
    """Release the data of a version that nobody is to rebuild any more."""
    from mlops_assets.cli.retire import retire_version

    outcome = retire_version(model, version, reason)
    if as_json:
        print_json(outcome)
    else:
        stdout.print(outcome["message"], markup=False)


@app.command()
def rebuild(
    model: Model,
    version: Annotated[str, typer.Argument(help="A registered version, as `3` or `v3`.")],
    *,
    checkout: Annotated[
        bool,
        typer.Option(
            "--checkout/--no-checkout",
            help="Use the recorded code from git where the present code is another.",
        ),
    ] = True,
    as_json: AsJson = False,
) -> None:
    """Train a version again from what was recorded; say whether it is the same, or what differs."""
    from mlops_assets.cli import rebuild

    found = rebuild.rebuild_version(model, version, checkout=checkout)
    if as_json:
        print_json(found.as_json())
    else:
        rebuild.show(found)
    if not found.identical:
        raise typer.Exit(1)


@app.command()
def verify(
    model: Annotated[str | None, typer.Argument(help="One model only.")] = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Check that all that was ever recorded is there and whole; name what is broken."""
    from mlops_assets.cli import verify

    with interruptible():
        found = verify.verify_models(model)
    if as_json:
        print_json(verify.documented(found))
    else:
        verify.show(found)
    if found.problems:
        raise typer.Exit(1)


@app.command()
def backup(
    file: Annotated[Path, typer.Argument(help="Where the backup goes; nothing may be there.")],
    *,
    as_json: AsJson = False,
) -> None:
    """Write the home to one file, while whatever runs goes on."""
    from mlops_assets.cli.backup import back_up, said_of_backup

    with interruptible():
        taken = back_up(file)
    if as_json:
        print_json(taken)
    else:
        stdout.print(said_of_backup(taken), markup=False)


@app.command()
def restore(
    file: Annotated[Path, typer.Argument(help="A file that `mlops backup` wrote.")],
    *,
    replace: Annotated[
        bool, typer.Option("--replace", help="Put a home that is there aside and take its place.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Bring the home back from a backup, whole or not at all."""
    from mlops_assets.cli.restore import restore_from, said_of_restoring

    with interruptible():
        restored = restore_from(file, replace=replace)
    if as_json:
        print_json(restored)
    else:
        stdout.print(said_of_restoring(restored), markup=False)


@app.command()
def migrate(
    to: Annotated[str, typer.Argument(help="The repository, as in lakefs://flights.")],
    *,
    as_json: AsJson = False,
) -> None:
    """Move the embedded repository with its whole history to a lakeFS server; old ids still resolve."""
    from mlops_assets.cli.migrate import migrate_to, said_of

    with interruptible():
        moved = migrate_to(to)
    if as_json:
        print_json(moved)
    else:
        stdout.print(said_of(moved), markup=False)


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

    home = Home.find().prepare()
    for name, value in home.environment().items():
        print(f"export {name}={quote(value)}")  # noqa: T201  # for a shell, to the letter
    stderr.print(f"[dim]# state lives in {shown(home.root)}[/dim]")
