"""Histories without drift, made of real weeks: what each week's sketches say, at common points.

A history is an order of weeks, the first of which are the reference. Profiles are made once a week;
what is computed a million times (the reference's distribution, distances, leans) is taken from
their shares at fixed points, by the functions that the verdict itself uses.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import numpy as np
import polars as pl
from numpy.typing import NDArray

from mlops_assets.declaration import Declaration, load
from mlops_assets.drift.distances import (
    as_if_new,
    category_shares,
    kept_categories,
    kolmogorov_smirnov,
    shares_up_to,
    total_variation,
)
from mlops_assets.drift.resemblance import Neighbours, order_figures
from mlops_assets.learning.training import train
from mlops_assets.sketches.column import Column, Kind
from mlops_assets.sketches.profile import Profile, profile
from tests.benchmarks.measuring import ROOT

Floats = NDArray[np.float64]
TARGET = "target"
POINTS = 128  # of each distribution
DERIVED = 12  # products of two columns, to make 30 of 18


@dataclass(frozen=True)
class Feature:
    """One column at its points; ``places`` are its own among those of all columns."""

    name: str
    kind: Kind
    places: slice


@dataclass(frozen=True)
class Weeks:
    """The shares of each week (weeks x points of all columns) and its values in each column."""

    features: tuple[Feature, ...]
    shares: Floats
    values: Floats
    importance: Mapping[str, float]
    profiles: tuple[Profile, ...] = ()

    def distances(self, gap: Floats, values: Floats) -> Floats:
        """Return the distance of each column (..., columns) for gaps (..., points)."""
        found = np.empty((*gap.shape[:-1], len(self.features)))
        for number, feature in enumerate(self.features):
            measure = kolmogorov_smirnov if feature.kind == "ks" else total_variation
            found[..., number] = measure(gap[..., feature.places])
        return np.where(values > 0, found, 1.0)  # as for a window without a single value


@dataclass(frozen=True)
class History:
    """What the verdict needs of one history: own and new distances (windows x columns)."""

    own: Floats
    new: Floats
    neighbours: Mapping[str, Neighbours]


def flights() -> tuple[Declaration, list[pl.DataFrame]]:
    """Return the declaration, and the whole weeks that its demo plays: features and target."""
    from tests.benchmarks.retraining import flights as declared

    declaration = declared()
    batches, labels = declaration.batches.history, declaration.labels.history
    assert batches is not None
    assert labels is not None
    until, key = declaration.batches.history_until, declaration.batches.key
    expressions = [e.alias(name) for name, e in load(declaration.features).items()]
    target = load(declaration.labels.target).cast(pl.Float64).alias(TARGET)
    weeks = []
    for file in sorted((ROOT / batches).glob("*.parquet")):
        if until is None or file.stem <= until:
            truth = pl.read_parquet(Path(ROOT / labels / file.name)).select(*key, target)
            rows = pl.read_parquet(file).select(*key, *expressions)
            weeks.append(rows.join(truth, on=key, how="left").drop(key))
    return declaration, weeks


def with_columns(weeks: Sequence[pl.DataFrame], columns: int) -> list[pl.DataFrame]:
    """Return the weeks with so many features: the most important ones, or products added."""
    names = [name for name in weeks[0].columns if name != TARGET]
    if columns < len(names):
        gain = importance(weeks, names)
        kept = sorted(names, key=lambda name: -gain[name])[:columns]
        return [week.select(*kept, TARGET) for week in weeks]
    numbers = [name for name in names if weeks[0].schema[name].is_numeric()]
    whole = pl.concat(weeks)
    middle = {name: (whole[name].mean(), whole[name].std()) for name in numbers}
    random = np.random.default_rng(1)
    pairs = [random.choice(len(numbers), 2, replace=False) for _ in range(columns - len(names))]

    def standard(name: str) -> pl.Expr:
        mean, sd = middle[name]
        return (pl.col(name).cast(pl.Float64) - mean) / sd

    products = [
        (standard(numbers[a]) * standard(numbers[b])).alias(f"{numbers[a]}*{numbers[b]}#{number}")
        for number, (a, b) in enumerate(pairs)
    ]
    return [week.with_columns(products) for week in weeks]


def importance(weeks: Sequence[pl.DataFrame], names: Sequence[str]) -> dict[str, float]:
    """Return the shares of gain of a model like the demo's, on a sample of all weeks."""
    rows = pl.concat(weeks).drop_nulls(TARGET).sample(60_000, seed=1)
    parameters = {"num_leaves": 15, "learning_rate": 0.1, "min_data_in_leaf": 200}
    model = train(
        rows, features=list(names), target=TARGET, parameters=parameters, rounds=60, seed=1
    )
    return model.importance()


