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

_PLAYED: ContextVar[bool] = ContextVar("played", default=False)

Tick = Callable[..., dg.SensorResult]  # of a context and the resources that it names


@contextmanager
def played() -> Iterator[None]:
    """Let ticks wait as long as is configured, and fail: who plays them in order must know."""
    token = _PLAYED.set(True)
    try:
        yield
    finally:
        _PLAYED.reset(token)


def reaching(evaluate: Tick) -> Tick:
    """Let a tick wait no longer than a tick may; the next one asks again."""

    @wraps(evaluate)
    def tick(context: dg.SensorEvaluationContext, **resources: Any) -> dg.SensorResult:
        if _PLAYED.get():
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
