"""The small models that staleness compares: what they learn from, and where they are kept.

A twin follows from its fingerprint and is made again in a fraction of a second. Only a champion's,
with which every window that it serves is compared, is kept: as a blob of the store.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import NamedTuple

import polars as pl

from mlops_assets.batches.held import held
from mlops_assets.batches.landing import MAIN
from mlops_assets.batches.objects import scan
from mlops_assets.declaration import Declaration, load
from mlops_assets.errors import StoreError, TrainingError
from mlops_assets.features.expressions import code_version
from mlops_assets.learning.environment import libraries
from mlops_assets.learning.fingerprint import fingerprint, of_libraries
from mlops_assets.learning.frames import declared_frame
from mlops_assets.learning.training import LEARNING_VERSION, FittedModel
from mlops_assets.learning.training_set import TARGET, WINDOW
from mlops_assets.learning.twins import MOST_ROWS, PARAMETERS, ROUNDS, draws, fit_twin
from mlops_assets.monitoring.rows import features_of
from mlops_assets.records import kinds
from mlops_assets.records.store import Store
from mlops_assets.registry.ledger import Entry
from mlops_assets.versions import Repository

MOST_WINDOWS = 200  # that one twin learns from
_SPARE = 1.1  # times the rows that are asked for, since every window is thinned by chance
_PLACE, _DRAW = "\0place", "\0draw"


@dataclass(frozen=True)
class Known:
    """What one twin learns from: windows, and the versions of their batches and labels.

    Attributes:
        commit: from which they are read.
        versions: window -> checksums of its batch and of its labels, oldest first.

    """

    commit: str
    versions: Mapping[str, tuple[str, str]]


@dataclass(frozen=True)
class TwinRows:
    """The rows of one twin, and the share of labelled rows in each of the windows they are of."""

    rows: pl.DataFrame
    labelled: tuple[float, ...]


class KeptTwin(NamedTuple):
    """Of a window's newest comparison."""

    champion_twin: str | None
    champion_twin_blob: str | None


