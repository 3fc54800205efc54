"""What takes a second to find out: a training on made rows, and modules loaded at another time."""

from __future__ import annotations

import builtins
import datetime as dt
import importlib
import time
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import polars as pl
from polars.exceptions import PolarsError

from mlops_assets.checking.declared import Declared
from mlops_assets.checking.findings import Finding, in_module
from mlops_assets.declaration import Declaration, load
from mlops_assets.errors import FeatureError, TrainingError
from mlops_assets.features.expressions import code_version, kinds
from mlops_assets.features.row_by_row import opaque, shown, tried

ROWS = 64
_LATER = dt.timedelta(days=400)  # another day, month and year


def trial_problems(declaration: Declaration) -> list[Finding]:
    """Return what trying tells of a declaration in which nothing else is wrong."""
    declared = Declared(declaration)
    later = load_later(declaration.features)
    if not isinstance(later, Mapping):
        later = None
    # which of them the nodes don't tell: those are tried on rows
    untold = opaque(declared.features, declared.batch)
    return [
        *_training(declared),
        *(_another_day(declared, later, untold) if later is not None else ()),
        *(_made_rows(declared, later or {}, untold) if untold else ()),
    ]


def _training(declared: Declared) -> Iterator[Finding]:
    """Train one round with the declared parameters: LightGBM alone knows their bounds."""
    from mlops_assets.learning.training import train

    declaration = declared.declaration
    of = kinds(declared.feature_types, list(declared.features))
    places = pl.int_range(ROWS, eager=True)
    rows = pl.DataFrame(
        {
            **{
                name: places.cast(pl.String) if kind == "categorical" else places.cast(pl.Float64)
                for name, kind in of.items()
            },
            "target": places % 2,
        }
    )
    try:
        train(
            rows,
            features=list(of),
            target="target",
            parameters=declaration.training.parameters,
            rounds=1,
            seed=declaration.training.seed,
            task=declaration.task,
            threads=1,
        )
    except (TrainingError, FeatureError) as error:
        yield Finding(("training", "parameters"), str(error))


def _another_day(
    declared: Declared, later: Mapping[str, Any], untold: Collection[str]
) -> Iterator[Finding]:
    """Compare the expressions as of another day: those that chance or the clock made are others."""
    for name, one in declared.features.items():
        other = later.get(name)
        same = isinstance(other, pl.Expr) and code_version({name: one}) == code_version(
            {name: other}
        )
        if name not in untold and not same:
            yield Finding(
                ("features",),
                f"feature `{name}` is {shown(one)}: it is another one each time that its module is "
                "loaded, by chance or by the clock; a feature must follow from its own row alone",
                *in_module(declared.declaration.features, name),
            )


def _made_rows(
    declared: Declared, later: Mapping[str, Any], untold: Mapping[str, pl.Expr]
) -> Iterator[Finding]:
    """Try what nodes don't tell on rows made by the contract, where such can be made."""
    try:
        rows = load(declared.declaration.batches.contract).sample(ROWS)
    except Exception:  # noqa: BLE001 rules of any kind may make rows impossible; real ones will tell
        return
    for name, one in untold.items():
        other = later.get(name)
        try:
            found = tried(rows, {name: one}).get(name)
            if found is None and isinstance(other, pl.Expr):
                now, then = (rows.select(each.alias(name)) for each in (one, other))
                if not now.equals(then):
                    found = (
                        f"feature `{name}` is {shown(one)}: it gives other values on another day"
                    )
        except PolarsError:
            continue  # not made for such rows
        if found is not None:
            yield Finding(("features",), found, *in_module(declared.declaration.features, name))


def load_later(reference: str) -> Any:
    """Return what `package.module:NAME` names when its module runs again, 400 days later.

    Only the module itself is told another time, what it imports is not. None if it can't be run.
    """
    name, _, wanted = reference.partition(":")
    module = importlib.import_module(name)
    copy = ModuleType(name)
    told = {"datetime": _later_datetime(), "time": _later_time()}

    def imported(asked: str, *arguments: Any, **keywords: Any) -> Any:
        level = keywords.get("level", arguments[3] if len(arguments) > 3 else 0)
        if asked in told and not level:
            return told[asked]
        return builtins.__import__(asked, *arguments, **keywords)

    copy.__dict__.update(
        __file__=module.__file__,
        __package__=module.__package__,
        __builtins__={**vars(builtins), "__import__": imported},
    )
    try:
        source = Path(str(module.__file__)).read_text(encoding="utf-8")
        exec(compile(source, str(module.__file__), "exec"), copy.__dict__)  # noqa: S102 the project's own module, which was imported already
    except Exception:  # noqa: BLE001 it ran once: a second run that fails tells nothing
        return None
    return getattr(copy, wanted, None)


def _later_datetime() -> ModuleType:
    class Datetime(dt.datetime):
        @classmethod
        def now(cls, tz: dt.tzinfo | None = None) -> Any:
            return dt.datetime.now(tz) + _LATER

        @classmethod
        def utcnow(cls) -> Any:
            return dt.datetime.now(dt.UTC).replace(tzinfo=None) + _LATER

        @classmethod
        def today(cls) -> Any:
            return cls.now()

    class Date(dt.date):
        @classmethod
        def today(cls) -> Any:
            return dt.date.today() + _LATER  # noqa: DTZ011 as theirs, 400 days on

    later = ModuleType("datetime")
    later.__dict__.update(vars(dt))
    later.__dict__.update(datetime=Datetime, date=Date)
    return later


def _later_time() -> ModuleType:
    later = ModuleType("time")
    later.__dict__.update(vars(time))
    later.__dict__.update(
        time=lambda: time.time() + _LATER.total_seconds(),
        time_ns=lambda: time.time_ns() + int(_LATER.total_seconds()) * 10**9,
    )
    return later
