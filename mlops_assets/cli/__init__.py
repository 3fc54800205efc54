"""The `mlops` command."""

from __future__ import annotations

import sys
import warnings


def main() -> None:
    """Run the command line; what is raised on purpose, or by the machine, is printed, not traced."""
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
