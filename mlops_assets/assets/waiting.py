"""What a stage does for which it is too early: it says why, and the run succeeds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import dagster as dg

from mlops_assets.assets.commits import key
from mlops_assets.assets.request import CAUSE_TAG
from mlops_assets.declaration import Declaration
from mlops_assets.errors import NotYetError
from mlops_assets.records import kinds
from mlops_assets.records.store import Store


def made_or_waited(
    context: dg.AssetExecutionContext,
    declaration: Declaration,
    store: Store,
    stage: str,
    make: Callable[[], dg.MaterializeResult],
) -> Iterator[dg.MaterializeResult]:
    """Yield what a stage makes; where that has to wait, nothing, and what follows is skipped.

    Red is for what a person must mend. The reason is an observation on the asset, and where the
    decision sensor asked for the run, the answer to its cause. Other evidence, by which the sensor
    asks again, comes with newer windows; what a person asked for is answered for good, and says so.
    """
    try:
        result = make()
    except NotYetError as error:
        reason = f"nothing made, it is too early: {error}"
        context.log.info(reason)
        context.log_event(
            dg.AssetObservation(
                asset_key=key(declaration, stage),
                description=reason,
                metadata={"reason": str(error), "code": error.code},
            )
        )
        _answer(context, declaration, store, error)
        return
    yield result


def _answer(
    context: dg.AssetExecutionContext, declaration: Declaration, store: Store, error: NotYetError
) -> None:
    cause = context.run.tags.get(CAUSE_TAG)
    asked = store.latest(kinds.Decision, model=declaration.name, cause=cause) if cause else []
    if not asked:
        return  # started by hand: nobody waits for an answer
    row = asked[-1]
    reason = f"held back: {error}"
    if row.trigger == "manual":
        again = f"`mlops retrain {declaration.name}` again"
        reason = (
            f"{reason.removesuffix('.')}; this answers the request: when that has changed, {again}"
        )
    store.add(replace(row, decision="held_back", code=error.code, reason=reason))
    store.add(
        kinds.Outcome(
            model=declaration.name,
            cause=row.cause,
            window=row.window,
            promoted=False,
            version=None,
            reason=reason,
            run_id=context.run.run_id,
            minutes=None,
        )
    )
