"""One tick for all models of a code location: past those of which nothing can have changed."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass, field

import dagster as dg

from mlops_assets import clock
from mlops_assets.batches.landing import MAIN
from mlops_assets.declaration import Declaration
from mlops_assets.errors import RepositoryBusyError, RepositoryUnreachableError
from mlops_assets.records.store import Store
from mlops_assets.sensors.reaching import played_model
from mlops_assets.versions import Repository

#: The names of the two sensors of a code location.
DATA_SENSOR, DECISION_SENSOR = "mlops_data", "mlops_decision"
SHOWN = 5  # reasons in what a tick says of itself
_SECONDS = 20.0  # Dagster ends a tick after 60: who was not looked at by then is first in the next


@dataclass(frozen=True)
class Look:
    """What a tick found of one model.

    Attributes:
        requests: the runs to ask for.
        said: why there are no more of them.
        events: what Dagster is to be told.
        cursor: what the next look at the model is given.
        settled: whether the next look would find the same, until one of the marks changes.

    """

    requests: Sequence[dg.RunRequest] = ()
    said: Sequence[str] = ()
    events: Sequence[dg.AssetObservation] = ()
    cursor: str | None = None
    settled: bool = False


@dataclass
class Models:
    """The models of a code location, and what a sensor of it remembers of them between ticks."""

    declarations: Sequence[Declaration]
    _settled: dict[str, tuple[Hashable, Look]] = field(default_factory=dict)
    _first: int = 0  # where the next tick begins

    @property
    def selection(self) -> dg.AssetSelection:
        """The assets of which runs may be asked for."""
        return dg.AssetSelection.key_prefixes(*([one.name] for one in self.declarations))

    def tick(
        self,
        context: dg.SensorEvaluationContext,
        mark: Callable[[Declaration], Hashable],
        look: Callable[[Declaration, str | None], Look],
    ) -> dg.SensorResult:
        """Look at each model whose mark changed; one that can't be looked at stops no other.

        Args:
            context: of the tick.
            mark: what changes whenever a look at a model might find anything else.
            look: of a model and its cursor.

        """
        cursors, begun = read_cursors(context.cursor), time.monotonic()
        alone = played_model()
        found: list[tuple[str, Look]] = []
        for place, declaration in self._in_turn(alone):
            name = declaration.name
            if time.monotonic() - begun > _SECONDS and alone is None:
                self._first = place
                found.append((name, Look(said=["and those after it wait for the next tick"])))
                break
            try:
                now = mark(declaration)
                known = self._settled.get(name)
                if alone is None and known is not None and known[0] == now:
                    found.append((name, known[1]))
                    continue
                one = look(declaration, cursors.get(name))
            except (RepositoryUnreachableError, RepositoryBusyError) as error:
                if alone is not None:
                    raise
                # it may be of this model's objects alone: the next tick begins behind it
                self._first = (place + 1) % len(self.declarations)
                context.log.warning(str(error))
                found.append((name, Look(said=[f"{error}; the next tick asks again"])))
                break
            except Exception as error:
                if alone is not None:
                    raise
                problem = f"can't be looked at: {type(error).__name__}: {error}"
                context.log.exception(f"{name} {problem}")
                found.append((name, Look(said=[problem])))
                continue
            if one.cursor is not None:
                cursors[name] = one.cursor
            self._settled.pop(name, None)
            if one.settled:
                self._settled[name] = now, Look(said=one.said)
            found.append((name, one))
        requests = [request for _, one in found for request in one.requests]
        return dg.SensorResult(
            run_requests=requests,
            skip_reason=None if requests else dg.SkipReason(self._said(found)),
            asset_events=[event for _, one in found for event in one.events],
            cursor=json.dumps(cursors),
        )

    def _in_turn(self, alone: str | None) -> Iterator[tuple[int, Declaration]]:
        many = len(self.declarations)
        for step in range(many):
            place = (self._first + step) % many
            if alone in (None, self.declarations[place].name):
                yield place, self.declarations[place]

    def _said(self, found: Sequence[tuple[str, Look]]) -> str:
        """Say why nothing is asked for; of several models each reason once, with the first model."""
        said: dict[str, list[str]] = {}
        for name, one in found:
            for reason in one.said:
                said.setdefault(reason, []).append(name)
        if len(self.declarations) == 1:
            return summed_up(list(said))
        return summed_up(
            [
                f"{names[0]}{f' and {len(names) - 1} more' if len(names) > 1 else ''}: {reason}"
                for reason, names in said.items()
            ]
        )


@dataclass(frozen=True)
class Marks:
    """What changes when anything of a model does, in the repository, the records or by the clock."""

    main: str
    branches: dict[str, list[tuple[str, str]]]
    records: Hashable

    @classmethod
    def read(cls, repository: Repository, store: Store) -> Marks:
        """Read it for all models at once."""
        branches: dict[str, list[tuple[str, str]]] = {}
        for branch in repository.branches("landing-"):
            branches.setdefault(branch[0].split("-")[1], []).append(branch)
        return cls(repository.resolve(MAIN), branches, store.mark())

    def of(self, declaration: Declaration) -> Hashable:
        """Return that of one model; windows end, and labels mature, when another window begins."""
        present = declaration.windows.key(clock.now())
        branches = tuple(self.branches.get(declaration.name, ()))
        return self.main, branches, self.records, present


def read_cursors(cursor: str | None) -> dict[str, str]:
    """Return the cursor of each model; a person can set it to anything, and none is ever needed."""
    try:
        found = json.loads(cursor or "{}")
    except ValueError:
        return {}
    if not isinstance(found, dict):
        return {}
    return {name: one for name, one in found.items() if isinstance(one, str)}


def summed_up(reasons: Sequence[str]) -> str:
    """Join reasons; of many, name the first ones and count the others."""
    more = f"; and {len(reasons) - SHOWN} more" if len(reasons) > SHOWN else ""
    return "; ".join(reasons[:SHOWN]) + more
