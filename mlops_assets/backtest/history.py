"""A history as a policy would have met it: windows in order, their rows, and when labels were known."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory

import polars as pl

from mlops_assets.batches.checks import Beside
from mlops_assets.batches.landing import KINDS, MAIN, Kind, audit, open_as
from mlops_assets.batches.maturity import LandedWindows, landed_windows
from mlops_assets.batches.objects import scan
from mlops_assets.batches.reading import scan as scan_file
from mlops_assets.decisions.attempts import MONTH
from mlops_assets.decisions.learnable import Labelled
from mlops_assets.declaration import Declaration, load
from mlops_assets.errors import BatchRefusedError, DeclarationError
from mlops_assets.features.expressions import compute
from mlops_assets.learning.training_set import TARGET
from mlops_assets.versions import Repository

WINDOW = "window"


@dataclass(frozen=True)
class History:
    """Windows with their features and labels, as files in a folder of their own.

    Attributes:
        declaration: of the model.
        folder: one Parquet file for each window: key columns, features and target, by key.
        windows: those with a batch, oldest first.
        labelled: those with labels too.
        refused: what did not pass its checks, and why.

    """

    declaration: Declaration
    folder: Path
    windows: tuple[str, ...]
    labelled: frozenset[str]
    refused: tuple[str, ...] = ()
    _landed: dict[str, LandedWindows] = field(default_factory=dict, repr=False)
    _counts: dict[str, Labelled] = field(default_factory=dict, repr=False)

    def rows(self, windows: Sequence[str]) -> pl.DataFrame:
        """Return the rows of some windows, in order, as a training set has them."""
        frames = [
            scan_file(self.folder / f"{window}.parquet").select(
                pl.lit(window).alias(WINDOW), pl.all()
            )
            for window in windows
        ]
        return pl.concat(frames).collect(engine="streaming")

    def labels_of(self, window: str) -> Labelled:
        """Count a window's labels, once."""
        if window not in self._counts:
            target = pl.col(TARGET)
            frame = scan_file(self.folder / f"{window}.parquet")
            rows, total = (
                frame.select(target.count(), target.cast(pl.Float64).sum().alias("sum"))
                .collect(engine="streaming")
                .row(0)
            )
            classes = self.declaration.task == "binary"
            self._counts[window] = Labelled(rows, int(total) if classes else None)
        return self._counts[window]

    @cached_property
    def features(self) -> tuple[str, ...]:
        """The names of the features, in the model's order."""
        return tuple(load(self.declaration.features))

    def landed(self, newest: str) -> LandedWindows:
        """Return what had landed, and matured, when `newest` was the newest window."""
        if newest not in self._landed:
            self._landed[newest] = self._landed_at(newest)
        return self._landed[newest]

    def _landed_at(self, newest: str) -> LandedWindows:
        batches = tuple(window for window in self.windows if window <= newest)
        now = self.declaration.windows.ends(newest)
        mature = tuple(
            window
            for window in batches
            if window in self.labelled and self.declaration.matures(window) <= now
        )
        labels = tuple(window for window in batches if window in self.labelled)
        return LandedWindows(batches, labels, mature, now)

    def months(self, window: str) -> float:
        """Return the window's length in months."""
        windows = self.declaration.windows
        return (windows.ends(window) - windows.begins(window)) / MONTH


@contextmanager
def gathered(
    declaration: Declaration,
    repository: Repository | None,
    files: Mapping[str, Mapping[Kind, Path]],
    since: str | None = None,
    until: str | None = None,
) -> Iterator[History]:
    """Bring a history together: what landed on main, and files of windows that did not yet.

    What landed is taken as it is now, corrections included. Files are checked as a landing is;
    what does not pass is left out.

    Args:
        declaration: of the model.
        repository: whose main is read; None: there is none yet.
        files: window -> kind -> file, of the declared history.
        since: first window.
        until: last window.

    Raises:
        DeclarationError: there is no window at all.
        MlopsError: the declared features or the target don't fit.

    """
    with TemporaryDirectory(prefix="mlops-backtest-") as folder:
        refused: list[str] = []
        parts: dict[Kind, dict[str, pl.LazyFrame]] = {}
        for kind in KINDS:  # the batches first: labels are checked with them
            batches = parts.get("batches", {})
            on_main = _from_main(declaration, kind, repository)
            of_files = _from_files(declaration, kind, files, batches, refused)
            parts[kind] = {**of_files, **on_main}
        windows = tuple(
            window
            for window in sorted(parts["batches"])
            if (since is None or window >= since) and (until is None or window <= until)
        )
        if not windows:
            raise DeclarationError(
                f"{declaration.name}: no history to play; `mlops import` brings one in, or "
                "batches.history and labels.history name folders of files such as "
                f"{declaration.windows.start}.parquet"
            )
        for window in windows:
            frame = _joined(declaration, parts["batches"][window], parts["labels"].get(window))
            frame.collect(engine="streaming").write_parquet(Path(folder) / f"{window}.parquet")
        labelled = frozenset(window for window in windows if window in parts["labels"])
        yield History(declaration, Path(folder), windows, labelled, tuple(refused))


def _from_main(
    declaration: Declaration, kind: Kind, repository: Repository | None
) -> dict[str, pl.LazyFrame]:
    if repository is None:
        return {}
    commit = repository.resolve(MAIN)
    landed = landed_windows(repository, declaration, commit)
    return {
        window: scan(repository, commit, declaration.path(kind, window))
        for window in (landed.batches if kind == "batches" else landed.labels)
    }


def _from_files(
    declaration: Declaration,
    kind: Kind,
    files: Mapping[str, Mapping[Kind, Path]],
    batches: Mapping[str, pl.LazyFrame],
    refused: list[str],
) -> dict[str, pl.LazyFrame]:
    found = {}
    least = declaration.labels.min_matched_share
    for window, kinds in files.items():
        if kind in kinds:
            try:
                frame = open_as(declaration, kind, kinds[kind]).frame
            except BatchRefusedError as error:
                refused.append(f"{kind} of {window}: {error}")
                continue
            beside = Beside(batch=batches.get(window), min_matched_share=least)
            report = audit(declaration, kind, window, frame, beside)
            if report.passed:
                found[window] = frame
            else:
                refused.append(f"{kind} of {window}: {'; '.join(report.problems)}")
    return found


def _joined(
    declaration: Declaration, batch: pl.LazyFrame, labels: pl.LazyFrame | None
) -> pl.LazyFrame:
    keys = declaration.batches.key
    # in the order of their key, as the asset stores them: another order is another model
    features = compute(batch, load(declaration.features), key=keys).sort(keys)
    if labels is None:
        return features.with_columns(pl.lit(None).alias(TARGET))
    target = load(declaration.labels.target).alias(TARGET)
    return features.join(labels.select(*keys, target), on=keys, how="left", maintain_order="left")
