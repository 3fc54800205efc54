"""A repository's server that is away ends a tick in time, with a reason and without a traceback."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import wraps
from typing import Any

import dagster as dg

from mlops_assets.errors import RepositoryBusyError, RepositoryUnreachableError
from mlops_assets.versions.patience import hurried

_SECONDS = 20.0  # Dagster ends a tick after 60, and then says nothing of what it waited for

_PLAYED: ContextVar[str | None] = ContextVar("played", default=None)

Tick = Callable[..., dg.SensorResult]  # of a context and the resources that it names


@contextmanager
def played(model: str) -> Iterator[None]:
    """Let ticks look at one model only, wait as long as is configured, and fail.

    Who plays them in order must know.
    """
    token = _PLAYED.set(model)
    try:
        yield
    finally:
        _PLAYED.reset(token)


def played_model() -> str | None:
    """Return the one model that is played in this process; None where a daemon asks for all."""
    return _PLAYED.get()


def reaching(evaluate: Tick) -> Tick:
    """Let a tick wait no longer than a tick may; the next one asks again."""

    @wraps(evaluate)
    def tick(context: dg.SensorEvaluationContext, **resources: Any) -> dg.SensorResult:
        if _PLAYED.get() is not None:
            return evaluate(context=context, **resources)
        try:
            with hurried(_SECONDS):
                return evaluate(context=context, **resources)
        except (RepositoryUnreachableError, RepositoryBusyError) as error:
            context.log.warning(str(error))
            return dg.SensorResult(
                skip_reason=dg.SkipReason(f"{error}; the next tick asks again"),
                cursor=context.cursor,
            )

    return tick