def profiled(
    weeks: Sequence[pl.DataFrame], rows: int, shifts: Mapping[str, float] | None = None
) -> list[Profile]:
    """Profile each week from so many of its rows, drawn anew where it has fewer.

    ``shifts`` are added to columns, in sd of all weeks.
    """
    names = [name for name in weeks[0].columns if name != TARGET]
    whole = pl.concat(weeks)
    moved = [
        pl.col(name).cast(pl.Float64) + by * float(whole[name].cast(pl.Float64).std() or 0.0)  # type: ignore[arg-type]  # Polars types an sd as anything
        for name, by in (shifts or {}).items()
    ]
    return [
        profile(
            week.sample(rows, with_replacement=rows > week.height, seed=number)
            .select(names)
            .with_columns(moved)
        )
        for number, week in enumerate(weeks)
    ]


def tabled(
    profiles: Sequence[Profile], importance: Mapping[str, float], grid: Weeks | None = None
) -> Weeks:
    """Return the weeks of these profiles, at the points of other weeks if given."""
    whole = Profile.merge(grid.profiles if grid else profiles)
    features, shares, start = [], [], 0
    for name in importance:
        merged = whole.columns[name]
        table = _table(merged, [part.columns[name] for part in profiles])
        features.append(Feature(name, merged.kind, slice(start, start + table.shape[1])))
        start += table.shape[1]
        shares.append(table)
    values = np.array([[p.columns[name].values for name in importance] for p in profiles], float)
    return Weeks(
        tuple(features), np.concatenate(shares, axis=1), values, dict(importance), tuple(profiles)
    )


def _table(merged: Column, own: Sequence[Column]) -> Floats:
    if merged.kind == "ks":
        points = merged.points
        ranks = (np.arange(POINTS) + 0.5) / POINTS
        at = np.unique(points.values[np.searchsorted(points.cumulative, ranks)])
        return np.array([shares_up_to(column.points, at) for column in own])
    typical = float(np.median([column.values for column in own]))
    names = sorted(kept_categories(merged, typical))
    empty = np.zeros(len(names))
    return np.array([category_shares(c, names) if c.values else empty for c in own])


def judged(weeks: Weeks, shares: Floats, values: Floats, reference: int) -> History:
    """Return what a history of these weeks (in its order) says: the first are the reference.

    ``shares`` may hold other weeks after the reference (shifted ones) than before it.
    """
    own, counts = shares[:reference], values[:reference]
    total = counts.sum(axis=0)
    weights = counts / total
    widths = [feature.places.stop - feature.places.start for feature in weeks.features]
    whole = np.sum(own * np.repeat(weights, widths, axis=1), axis=0)
    gaps = shares - whole
    distances = weeks.distances(gaps, values)
    as_new = np.where(counts > 0, as_if_new(distances[:reference], weights), 1.0)
    usual = np.median(counts, axis=0)
    neighbours = {}
    for number, feature in enumerate(weeks.features):
        weight = np.minimum(1.0, counts[:, number] / usual[number])[:, None]
        leans = gaps[:reference, feature.places] * weight
        neighbours[feature.name] = order_figures(leans, as_new[:, number])
    return History(as_new, distances[reference:], neighbours)


class Simulated:
    """Weeks drawn from the week effects of real ones: their principal components, each by itself.

    A simulated week takes each component's score from some real week; in spells, from four real
    weeks in a row. So there can be more of them than real weeks, as many years as are wanted.
    """

    def __init__(self, weeks: Weeks, *more: Weeks) -> None:
        self.weeks = weeks
        tables = np.concatenate([one.shares for one in (weeks, *more)], axis=1)
        self.mean = tables.mean(axis=0)
        left, sizes, self.components = np.linalg.svd(tables - self.mean, full_matrices=False)
        self.scores = left * sizes

    def draw(self, random: np.random.Generator, windows: int, spell: int) -> list[Floats]:
        """Return the shares of so many weeks; those of the other tables follow, of the same weeks."""
        real, components = self.scores.shape
        begins = random.integers(0, real - spell + 1, (-(-windows // spell), components))
        chosen = (begins[:, None, :] + np.arange(spell)[None, :, None]).reshape(-1, components)
        scores = np.take_along_axis(self.scores, chosen[:windows], axis=0)
        tables = np.clip(self.mean + scores @ self.components, 0.0, 1.0)
        width = self.weeks.shares.shape[1]
        return [
            self._as_distributions(tables[:, start : start + width])
            for start in range(0, tables.shape[1], width)
        ]

    def _as_distributions(self, table: Floats) -> Floats:
        for feature in self.weeks.features:
            part = table[:, feature.places]
            if feature.kind == "ks":
                np.maximum.accumulate(part, axis=1, out=part)
            else:
                part /= np.maximum(part.sum(axis=1, keepdims=True), 1.0)
        return table


def orders(random: np.random.Generator, weeks: int, windows: int, spell: int) -> NDArray[np.int64]:
    """Return an order of real weeks without repetition: single ones, or spells kept together."""
    first = int(random.integers(0, (weeks % spell) + 1))
    begins = random.permutation(np.arange(first, weeks - spell + 1, spell))
    return (begins[:, None] + np.arange(spell)).ravel()[:windows]
