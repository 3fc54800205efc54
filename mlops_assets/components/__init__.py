"""The Dagster component that turns a declaration into definitions."""

from mlops_assets.components.model import ModelComponent

__all__ = ["ModelComponent"]
