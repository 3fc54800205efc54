"""Whether an expression gives a row the same value whatever other rows stand beside it.

What is declared is computed on a whole batch here and on a single row online, so each value has
to follow from its own row alone. Most expressions are proven by their nodes, against a closed
list; what nodes can't tell (Python functions, what a later Polars brings) is tried on rows.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import polars as pl
from polars.exceptions import PolarsError
from polars.testing import assert_series_equal

from mlops_assets.words import counted

#: functions of Polars that look at one row only, as an expression's JSON names them
_ROW_WISE = """
    Abs AsStruct Atan2 Ceil Clip Coalesce ConcatExpr Cut Erf Erfc Exp Expm1 FillNull Floor
    Hash Log Log1p Negate RepeatBy Replace ReplaceStrict Round RoundSF SetSortedFlag Sign Truncate
    MaxHorizontal MinHorizontal SumHorizontal MeanHorizontal RowEncode
    Reinterpret ToPhysical LowerBound UpperBound
    ExtractExpr.Hash
    Bitwise.CountOnes Bitwise.CountZeros Bitwise.LeadingOnes Bitwise.LeadingZeros
    Bitwise.TrailingOnes Bitwise.TrailingZeros
    Boolean.IsBetween Boolean.IsClose Boolean.IsFinite Boolean.IsIn Boolean.IsInfinite Boolean.IsNan
    Boolean.IsNotNan Boolean.IsNotNull Boolean.IsNull Boolean.Not Boolean.AllHorizontal
    Boolean.AnyHorizontal
    Business.AddBusinessDay Business.BusinessDayCount Business.IsBusinessDay
    Categorical.EndsWith Categorical.LenBytes Categorical.LenChars Categorical.Slice
    Categorical.StartsWith
    Pow.Cbrt Pow.Generic Pow.Sqrt
    Range.DateRanges Range.DatetimeRanges Range.IntRanges Range.LinearSpaces Range.TimeRanges
    StringExpr.ConcatHorizontal StringExpr.Format StringExpr.Strptime
    StringExpr.Contains StringExpr.ContainsAny StringExpr.CountMatches StringExpr.EndsWith
    StringExpr.EscapeRegex StringExpr.Extract StringExpr.ExtractAll StringExpr.ExtractGroups
    StringExpr.ExtractMany StringExpr.Find StringExpr.FindMany StringExpr.Head StringExpr.HexDecode
    StringExpr.HexEncode StringExpr.Base64Decode StringExpr.Base64Encode StringExpr.JsonDecode
    StringExpr.JsonPathMatch StringExpr.LenBytes StringExpr.LenChars StringExpr.Lowercase
    StringExpr.Normalize StringExpr.PadEnd StringExpr.PadStart StringExpr.Replace
    StringExpr.ReplaceMany StringExpr.Reverse StringExpr.Slice StringExpr.Split
    StringExpr.SplitExact StringExpr.SplitN StringExpr.SplitRegex StringExpr.StartsWith
    StringExpr.StripChars StringExpr.StripCharsEnd StringExpr.StripCharsStart
    StringExpr.StripPrefix StringExpr.StripSuffix StringExpr.Tail StringExpr.Titlecase
    StringExpr.ToDecimal StringExpr.ToInteger StringExpr.Uppercase StringExpr.ZFill
    StructExpr.FieldByName StructExpr.FieldByIndex StructExpr.JsonEncode StructExpr.RenameFields
    StructExpr.PrefixFields StructExpr.SuffixFields StructExpr.SelectFields StructExpr.WithFields
"""
#: namespaces all of whose functions do, but those after them
ROW_WISE_SPACES: Mapping[str, frozenset[str]] = {
    "ArrayExpr": frozenset({"Explode"}),
    "BinaryExpr": frozenset(),
    "ListExpr": frozenset({"Sample", "Explode"}),
    "TemporalExpr": frozenset(),
    "Trigonometry": frozenset(),
}
#: functions of Polars that look at other rows, or at chance
_OF_THE_BATCH = """
    Append ApproxNUnique ApproxQuantile ArgMax ArgMin ArgSort ArgUnique ArgWhere Bitwise.And
    Bitwise.Or Bitwise.Xor Boolean.All Boolean.Any Boolean.HasNulls Boolean.IsDuplicated
    Boolean.IsEmpty Boolean.IsFirstDistinct Boolean.IsLastDistinct Boolean.IsSorted Boolean.IsUnique
    Categorical.GetCategories Correlation CumCount CumMax CumMin CumProd CumSum Diff DropNans
    DropNulls Entropy Ewm EwmMean EwmMeanBy EwmStd EwmVar ExtendConstant Gather GatherEvery Hist
    IndexOf Interpolate InterpolateBy Kurtosis ListExpr.Explode ListExpr.Sample ArrayExpr.Explode
    MaxBy MinBy Mode NullCount PctChange PeakMax PeakMin Product QCut Quantile RLE RLEID Rank Repeat
    Reshape Reverse SearchSorted Shift ShiftAndFill Skew StringExpr.ConcatVertical TopK TopKBy
    Unique UniqueCounts ValueCounts