@dataclass
class Twins:
    """Makes the twins of one model, or finds them."""

    declaration: Declaration
    repository: Repository
    store: Store
    expressions: Mapping[str, pl.Expr] = field(init=False)
    code: str = field(init=False)  # of the expressions
    target: pl.Expr = field(init=False)

    def __post_init__(self) -> None:
        """Load what is declared."""
        self.expressions = load(self.declaration.features)
        self.code = code_version(self.expressions)
        self.target = load(self.declaration.labels.target).alias(TARGET)

    def known_before(self, window: str) -> Known:
        """Return what a retraining right before a window would have learnt from.

        That is what main held when the window's batch first came, and of that the windows whose
        labels could be trusted when the window began: what came late or was corrected since was
        not known then.

        Raises:
            TrainingError: too few windows had mature labels for a training.

        """
        declaration = self.declaration
        came = self.store.rows(kinds.Batch, model=declaration.name, window=window)
        commit = came[0].commit_id if came else self.repository.resolve(MAIN)
        landed = self._landed(commit)
        return Known(
            commit, {one: landed[one] for one in known_before(declaration, landed, window)}
        )

    def known_to(self, promotion: Entry) -> Known:
        """Return what the version of a promotion learnt from.

        Raises:
            TrainingError: the commit that was pinned for it doesn't hold all of that.

        """
        commit = promotion.data_commit or ""
        # what it learnt stays what it learnt, where the declaration begins later now
        landed = self._landed(commit, undeclared=True) if commit else {}
        if gone := [one for one in promotion.training_windows if one not in landed]:
            raise TrainingError(
                f"version {promotion.version} learnt from {', '.join(gone[:3])}, which commit "
                f"{commit or 'none'} doesn't hold"
            )
        return Known(commit, {one: landed[one] for one in promotion.training_windows})

    def fingerprint(self, known: Known) -> str:
        """Return what the twin of some knowledge follows from, in one word."""
        data = json.dumps(list(known.versions.items())).encode()
        target = code_version({TARGET: self.target})
        return fingerprint(
            hashlib.sha256(data).hexdigest(),
            f"{LEARNING_VERSION}-{self.code}-{target}",
            PARAMETERS,
            rounds=ROUNDS,
            seed=self.declaration.training.seed,
            features=list(self.expressions),
            task=self.declaration.task,
            most_rows=MOST_ROWS,
            most_windows=MOST_WINDOWS,
            **of_libraries(LEARNING_VERSION, libraries()),
        )

    def fit(self, learnt: TwinRows) -> FittedModel:
        """Fit a twin.

        Raises:
            TrainingError: there is nothing to learn from.

        """
        declared = self.declaration
        return fit_twin(
            learnt.rows, list(self.expressions), TARGET, declared.task, declared.training.seed
        )

    def kept(self, mark: str, warn: Callable[[str], None]) -> tuple[FittedModel, str] | None:
        """Return a champion's twin and its blob, if a window was compared with it already.

        One that is damaged or gone is made again, and `warn` is told.
        """
        rows = self.store.newest(kinds.Staleness, KeptTwin, model=self.declaration.name)
        compared = [window for window, row in rows.items() if row.champion_twin == mark]
        if not compared:
            return None
        blob = str(rows[max(compared)].champion_twin_blob)
        try:
            return FittedModel.from_bytes(self.store.blob(blob)), blob
        except StoreError as error:
            warn(f"the champion's twin is made again: {error}")
            return None

    def read_rows(self, known: Known) -> TwinRows:
        """Read the rows of a twin: `window`, its features and its target, 20,000 at most.

        Each window is thinned before anything is joined, by draws that are the same for every
        twin. So what is held in memory does not grow with what there is, and neighbours learn
        from nearly the same rows.
        """
        seed, keys = self.declaration.training.seed, self.declaration.batches.key
        windows = chosen(list(known.versions), seed)
        features = [self._features(known, window) for window in windows]
        labels = [self._labels(known, window) for window in windows]
        heights = _counts(features, pl.len())
        labelled = _counts(labels, pl.col(TARGET).count())
        share = min(1.0, _SPARE * MOST_ROWS / max(1, sum(labelled)))
        before = accumulate(heights, initial=0)
        drawn = pl.concat(
            [
                pl.DataFrame({_DRAW: draws(window, height, seed)})
                .with_row_index(_PLACE, offset=place)
                .filter(pl.col(_DRAW) < share)
                .with_columns(pl.lit(window).alias(WINDOW))
                for window, height, place in zip(windows, heights, before, strict=False)
            ]
        )
        # two steps, since a plan with a join for each window takes longer than the reading
        rows = (
            pl.concat(features)
            .with_row_index(_PLACE)
            .join(drawn.lazy(), on=_PLACE, maintain_order="left")
            .collect(engine="streaming")
        )
        answers = (
            pl.concat(labels)
            .drop_nulls(TARGET)
            .join(rows.lazy(), on=[WINDOW, *keys], how="semi")
            .collect(engine="streaming")
        )
        rows = rows.join(answers, on=[WINDOW, *keys], maintain_order="left")
        smallest = rows[_DRAW].arg_sort()[:MOST_ROWS].sort()
        shares = (min(1.0, n / max(1, of)) for n, of in zip(labelled, heights, strict=True))
        return TwinRows(rows[smallest].select(WINDOW, *self.expressions, TARGET), tuple(shares))

    def _landed(self, commit: str, *, undeclared: bool = False) -> dict[str, tuple[str, str]]:
        """Return the versions of every window with a batch, labels and features, oldest first.

        Those that are declared now, or also those that are not any more.

        Nor those that were withdrawn by then, whose features are as they were. A window whose
        features could not be made keeps no other from being learnt.
        """
        there = held(self.repository, self.declaration.name, commit)
        prefix = f"{self.declaration.name}/features/"
        features = {
            info.path.removeprefix(prefix).removesuffix(".parquet")
            for info in self.repository.objects(commit, prefix)
        }
        return {
            window: (version, there.files["labels"][window])
            for window, version in sorted(there.files["batches"].items())
            if window in there.files["labels"]
            and window in features
            and (undeclared or self.declaration.windows.declares(window))
        }

    def _features(self, known: Known, window: str) -> pl.LazyFrame:
        return features_of(
            self.repository, self.declaration, known.commit, window, self.expressions
        )

    def _labels(self, known: Known, window: str) -> pl.LazyFrame:
        labels = scan(self.repository, known.commit, self.declaration.path("labels", window))
        return labels.select(
            pl.lit(window).alias(WINDOW), *self.declaration.batches.key, self.target
        )


def known_before(declaration: Declaration, labelled: Iterable[str], window: str) -> tuple[str, ...]:
    """Return what a retraining learns from whose data ends where a window begins.

    Args:
        declaration: of the model.
        labelled: windows with a batch and labels, oldest first.
        window: only labels that could be trusted when it began count.

    Raises:
        TrainingError: too few windows had mature labels for a training.

    """
    begins = declaration.windows.begins(window)
    mature = [one for one in labelled if one < window and declaration.matures(one) <= begins]
    return declared_frame(declaration, mature).windows


def chosen(windows: Sequence[str], seed: int) -> list[str]:
    """Return the windows that a twin reads: of very many, some, the same ones for every twin."""
    if len(windows) <= MOST_WINDOWS:
        return list(windows)
    by_chance = sorted(windows, key=lambda window: draws(window, 1, seed)[0])
    return sorted(by_chance[:MOST_WINDOWS])


def _counts(frames: Iterable[pl.LazyFrame], count: pl.Expr) -> list[int]:
    return [int(one.item()) for one in pl.collect_all([frame.select(count) for frame in frames])]
