"""What can be known of a declaration without any data: its names, types, expressions, parameters."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import date, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any

import dataframely as dy
import polars as pl
from polars.exceptions import PolarsError

from mlops_assets import clock
from mlops_assets.checking import reserved
from mlops_assets.checking.findings import Field, Finding, in_module
from mlops_assets.declaration import Declaration, load
from mlops_assets.errors import (
    DeclarationError,
    FeatureError,
    MlopsError,
    TrainingError,
    UnknownNameError,
    did_you_mean,
)
from mlops_assets.features.expressions import compute
from mlops_assets.features.row_by_row import calls_python, refusals, shown
from mlops_assets.learning.parameters import problems as parameter_problems

_SEGMENTS = (pl.String, pl.Categorical, pl.Enum, pl.Boolean, pl.Date)
_SOON = 4  # windows before the last declared one


class Declared:
    """The named parts of a declaration, loaded; what is wrong with each is a finding."""

    def __init__(self, declaration: Declaration) -> None:
        """Load nothing yet: a part that can't be loaded keeps no other from being looked at."""
        self.declaration = declaration

    def problems(self) -> list[Finding]:
        """Return everything that is wrong, in the order of the declaration's fields."""
        parts = (
            self._contracts(),
            self._time(),
            self._key(),
            self._null_shares(),
            self._target(),
            self._features(),
            self._parameters(),
            self._drift(),
            self._kpi(),
        )
        return [finding for part in parts for finding in part]

    def warnings(self, root: Path) -> list[Finding]:
        """Return what is allowed and probably not meant.

        Args:
            root: the folder that relative folders of history stand below.

        """
        return [
            *self._ending(),
            *self._local_times(),
            *self._histories(root),
            *self._reference(),
            *self._left_out(),
        ]

    @cached_property
    def batch(self) -> dict[str, pl.DataType] | None:
        """The types of a batch's columns by the contract; None if that can't be loaded."""
        return _types(self._loaded[("batches", "contract")])

    @cached_property
    def labels(self) -> dict[str, pl.DataType] | None:
        """The types of the labels' columns."""
        return _types(self._loaded[("labels", "contract")])

    @cached_property
    def features(self) -> dict[str, pl.Expr]:
        """The declared expressions that are ones."""
        held = self._loaded[("features",)]
        if not isinstance(held, Mapping):
            return {}
        return {
            name: one
            for name, one in held.items()
            if isinstance(name, str) and isinstance(one, pl.Expr)
        }

    @cached_property
    def feature_types(self) -> dict[str, pl.DataType]:
        """The types of the features that can be computed."""
        found = {}
        for name, one in self.features.items():
            try:
                frame = pl.LazyFrame(schema=self.batch or {}).select(one.alias(name))
                found[name] = frame.collect().schema[name]
            except PolarsError:
                continue
        return found

    @cached_property
    def _references(self) -> dict[Field, str]:
        declared = self.declaration
        found: dict[Field, str] = {
            ("batches", "contract"): declared.batches.contract,
            ("labels", "contract"): declared.labels.contract,
            ("labels", "target"): declared.labels.target,
            ("features",): declared.features,
        }
        if declared.retraining.kpi:
            found["retraining", "kpi"] = declared.retraining.kpi
        return found

    @cached_property
    def _loaded(self) -> dict[Field, Any]:
        """What each reference names; the error where it names nothing."""
        found: dict[Field, Any] = {}
        for field, reference in self._references.items():
            try:
                found[field] = load(reference)
            except DeclarationError as error:
                found[field] = error
        return found

    def _in_module(self, field: Field, message: str, entry: str | None = None) -> Finding:
        """Return a finding at the line where what a reference names is defined."""
        return Finding(field, message, *in_module(self._references[field], entry))

    def _contracts(self) -> Iterator[Finding]:
        said = set()
        for field, held in self._loaded.items():
            if isinstance(held, DeclarationError):
                # a module that can't be imported is one fault, not one for each of its names
                text = str(held).partition(": ")[2] or str(held)
                if text not in said:
                    said.add(text)
                    yield Finding(field, str(held))
            elif field[-1] == "contract" and _types(held) is None:
                yield Finding(
                    field,
                    f"`{self._references[field]}` is {_a(held)}; it must be a dataframely schema",
                )

    def _time(self) -> Iterator[Finding]:
        time, zone = self.declaration.batches.time, self.declaration.windows.timezone
        for part, types in (("batches", self.batch), ("labels", self.labels)):
            if types is None:
                continue
            if time not in types:
                yield Finding(
                    ("batches", "time"),
                    f"the contract of the {part} has no column `{time}`{did_you_mean(time, types)}",
                )
                continue
            if problem := self._no_time(types[time]):
                yield self._in_module(
                    (part, "contract"),
                    f"the time column `{time}` {problem}; make it "
                    f'`dy.Datetime(time_zone="{zone}", time_unit="us")`',
                )

    def _no_time(self, held: pl.DataType) -> str:
        """Say why a column of a type tells no window; empty if it does, or only a file says it."""
        if held in (pl.Datetime, pl.Null):
            return ""
        if held == pl.Date:
            hourly = self.declaration.windows.every == "hour"
            return "is Date, which tells no hour" if hourly else ""
        return f"is {held}, no time"

    def _key(self) -> Iterator[Finding]:
        field: Field = ("batches", "key")
        key = self.declaration.batches.key
        for name, times in Counter(key).items():
            if times > 1:
                yield Finding(field, f"`{name}` is named {times} times; name it once")
            if name in reserved.KEYS:
                yield Finding(
                    field,
                    f"a key can't be called `{name}`: that is {reserved.KEYS[name]}; rename the "
                    "column in both contracts",
                )
            held = []
            for part, types in (("batches", self.batch), ("labels", self.labels)):
                if types is not None and name not in types:
                    yield Finding(
                        field,
                        f"the contract of the {part} has no column `{name}`"
                        f"{did_you_mean(name, types)}",
                    )
                elif types is not None:
                    held.append(types[name])
            if len(held) == 2 and not self._alike(name):
                yield self._in_module(
                    ("labels", "contract"),
                    f"the key column `{name}` is {held[1]} in the labels and {held[0]} in the "
                    "batches; they are joined by it, so make them alike",
                )
            if held and (held[0].is_nested() or held[0] == pl.Object):
                yield Finding(field, f"`{name}` is {held[0]}, which can't name a row")

    def _alike(self, name: str) -> bool:
        """Say whether a column of both contracts can be of one type: `dy.Integer` is of several."""
        batch, labels = (
            self._loaded[part, "contract"].columns()[name] for part in ("batches", "labels")
        )
        return bool(batch.validate_dtype(labels.dtype) or labels.validate_dtype(batch.dtype))

    def _null_shares(self) -> Iterator[Finding]:
        for name in self.declaration.batches.null_shares:
            if self.batch is not None and name not in self.batch:
                yield Finding(
                    ("batches", "null_shares", name),
                    f"the contract has no column `{name}`{did_you_mean(name, self.batch)}",
                )

    def _target(self) -> Iterator[Finding]:
        field: Field = ("labels", "target")
        target = self._loaded[field]
        if isinstance(target, DeclarationError):
            return
        if not isinstance(target, pl.Expr):
            yield self._in_module(
                field, f"`{self._references[field]}` is {_a(target)}, no Polars expression"
            )
            return
        if calls_python(target):
            yield self._of_python(field, "target", target)
            return
        if self.labels is None or _of_any_type(target, self.labels):
            return
        held = self._type_of(field, target.alias("target"), self.labels, "labels")
        if isinstance(held, Finding):
            yield held
            return
        binary = self.declaration.task == "binary"
        if held.is_numeric() or (binary and held == pl.Boolean):
            return
        allowed = "Boolean, or 0 and 1" if binary else "a finite number"
        yield self._in_module(
            field,
            f"the target is {held}; for the task {self.declaration.task} it must be {allowed}",
        )

    def _features(self) -> Iterator[Finding]:
        field: Field = ("features",)
        held = self._loaded[field]
        if isinstance(held, DeclarationError):
            return
        if not isinstance(held, Mapping):
            yield self._in_module(
                field,
                f"`{self._references[field]}` is {_a(held)}; it must be a dictionary: name -> "
                "Polars expression",
            )
            return
        if not held:
            yield self._in_module(field, "there are no features: declare one at least")
        for name, one in held.items():
            if message := self._feature(name, one):
                yield self._in_module(field, message, name if isinstance(name, str) else None)

    def _feature(self, name: Any, one: Any) -> str:
        """Say what is wrong with one feature; empty if nothing."""
        if not isinstance(name, str) or not name.strip():
            return f"a feature is called {name!r}; its name must be a text"
        if not isinstance(one, pl.Expr):
            return f"feature `{name}` is {_a(one)}, no Polars expression"
        if name in reserved.FEATURES:
            return (
                f"a feature can't be called `{name}`: that is {reserved.FEATURES[name]}; give it "
                "another name"
            )
        return self._computed(name, one) if self.batch is not None else ""

    def _computed(self, name: str, one: pl.Expr) -> str:
        """Say why a feature can't be computed on a batch of the contract; empty if it can."""
        types = self.batch or {}
        if _of_any_type(one, types):
            return refusals({name: one}).get(name, "")
        key = [column for column in self.declaration.batches.key if column in types]
        try:
            compute(pl.LazyFrame(schema=types), {name: one}, key=key)
        except FeatureError as error:
            said = str(error).replace("the features can't be computed", "it can't be computed")
            return said if f"`{name}`" in said else f"feature `{name}`: {said}"
        return ""

    def _parameters(self) -> Iterator[Finding]:
        try:
            found = parameter_problems(self.declaration.training.parameters)
        except (TrainingError, OSError) as error:
            yield Finding(("training", "parameters"), str(error))
            return
        for name, message in found.items():
            yield Finding(("training", "parameters", name), message)

    def _drift(self) -> Iterator[Finding]:
        drift = self.declaration.drift
        if self.features:
            for part in ("leave_out", "segments"):
                for place, name in enumerate(getattr(drift, part)):
                    if name not in self.features:
                        hint = did_you_mean(name, self.features)
                        yield Finding(("drift", part, place), f"no feature `{name}`{hint}")
        for place, name in enumerate(drift.segments):
            held = self.feature_types.get(name)
            if held is not None and not (held.is_integer() or held in _SEGMENTS):
                yield Finding(
                    ("drift", "segments", place),
                    f"feature `{name}` is {held}: segments are made by texts, categories, whole "
                    "numbers or booleans",
                )

    def _kpi(self) -> Iterator[Finding]:
        field: Field = ("retraining", "kpi")
        kpi = self._loaded.get(field)
        if kpi is None or isinstance(kpi, DeclarationError):
            return
        if not isinstance(kpi, pl.Expr):
            yield self._in_module(
                field, f"`{self._references[field]}` is {_a(kpi)}, no Polars expression"
            )
            return
        if calls_python(kpi):
            yield self._of_python(field, "KPI", kpi)
            return
        target = self._loaded["labels", "target"]
        if self.batch is None or self.labels is None or not isinstance(target, pl.Expr):
            return
        try:
            outcome = pl.LazyFrame(schema=self.labels).select(target.alias("target"))
            types = {**self.feature_types, "score": pl.Float64(), **outcome.collect_schema()}
        except PolarsError:
            return  # said of the target
        if _of_any_type(kpi, types):
            return
        held = self._type_of(field, kpi.alias("money"), types, "features, `score` and `target`")
        if isinstance(held, Finding):
            yield held
        elif not held.is_numeric():
            yield self._in_module(field, f"the KPI is {held}; it must be money per row, a number")

    def _of_python(self, field: Field, name: str, expression: pl.Expr) -> Finding:
        return self._in_module(
            field,
            f"the {name} is {shown(expression)}, which calls a function of Python; write it as an "
            "expression of Polars alone: what a function does now can't be told from what it did "
            "before, and figures of both would be taken for the same",
        )

    def _type_of(
        self, field: Field, expression: pl.Expr, types: Mapping[str, pl.DataType], where: str
    ) -> pl.DataType | Finding:
        for root in expression.meta.root_names():
            if root not in types:
                return self._in_module(
                    field, f"no column `{root}` in the {where}{did_you_mean(root, types)}"
                )
        try:
            frame = pl.LazyFrame(schema=dict(types)).select(expression).collect()
        except PolarsError as error:
            return self._in_module(field, f"it can't be computed: {str(error).splitlines()[0]}")
        return frame.dtypes[0]

    def _ending(self) -> Iterator[Finding]:
        windows = self.declaration.windows
        if windows.end is None:
            return
        length = timedelta(days=365.25 / windows.per_year)
        if date.fromisoformat(windows.end) < (clock.now() + _SOON * length).date():
            yield Finding(
                ("windows", "end"),
                f"nothing lands from {windows.end} on: move it later, or leave it out",
            )

    def _local_times(self) -> Iterator[Finding]:
        time, windows = self.declaration.batches.time, self.declaration.windows
        for part, types in (("batches", self.batch), ("labels", self.labels)):
            held = (types or {}).get(time)
            if held == pl.Date:
                what = f"is Date: each row is of the midnight in {windows.timezone} that begins it"
            elif isinstance(held, pl.Datetime) and held.time_zone is None:
                what = f"has no zone: it is taken as the local time of {windows.timezone}"
            else:
                continue
            yield self._in_module((part, "contract"), f"the time column `{time}` {what}")

    def _histories(self, root: Path) -> Iterator[Finding]:
        for part in ("batches", "labels"):
            folder = getattr(self.declaration, part).history
            if folder is not None and not (root / folder).is_dir():
                yield Finding((part, "history"), f"there is no folder {root / folder}")

    def _reference(self) -> Iterator[Finding]:
        for part in ("reference_from", "reference_until"):
            window = getattr(self.declaration.drift, part)
            try:
                if window is not None:
                    self.declaration.windows.begins(window)
            except UnknownNameError as error:
                yield Finding(("drift", part), str(error))

    def _left_out(self) -> Iterator[Finding]:
        if self.features and set(self.features) <= set(self.declaration.drift.leave_out):
            yield Finding(
                ("drift", "leave_out"), "every feature is left out: drift is never judged"
            )


def declared_problems(declaration: Declaration) -> list[Finding]:
    """Return what is wrong with a declaration, as far as can be known without data.

    An error of ours that none of the checks turned into a finding is one too.
    """
    try:
        return Declared(declaration).problems()
    except MlopsError as error:
        return [Finding((), str(error))]


def _types(contract: Any) -> dict[str, pl.DataType] | None:
    if not (isinstance(contract, type) and issubclass(contract, dy.Schema)):
        return None
    return {name: column.dtype for name, column in contract.columns().items()}


def _of_any_type(expression: pl.Expr, types: Mapping[str, pl.DataType]) -> bool:
    """Say whether it stands on a column of `dy.Any`, whose type only a file tells."""
    return any(types.get(root) == pl.Null for root in expression.meta.root_names())


def _a(value: Any) -> str:
    if isinstance(value, type):
        return f"the class {value.__name__}"
    kind = type(value).__name__
    return f"{'an' if kind[0] in 'aeiouAEIOU' else 'a'} {kind}"
