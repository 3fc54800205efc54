"""The Dagster component that turns a declaration into definitions, and what loads all of them."""

from mlops_assets.components.loading import load_models
from mlops_assets.components.model import ModelComponent

__all__ = ["ModelComponent", "load_models"]
