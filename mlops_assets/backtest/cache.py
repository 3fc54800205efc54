"""What the policies of a backtest share: whatever follows from the history alone is made once."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from mlops_assets.backtest.gates import Gates
from mlops_assets.backtest.history import History
from mlops_assets.backtest.models import Models
from mlops_assets.backtest.twins import Twins
from mlops_assets.backtest.verdicts import Profiles
from mlops_assets.declaration import Declaration


@dataclass
class Cache:
    """One history, and what was made of it by a declaration whose policy doesn't matter here."""

    history: History
    declaration: Declaration

    @cached_property
    def models(self) -> Models:
        """The models, each fitted once."""
        return Models(self.history, self.declaration)

    @cached_property
    def profiles(self) -> Profiles:
        """The profiles, and the references made of them."""
        return Profiles(self.models)

    @cached_property
    def twins(self) -> Twins:
        """The twins."""
        return Twins(self.models)

    @cached_property
    def gates(self) -> Gates:
        """What the gates said."""
        return Gates(self.models)