"""
#: spaces of which every function does
_SPACES_OF_THE_BATCH = ("RollingExpr.", "RollingExprBy.", "Range.")
#: functions whose further arguments may be columns of constants: a list to look values up in
_LOOK_UP = ("Boolean.IsIn", "Replace", "ReplaceStrict", "StringExpr.", "Business.")
ROW_WISE = frozenset(_ROW_WISE.split())
OF_THE_BATCH = frozenset(_OF_THE_BATCH.split())
#: nodes whose parts decide
_THROUGH = frozenset(
    {"Alias", "KeepName", "RenameAlias", "BinaryExpr", "Ternary", "Cast", "StructEval"}
)
#: nodes that look at other rows whatever stands in them
_OTHERS = frozenset(
    {"Over", "Rolling", "Gather", "Slice", "Filter", "Sort", "SortBy", "Explode", "Len"}
)
_LEAVES = frozenset({"Column", "Selector", "Field", "Element", "StructField"})
_WORDS = {"QCut": "qcut"}
_CHANCE = "it is drawn by chance, so that the same row gets another value each time"
_MOST_SHOWN = 100  # characters of an expression in a message


@dataclass(frozen=True, slots=True)
class Judgement:
    """What an expression's nodes tell.

    Attributes:
        reason: why a value follows from other rows too; empty where it does not.
        opaque: whether there is a node that tells nothing, so that rows have to be tried.

    """

    reason: str = ""
    opaque: bool = False


def judge(expression: pl.Expr, schema: Mapping[str, pl.DataType] | None = None) -> Judgement:
    """Say whether an expression is row by row, from its nodes.

    Args:
        expression: of one feature.
        schema: the columns that it stands on, by which some nodes are told apart
            (``is_in`` a list, or another column); without it they are opaque.

    """
    try:
        tree = json.loads(expression.meta.serialize(format="json"))
    except (PolarsError, ValueError):  # a plugin, or a function that can't be written down
        return Judgement(opaque=True)
    return _Judge(schema).of(tree)


def shown(expression: pl.Expr) -> str:
    """Return an expression as Polars prints it, on one line, not too long."""
    text = re.sub(r"\s+", " ", str(expression)).strip()
    return text if len(text) <= _MOST_SHOWN else text[: _MOST_SHOWN - 1] + "..."


def refusals(
    features: Mapping[str, pl.Expr], schema: Mapping[str, pl.DataType] | None = None
) -> dict[str, str]:
    """Return feature -> one sentence on why it is refused, of those that look at other rows."""
    found = {}
    for name, expression in features.items():
        if reason := judge(expression, schema).reason:
            found[name] = f"feature `{name}` is {shown(expression)}: {reason}"
    return found


def opaque(
    features: Mapping[str, pl.Expr], schema: Mapping[str, pl.DataType] | None = None
) -> dict[str, pl.Expr]:
    """Return the features of which nodes don't tell all: they are to be tried on rows."""
    return {name: one for name, one in features.items() if judge(one, schema).opaque}


def calls_python(expression: pl.Expr) -> bool:
    """Say whether an expression calls a Python function, of which its JSON tells no more than a name.

    One that can't be written down at all counts as such.
    """
    try:
        return _has_python(json.loads(expression.meta.serialize(format="json")))
    except (PolarsError, ValueError):
        return True


