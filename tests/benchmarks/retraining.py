"""One retraining as a plain script: the pure functions, and two ways to keep what they make."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import polars as pl
import yaml

from mlops_assets.declaration import Declaration, load
from mlops_assets.drift.judgement import Reference
from mlops_assets.features.expressions import compute, kinds, mismatches
from mlops_assets.learning.comparison import agreement, baseline, compare
from mlops_assets.learning.frames import Frame, frame_of
from mlops_assets.learning.training import FittedModel, train
from mlops_assets.learning.training_set import assemble
from mlops_assets.sketches.profile import profile
from tests.benchmarks.measuring import ROOT

TARGET = "target"


@dataclass(frozen=True)
class Champion:
    """What serves when the retraining begins."""

    model: FittedModel
    features: Mapping[str, str]


class Keeping(Protocol):
    """Where a retraining reads from and what becomes of what it makes."""

    declaration: Declaration

    def batch(self, window: str) -> pl.LazyFrame: ...
    def keep_features(self, window: str, frame: pl.LazyFrame) -> pl.LazyFrame: ...
    def mature(self) -> Sequence[str]: ...
    def parts(self, windows: Sequence[str]) -> dict[str, tuple[pl.LazyFrame, pl.LazyFrame]]: ...
    def keep_training_set(self, frame: Frame, joined: pl.LazyFrame) -> None: ...
    def rows(self, windows: Sequence[str]) -> pl.DataFrame: ...
    def newest_rows(self) -> pl.DataFrame: ...
    def fit(self, stage: str, windows: Sequence[str], seed: int) -> FittedModel: ...
    def challenger(self) -> FittedModel: ...
    def champion(self) -> Champion | None: ...
    def promote(self, frame: Frame, refit: FittedModel, gates: Gates, reference: bytes) -> None: ...


Gates = list[tuple[str, bool, float | None, float | None, str]]


@dataclass
class Made:
    """What both sides have to make alike, byte by byte."""

    models: dict[str, list[str]]
    reference: str
    gates: list[list[object]]


def flights() -> Declaration:
    """Return the declaration of the flights, read without Dagster."""
    text = (ROOT / "mlops_assets/defs/flight_delay/defs.yaml").read_text()
    attributes = yaml.safe_load(text)["attributes"]
    return Declaration.model_validate(attributes).within("mlops_assets.defs.flight_delay")


def features_of(keep: Keeping, window: str) -> None:
    """Compute a window's features and check them against what the champion learnt."""
    expressions, key = load(keep.declaration.features), keep.declaration.batches.key
    made = keep.keep_features(window, compute(keep.batch(window), expressions, key=key).sort(key))
    champion = keep.champion()
    there = kinds(made.collect_schema(), list(expressions))
    problems = mismatches(there, champion.features if champion else {})
    assert not problems, problems


def retrain(keep: Keeping) -> Made:
    """Go from stored features and labels to a promotion, step by step as the assets do."""
    declaration = keep.declaration
    training, limits = declaration.training, declaration.gates
    frame = frame_of(
        keep.mature(),
        least=training.first_after,
        newest=training.frame_windows,
        holdout=limits.holdout_windows,
    )
    keep.keep_training_set(
        frame,
        assemble(
            keep.parts(frame.windows),
            key=declaration.batches.key,
            target=TARGET,
            stored_in_key_order=True,
        ),
    )
    keep.fit("challenger", frame.training, training.seed)
    challenger, champion = keep.challenger(), keep.champion()
    held_out = keep.rows(frame.holdout)
    base_rate = float(keep.rows(frame.training)[TARGET].cast(pl.Float64).mean() or 0.0)  # type: ignore[arg-type]  # Polars types a mean as anything
    gates: Gates = []
    for name, opponent, least in (
        ("baseline", base_rate, limits.min_gain_over_baseline),
        ("champion", champion.model if champion else None, limits.min_gain),
    ):
        if opponent is None:
            continue
        windows = {}
        for (window,), rows in sorted(held_out.group_by("window")):
            theirs = (
                baseline(opponent, rows.height)
                if isinstance(opponent, float)
                else opponent.predict(rows)
            )
            windows[str(window)] = (rows[TARGET], challenger.predict(rows), theirs)
        found = compare(declaration.metric, windows, least, opponent=name)
        gates.append((f"better_than_{name}", found.passed, found.gain, least, found.sentence))
    refit = keep.fit("refit", frame.windows, training.seed)
    newest = keep.newest_rows()
    seeds = [keep.fit("other_seed", frame.training, training.seed + n) for n in (1, 2)]
    others = [model.predict(newest) for model in seeds]
    scores, before = refit.predict(newest), keep.challenger().predict(newest)
    agreed = agreement(scores, before, others, by="score", tolerance=limits.score_agreement)
    ranked = agreement(scores, before, others, by="rank", tolerance=limits.rank_agreement)
    gates += [
        (f"refit_{by}s_agree", one.passed, one.difference, one.limit, one.sentence)
        for by, one in (("score", agreed), ("rank", ranked))
    ]
    reference = _reference(refit, keep.rows(frame.windows))
    keep.promote(frame, refit, gates, reference)
    return Made(
        models={
            "challenger": [challenger.checksum],
            "refit": [refit.checksum],
            "other_seed": sorted(model.checksum for model in seeds),
        },
        reference=hashlib.sha256(reference).hexdigest(),
        gates=[[name, passed, value] for name, passed, value, *_ in gates],
    )


