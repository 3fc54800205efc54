"""The `mlops` command."""

from __future__ import annotations

import resource
import sys
import warnings

ADDRESSES = 3 << 30  # bytes of address space: with less, libraries don't load, or end the process


def main() -> None:
    """Run the command line; what is raised on purpose, or by the machine, is printed, not traced."""
    if (least := too_few_addresses(resource.getrlimit(resource.RLIMIT_AS)[0])) is not None:
        sys.exit(f"error: {least}")
    # what is beta or superseded in Dagster was weighed when it was chosen; a person can't act on it
    for word in ("beta", "superseded", "preview"):
        warnings.filterwarnings("ignore", message=f".*{word}.*", module=r"(dagster|mlops_assets).*")
    from mlops_assets.cli.app import app
    from mlops_assets.cli.failures import foreseen
    from mlops_assets.cli.output import complain
    from mlops_assets.errors import MlopsError

    try:
        app()
    except MlopsError as error:
        complain(str(error))
        sys.exit(1)
    except Exception as error:
        said = foreseen(error)
        if said is None:
            raise
        complain(said)
        sys.exit(1)


def too_few_addresses(limit: int) -> str | None:
    """Say what is wrong with a limit of the address space, in bytes; None if nothing is.

    The native code of Polars, DuckDB, Arrow and NumPy reserves far more of it than it uses, and
    aborts, or fails to load, where it gets none: no error that could be caught and told.
    """
    if limit == resource.RLIM_INFINITY or limit >= ADDRESSES:
        return None
    return (
        f"this process may address {limit / 1e9:.1f} GB of memory (`ulimit -v`); the libraries "
        f"reserve {ADDRESSES / 1e9:.1f} GB, most of which they never use: raise that limit, "
        "`ulimit -v unlimited`, and limit what is used by other means (a container, a cgroup)"
    )
