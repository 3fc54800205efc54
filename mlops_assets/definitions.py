"""The code location: whatever `defs/` declares."""

from pathlib import Path

import dagster as dg

from mlops_assets.components import load_models


@dg.definitions
def defs() -> dg.Definitions:
    """Load every declared model."""
    return load_models(Path(__file__).parent)
