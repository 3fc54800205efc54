"""Nothing known only later may reach a prediction."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import polars as pl

from mlops_assets.declaration import load
from mlops_assets.records import kinds
from tests import tiny
from tests.conftest import Played


def test_scrambled_labels_of_a_window_change_none_of_its_predictions(
    tmp_path: Path, begun: Callable[[int, Path], Played]
) -> None:
    # given the same history twice, in one of them with the labels of one window scrambled
    scrambled = 8
    found = []
    for name in ("as it was", "scrambled"):
        played = begun(scrambled, tmp_path / name)
        outcomes = tiny.batch(scrambled)[1]
        if name == "scrambled":
            outcomes = outcomes.with_columns(pl.col("paid").shuffle(seed=1))
        # when the labels land even before the window is scored
        played.land(scrambled, "labels", outcomes)
        played.land(scrambled, "batches")
        played.player.settle()
        played.turn(scrambled + 1)
        found.append(played.frame("predictions", scrambled))
        measured = played.store.latest(
            kinds.Performance, model="tiny", window=tiny.window(scrambled)
        )
        found.append(measured[0].value)
    # then the predictions are the same to the bit, and only what is measured later differs
    assert found[0].equals(found[2])
    assert found[0].height == 300
    assert found[1] != found[3]


def test_the_flights_features_know_nothing_of_the_arrivals() -> None:
    from mlops_assets.defs.flight_delay.schema import Arrivals, Departures

    features: dict[str, pl.Expr] = load("mlops_assets.defs.flight_delay.features:FEATURES")
    roots = {root for expression in features.values() for root in expression.meta.root_names()}
    assert roots <= set(Departures.column_names())
    assert not roots & (set(Arrivals.column_names()) - set(Departures.column_names()))
