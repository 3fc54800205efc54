"""`mlops store`: the index made again from the files, and old profiles merged down."""

from __future__ import annotations

from typing import Annotated

import typer

from mlops_assets.cli.output import AsJson, finite, interruptible, print_json

store = typer.Typer(
    name="store",
    help="The store of profiles, verdicts and decisions.",
    no_args_is_help=True,
)


@store.command()
def rebuild(*, as_json: AsJson = False) -> None:
    """Make the index again from the files; nothing else is touched, and every answer is the same."""
    from mlops_assets.cli.storing import rebuild_index

    with interruptible():
        rebuilt = rebuild_index()
    if as_json:
        print_json(rebuilt.as_json())
    else:
        rebuilt.print()


@store.command()
def compact(
    model: Annotated[str | None, typer.Argument(help="One declared model only.")] = None,
    *,
    grace: Annotated[
        float,
        typer.Option(
            help="Hours for which profiles stay that were just added.",
            min=0,
            max=876_000,
            callback=finite,
        ),
    ] = 24,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what would be done.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Merge the profiles of old windows into one for each month, as the retention is declared."""
    from mlops_assets.cli.storing import compact_profiles

    with interruptible():
        compacted = compact_profiles(model, grace, dry_run=dry_run)
    if as_json:
        print_json(compacted.as_json())
    else:
        compacted.print()
