"""How features become the numbers that a model sees, learnt from the training rows alone."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import polars as pl
from numpy.typing import NDArray

from mlops_assets.errors import FeatureError, TrainingError, did_you_mean


@dataclass(frozen=True, slots=True)
class Feature:
    """One column of the matrix; `categories` is None for a number, else sorted."""

    name: str
    categories: tuple[str, ...] | None = None

    @property
    def kind(self) -> str:
        """Return "numeric" or "categorical"."""
        return "numeric" if self.categories is None else "categorical"


@dataclass(frozen=True, slots=True)
class Encoding:
    """The features in the model's order, and the categories that the training rows held."""

    features: tuple[Feature, ...]

    @classmethod
    def fit(cls, frame: pl.DataFrame, features: Sequence[str]) -> Self:
        """Learn kinds and categories from the training rows; their order does not matter.

        Booleans and numbers are numeric; String, Categorical and Enum are categorical.

        Raises:
            TrainingError: no feature is named, or one is named twice.
            FeatureError: a feature is not a column, or its dtype is neither kind.
        """
        if not features:
            raise TrainingError("no features: name at least one column to learn from")
        if twice := sorted({name for name in features if list(features).count(name) > 1}):
            raise TrainingError(f"feature `{twice[0]}` is named twice; name each once")
        schema = frame.schema
        _require(features, schema.names())
        learnt = []
        for name in features:
            if _is_categorical(schema[name]):
                values = frame.get_column(name).cast(pl.String).unique().drop_nulls().sort()
                learnt.append(Feature(name, tuple(values.to_list())))
            elif _is_numeric(schema[name]):
                learnt.append(Feature(name))
            else:
                raise FeatureError(
                    f"feature `{name}` is {schema[name]}, which a model can't learn from;"
                    " declare a number, a boolean or a string made of it"
                )
        return cls(tuple(learnt))

    @property
    def names(self) -> tuple[str, ...]:
        """The features' names, in the order of the matrix."""
        return tuple(feature.name for feature in self.features)

    @property
    def categorical(self) -> tuple[int, ...]:
        """The matrix columns that hold category codes."""
        return tuple(i for i, feature in enumerate(self.features) if feature.kind == "categorical")

    def matrix(self, frame: pl.DataFrame) -> NDArray[np.float32]:
        """Return the frame as float32 of shape (rows, features), columns contiguous.

        A category becomes its place among the learnt ones; null and unseen become NaN.

        Raises:
            FeatureError: a feature is missing, or no longer of the kind that was learnt.
        """
        schema = frame.schema
        _require(self.names, schema.names())
        columns = [_column(feature, schema[feature.name]) for feature in self.features]
        encoded: NDArray[np.float32] = frame.select(columns).to_numpy(order="fortran")
        return encoded

    def to_json(self) -> str:
        """Return a stable text: the same encoding gives the same bytes."""
        features = [
            {"name": feature.name, "kind": feature.kind}
            | ({} if feature.categories is None else {"categories": feature.categories})
            for feature in self.features
        ]
        return json.dumps({"features": features}, ensure_ascii=False, indent=1) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read what `to_json` wrote.

        Raises:
            TrainingError: the text is not an encoding.
        """
        try:
            return cls(
                tuple(
                    Feature(
                        str(item["name"]),
                        tuple(map(str, item["categories"]))
                        if item["kind"] == "categorical"
                        else None,
                    )
                    for item in json.loads(text)["features"]
                )
            )
        except (ValueError, KeyError, TypeError) as error:
            raise TrainingError(
                f"not an encoding ({error}); the model's folder is damaged: fetch it again"
            ) from error


def _column(feature: Feature, dtype: pl.DataType) -> pl.Expr:
    column = pl.col(feature.name)
    if dtype == pl.Null:  # a window in which nothing was recorded fits either kind
        return column.cast(pl.Float32)
    if feature.categories is None:
        if not _is_numeric(dtype):
            raise _changed(feature, dtype)
        return column.cast(pl.Float32)
    if not _is_categorical(dtype):
        raise _changed(feature, dtype)
    known = pl.Enum(feature.categories)
    # not strict: what the training rows never held becomes null, hence NaN
    return column.cast(pl.String).cast(known, strict=False).to_physical().cast(pl.Float32)


def _changed(feature: Feature, dtype: pl.DataType) -> FeatureError:
    return FeatureError(
        f"feature `{feature.name}` was {feature.kind} in training and is {dtype} here;"
        " cast it in the declared expression"
    )


def _require(features: Iterable[str], columns: Sequence[str]) -> None:
    for name in features:
        if name not in columns:
            raise FeatureError(f"no feature column `{name}`{did_you_mean(name, columns)}")


def _is_categorical(dtype: pl.DataType) -> bool:
    return dtype in (pl.String, pl.Categorical, pl.Enum)


def _is_numeric(dtype: pl.DataType) -> bool:
    return dtype.is_numeric() or dtype in (pl.Boolean, pl.Null)
