"""The code location: whatever `defs/` declares."""

from pathlib import Path

import dagster as dg


@dg.definitions
def defs() -> dg.Definitions:
    """Load every declared model."""
    return dg.load_from_defs_folder(path_within_project=Path(__file__).parent)