def tried(rows: pl.DataFrame, features: Mapping[str, pl.Expr], most: int = 8) -> dict[str, str]:
    """Compute rows together, alone and in another order; return what differs.

    Args:
        rows: a sample of a batch.
        features: those to be tried.
        most: so many rows are computed alone, spread over the sample.

    Returns: feature -> one sentence, of those that give a row another value beside other rows.

    Raises:
        PolarsError: an expression fails on these rows.

    """
    if rows.height < 2:
        return {}
    found = {}
    step = max(1, rows.height // most)
    places = list(range(0, rows.height, step))[:most]
    for name, expression in features.items():
        one = expression.alias(name)
        whole = rows.select(one).to_series()
        if len(whole) != rows.height and len(whole) != 1:
            difference = (
                f"it gives {counted(len(whole), 'value')} for {counted(rows.height, 'row')}"
            )
        elif not _same(rows.reverse().select(one).to_series().reverse(), whole):
            difference = "the same rows in another order get other values"
        elif not _same(rows.select(one).to_series(), whole):
            difference = "the same rows get other values a second time"
        else:
            alone = (place for place in places if not _alike(rows, one, whole, place))
            place = next(alone, None)
            if place is None:
                continue
            value = rows[place].select(one).to_series()
            difference = (
                f"a row gets {_value(whole, place)} in its batch and {_value(value, 0)} alone"
            )
        found[name] = (
            f"feature `{name}` is {shown(expression)}: {difference}; a feature must follow from its "
            "own row alone"
        )
    return found


def _alike(rows: pl.DataFrame, one: pl.Expr, whole: pl.Series, place: int) -> bool:
    at = place if len(whole) == rows.height else 0
    return _same(rows[place].select(one).to_series(), whole[at : at + 1])


def _same(left: pl.Series, right: pl.Series) -> bool:
    try:
        # not to the bit: sums of parts of a vector may be added in another order
        assert_series_equal(left, right, check_dtypes=False, categorical_as_str=True)
    except AssertionError:
        return False
    return True


def _value(series: pl.Series, place: int) -> str:
    if place >= len(series):
        return "nothing"
    value = series[place]
    return f"{value:.6g}" if isinstance(value, float) else str(value)


class _Judge:
    """Walks the JSON of an expression; the first thing found decides."""

    def __init__(self, schema: Mapping[str, pl.DataType] | None) -> None:
        self._schema = schema
        self._opaque = False

    def of(self, tree: Any) -> Judgement:
        reason = next(self._reasons(tree), "")
        return Judgement(reason, self._opaque)

    def _reasons(self, node: Any) -> Iterator[str]:
        kind, body = (node, None) if isinstance(node, str) else next(iter(node.items()))
        if kind in _OTHERS:
            yield _looks(_word(kind))
        elif kind in _THROUGH:
            yield from self._parts(body)
        elif kind in self._kinds:
            yield from self._kinds[kind](self, body)
        elif kind not in _LEAVES:
            self._opaque = True
            yield from self._parts(body)

    def _literal(self, body: Any) -> Iterator[str]:
        if isinstance(body, Mapping) and "Series" in body and self._height({"Literal": body}) != 1:
            yield "it holds a column of constants, which fits batches of one length only"

    def _aggregation(self, body: Any) -> Iterator[str]:
        if _has_columns(body) or self._height({"Agg": body}) != 1:  # of constants: a constant
            yield _looks(_word(next(iter(body)) if isinstance(body, Mapping) else str(body)))

    def _python(self, body: Mapping[str, Any]) -> Iterator[str]:
        self._opaque = True
        for part in body.get("input", ()):
            yield from self._reasons(part)

    def _evaluation(self, body: Mapping[str, Any]) -> Iterator[str]:
        yield from self._reasons(body["expr"])
        variant = body["variant"]
        if "Cumulative" in variant:
            yield _looks("cumulative_eval")
        elif not str(variant if isinstance(variant, str) else next(iter(variant))).startswith(
            ("List", "Array")
        ):
            self._opaque = True
        # what is done to the values of a list is done within one row
        yield from self._chance(body["evaluation"])

    def _parts(self, body: Any) -> Iterator[str]:
        """Look at every expression below a node that only passes on."""
        if isinstance(body, list):
            for part in body:
                yield from self._parts(part)
        elif body == "Len":
            yield _looks("len")
        elif isinstance(body, Mapping) and len(body) == 1 and next(iter(body))[:1].isupper():
            yield from self._reasons(body)
        elif isinstance(body, Mapping):
            for name, part in body.items():
                if name not in ("op", "dtype", "options", "name", "function"):
                    yield from self._parts(part)

    def _function(self, body: Mapping[str, Any]) -> Iterator[str]:
        name, options = _named(body["function"])
        inputs = body.get("input", [])
        if name in self._functions:
            yield from self._functions[name](self, inputs, options)
        elif name.startswith("Random.") or name == "ListExpr.Sample":
            yield _CHANCE
        elif name in OF_THE_BATCH or (
            name.startswith(_SPACES_OF_THE_BATCH) and name not in ROW_WISE
        ):
            yield _looks(_word(name))
        elif not _is_row_wise(name):
            self._opaque = True
        for place, part in enumerate(inputs):
            if place and name.startswith(_LOOK_UP) and not _has_columns(part):
                continue  # values to look up: how many there are says nothing of the batch
            yield from self._reasons(part)

    def _fill(self, _inputs: Any, options: Any) -> Iterator[str]:
        strategy = options if isinstance(options, str) else next(iter(options))
        if strategy not in ("Zero", "One", "MaxBound", "MinBound"):
            yield _looks(f'fill_null(strategy="{strategy.lower()}")')

    def _parse(self, _inputs: Any, options: Any) -> Iterator[str]:
        held = [one for one in options or () if isinstance(one, Mapping) and "format" in one]
        if held and held[0]["format"] is None:
            yield (
                "a time without a format is read as the first one in the batch is; give the "
                'format, as in `.str.to_datetime("%Y-%m-%d %H:%M:%S")`'
            )

    def _number(self, inputs: Any, _options: Any) -> Iterator[str]:
        held = self._kind(inputs[0])
        if held is None:
            self._opaque = True
        elif held == pl.Categorical:
            yield "the number of a category depends on which came first; cast it to an Enum"

    def _look_up(self, inputs: Any, _options: Any) -> Iterator[str]:
        if not _has_columns(inputs[1]):
            return
        held = self._kind(inputs[1])
        if held is None:
            self._opaque = True
        elif not isinstance(held, (pl.List, pl.Array)):
            yield _looks("is_in")

    def _chance(self, node: Any) -> Iterator[str]:
        """Find what is drawn by chance, or can't be told, where all else is allowed."""
        if isinstance(node, Mapping):
            for kind, body in node.items():
                if kind == "AnonymousFunction":
                    self._opaque = True
                elif kind == "Function" and _named(body["function"])[0].startswith("Random"):
                    yield _CHANCE
                elif kind not in ("Literal", "function"):
                    yield from self._chance(body)
        elif isinstance(node, list):
            for part in node:
                yield from self._chance(part)

    _kinds: ClassVar[Mapping[str, Callable[[_Judge, Any], Iterator[str]]]] = {
        "Literal": _literal,
        "Agg": _aggregation,
        "Function": _function,
        "AnonymousFunction": _python,
        "Eval": _evaluation,
    }
    _functions: ClassVar[Mapping[str, Callable[[_Judge, Any, Any], Iterator[str]]]] = {
        "FillNullWithStrategy": _fill,
        "StringExpr.Strptime": _parse,
        "ToPhysical": _number,
        "Boolean.IsIn": _look_up,
    }

    def _kind(self, node: Any) -> pl.DataType | None:
        """Return the dtype of a part of the expression, where the columns are known."""
        if self._schema is None:
            return None
        try:
            part = pl.Expr.deserialize(json.dumps(node).encode(), format="json")
            return pl.LazyFrame(schema=dict(self._schema)).select(part).collect_schema().dtypes()[0]
        except (PolarsError, ValueError):
            return None

    def _height(self, node: Any) -> int | None:
        try:
            return pl.select(pl.Expr.deserialize(json.dumps(node).encode(), format="json")).height
        except (PolarsError, ValueError):
            return None


def _named(function: Any) -> tuple[str, Any]:
    """Return a function's name, its space before it, and its options."""
    if isinstance(function, str):
        return function, None
    ((name, inner),) = function.items()
    spaced = name.endswith(("Expr", "ExprBy")) or name in (
        "Bitwise",
        "Boolean",
        "Business",
        "Categorical",
        "Pow",
        "Random",
        "Range",
        "Trigonometry",
    )
    if not spaced:
        return name, inner
    if isinstance(inner, str):
        return f"{name}.{inner}", None
    if name in ("Random", "RollingExpr", "RollingExprBy"):
        which = inner.get("method") or inner.get("function") or inner.get("function_by") or ""
        return f"{name}.{which if isinstance(which, str) else next(iter(which))}", inner
    member, options = next(iter(inner.items()))
    return f"{name}.{member}", options


def _is_row_wise(name: str) -> bool:
    space, _, member = name.partition(".")
    return name in ROW_WISE or (space in ROW_WISE_SPACES and member not in ROW_WISE_SPACES[space])


def _has_columns(node: Any) -> bool:
    if isinstance(node, str):
        return node in ("Len", "Element")
    if isinstance(node, Mapping):
        return any(
            kind in ("Column", "Selector", "Field", "AnonymousFunction", "Random")
            or (kind != "Literal" and _has_columns(body))
            for kind, body in node.items()
        )
    return isinstance(node, list) and any(map(_has_columns, node))


def _has_python(node: Any) -> bool:
    if isinstance(node, Mapping):
        return any(
            kind == "callback"  # of a fold
            or kind.startswith("Anonymous")
            or (kind not in ("Literal", "Column") and _has_python(body))
            for kind, body in node.items()
        )
    return isinstance(node, list) and any(map(_has_python, node))


def _word(name: str) -> str:
    """Return a node's name as the method of an expression is called."""
    space, _, member = name.partition(".")
    if name in _WORDS:
        return _WORDS[name]
    word = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", member or space).lower()
    return f"rolling_{word}" if space.startswith("Rolling") else word


def _looks(word: str) -> str:
    return f"`{word}` looks at other rows of the batch, so that a row alone gets another value"
