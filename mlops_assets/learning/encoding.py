"""How features become the numbers that a model sees, learnt from the training rows alone."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Self

import numpy as np
import polars as pl
from numpy.typing import NDArray

from mlops_assets.errors import FeatureError, TrainingError, did_you_mean

Width = Literal["float32", "float64"]

_TYPES: dict[Width, pl.DataType] = {"float32": pl.Float32(), "float64": pl.Float64()}
# float32 holds every value of these, and every whole number up to 2^24
_NARROW = (pl.Null, pl.Boolean, pl.Int8, pl.Int16, pl.UInt8, pl.UInt16, pl.Float32)
_WHOLE_IN_FLOAT32 = 2**24
_WHOLE_IN_FLOAT64 = 2**53


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
    """The features in the model's order, and the categories that the training rows held.

    `width` is that of the numbers which the model was trained on and scores. Models of before it
    was recorded saw every number rounded to float32, and score that way for ever.
    """

    features: tuple[Feature, ...]
    width: Width = "float64"

    @classmethod
    def fit(cls, frame: pl.DataFrame, features: Sequence[str], *, width: Width = "float64") -> Self:
        """Learn kinds and categories from the training rows; their order does not matter.

        Booleans and numbers are numeric; String, Categorical and Enum are categorical.

        Args:
            frame: the training rows.
            features: columns to learn from, in the model's order.
            width: float32 rounds numbers, and is there to train an old model again.

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
        return cls(tuple(learnt), width)

    @property
    def names(self) -> tuple[str, ...]:
        """The features' names, in the order of the matrix."""
        return tuple(feature.name for feature in self.features)

    @property
    def categorical(self) -> tuple[int, ...]:
        """The matrix columns that hold category codes."""
        return tuple(i for i, feature in enumerate(self.features) if feature.kind == "categorical")

    def matrix(
        self, frame: pl.DataFrame, width: Width | None = None
    ) -> NDArray[np.float32] | NDArray[np.float64]:
        """Return the frame as numbers of shape (rows, features), columns contiguous.

        A category becomes its place among the learnt ones; null and unseen become NaN.

        Args:
            frame: holds the features.
            width: of the numbers; None is the encoding's own. LightGBM makes float64 of either,
                so `narrowest` gives the same model in half the memory.

        Raises:
            FeatureError: a feature is missing, or no longer of the kind that was learnt.
        """
        schema = frame.schema
        _require(self.names, schema.names())
        number = _TYPES[width or self.width]
        columns = [_column(feature, schema[feature.name], number) for feature in self.features]
        encoded: NDArray[np.float32] | NDArray[np.float64] = frame.select(columns).to_numpy(
            order="fortran"
        )
        return encoded

    def narrowest(self, frame: pl.DataFrame) -> Width:
        """Return float32 where it holds every value of the frame, else the encoding's own width.

        Raises:
            FeatureError: a feature is missing.
        """
        _require(self.names, frame.columns)
        for feature in self.features:
            if feature.categories is not None:
                if len(feature.categories) > _WHOLE_IN_FLOAT32:
                    return self.width
                continue
            values = frame.get_column(feature.name)
            if values.dtype in _NARROW:
                continue
            wide = values.cast(pl.Float64)
            # nulls count as true, and NaN equals NaN
            if not (wide.cast(pl.Float32).cast(pl.Float64) == wide).all():
                return self.width
        return "float32"

    def to_json(self) -> str:
        """Return a stable text: the same encoding gives the same bytes."""
        features = [
            {"name": feature.name, "kind": feature.kind}
            | ({} if feature.categories is None else {"categories": feature.categories})
            for feature in self.features
        ]
        # models of before there was a width keep their bytes, and so their checksums
        width = {} if self.width == "float32" else {"width": self.width}
        return json.dumps({"features": features} | width, ensure_ascii=False, indent=1) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read what `to_json` wrote; without a width it is float32.

        Raises:
            TrainingError: the text is not an encoding.
        """
        try:
            known = json.loads(text)
            width: Width = known.get("width", "float32")
            _ = _TYPES[width]  # a KeyError names another
            return cls(
                tuple(
                    Feature(
                        str(item["name"]),
                        tuple(map(str, item["categories"]))
                        if item["kind"] == "categorical"
                        else None,
                    )
                    for item in known["features"]
                ),
                width,
            )
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise TrainingError(
                f"not an encoding ({error}); the model's folder is damaged: fetch it again"
            ) from error


def rounded(frame: pl.DataFrame, features: Sequence[str]) -> list[str]:
    """Return the features with whole numbers beyond 2^53, which even float64 rounds."""
    found = []
    for name in features:
        if frame.schema[name].is_integer():
            values = frame.get_column(name)
            extremes: list[Any] = [values.min(), values.max()]
            if any(abs(one) > _WHOLE_IN_FLOAT64 for one in extremes if one is not None):
                found.append(name)
    return found


def _column(feature: Feature, dtype: pl.DataType, number: pl.DataType) -> pl.Expr:
    column = pl.col(feature.name)
    if dtype == pl.Null:  # a window in which nothing was recorded fits either kind
        return column.cast(number)
    if feature.categories is None:
        if not _is_numeric(dtype):
            raise _changed(feature, dtype)
        return column.cast(number)
    if not _is_categorical(dtype):
        raise _changed(feature, dtype)
    known = pl.Enum(feature.categories)
    # not strict: what the training rows never held becomes null, hence NaN
    return column.cast(pl.String).cast(known, strict=False).to_physical().cast(number)


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