def _reference(refit: FittedModel, rows: pl.DataFrame) -> bytes:
    scored = rows.with_columns(refit.predict(rows).alias("score"))
    profiles = {
        str(window): profile(part.select(*refit.features, "score"))
        for (window,), part in sorted(scored.group_by("window", maintain_order=True))
    }
    return Reference.build(profiles, refit.importance()).to_bytes()


@dataclass
class InMemory:
    """Plain Parquet files in, everything made kept in memory: no version, no record, no server."""

    declaration: Declaration
    folder: Path  # batches/, labels/ and features/ by window, and champion/
    newest: str
    kept: dict[str, pl.DataFrame] = field(default_factory=dict)
    training_set: pl.DataFrame = field(default_factory=pl.DataFrame)
    models: dict[str, FittedModel] = field(default_factory=dict)

    def batch(self, window: str) -> pl.LazyFrame:
        return pl.scan_parquet(self.folder / "batches" / f"{window}.parquet")

    def keep_features(self, window: str, frame: pl.LazyFrame) -> pl.LazyFrame:
        self.kept[window] = frame.collect()
        return self.kept[window].lazy()

    def mature(self) -> Sequence[str]:
        windows = sorted(file.stem for file in (self.folder / "labels").iterdir())
        return [window for window in windows if window < self.newest]

    def parts(self, windows: Sequence[str]) -> dict[str, tuple[pl.LazyFrame, pl.LazyFrame]]:
        target = load(self.declaration.labels.target).alias(TARGET)
        return {
            window: (
                pl.scan_parquet(self.folder / "features" / f"{window}.parquet"),
                pl.scan_parquet(self.folder / "labels" / f"{window}.parquet").select(
                    *self.declaration.batches.key, target
                ),
            )
            for window in windows
        }

    def keep_training_set(self, frame: Frame, joined: pl.LazyFrame) -> None:  # noqa: ARG002  # nothing to record
        self.training_set = joined.collect()

    def rows(self, windows: Sequence[str]) -> pl.DataFrame:
        return self.training_set.filter(pl.col("window").is_in(list(windows)))

    def newest_rows(self) -> pl.DataFrame:
        return self.kept[self.newest]

    def fit(self, stage: str, windows: Sequence[str], seed: int) -> FittedModel:
        self.models[stage] = fitted(self.declaration, self.rows(windows), seed)
        return self.models[stage]

    def challenger(self) -> FittedModel:
        return self.models["challenger"]

    def champion(self) -> Champion | None:
        model = FittedModel.load(self.folder / "champion")
        return Champion(model, {each.name: each.kind for each in model.encoding.features})

    def promote(self, frame: Frame, refit: FittedModel, gates: Gates, reference: bytes) -> None:  # noqa: ARG002  # likewise
        assert all(passed for _, passed, *_ in gates), gates


def fitted(declaration: Declaration, rows: pl.DataFrame, seed: int) -> FittedModel:
    """Train as declared."""
    training = declaration.training
    return train(
        rows,
        features=list(load(declaration.features)),
        target=TARGET,
        parameters=training.parameters,
        rounds=training.rounds,
        seed=seed,
    )
