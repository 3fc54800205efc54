"""The `mlops` command."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line; what the project raises on purpose is printed, not traced."""
    from mlops_assets.cli.app import app
    from mlops_assets.cli.output import complain
    from mlops_assets.errors import MlopsError

    try:
        app()
    except MlopsError as error:
        complain(str(error))
        sys.exit(1)
    except KeyboardInterrupt:
        complain("interrupted; the same command goes on where this one stopped")
        sys.exit(130)
