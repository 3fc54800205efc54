"""The declaration of a model as a value: its sections, its windows, and what it names."""

from mlops_assets.declaration.declaration import Declaration, object_path
from mlops_assets.declaration.references import load, place_of, raised

__all__ = ["Declaration", "load", "object_path", "place_of", "raised"]
