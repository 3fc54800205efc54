"""What a classifier's scores are worth while nobody knows yet what came true.

Confidence-based performance estimation (CBPE, as in NannyML's documentation): if the chance of the
positive class at a score is still what it was on rows whose truth is known, then each score tells
how often it will turn out right, and so what the metric will be. Of the rows now, the sketch of
their scores is enough. It can't see a change of what comes true at a score.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Self

import numpy as np
import polars as pl
from numpy.typing import NDArray

from mlops_assets.errors import ProfileError
from mlops_assets.sketches.quantiles import Points

Floats = NDArray[np.float64]

_SMALLEST = 1e-15  # a certain and wrong score would cost infinitely much
_PARTS = 16  # of what one retained value stands for


@dataclass(frozen=True)
class Calibration:
    """The chance of the positive class by score: linear between knots, constant beyond them."""

    scores: tuple[float, ...]
    chances: tuple[float, ...]
    rows: int

    @classmethod
    def fit(cls, scores: pl.Series, truths: pl.Series) -> Self:
        """Return the isotonic regression (pooled adjacent violators) of truths on scores.

        Truths are Boolean, or 0 and 1; rows without one are left out. Raises ProfileError where no
        row of one class is left.
        """
        rows = pl.DataFrame({"score": scores.cast(pl.Float64), "truth": truths.cast(pl.Float64)})
        levels = rows.drop_nulls().group_by("score").agg(pl.mean("truth"), pl.len()).sort("score")
        known, counts = levels["truth"].to_numpy(), levels["len"].to_numpy()
        for name, there in (("positive", known > 0), ("negative", known < 1)):
            if not there.any():
                raise ProfileError(f"no row of the {name} class is known yet")
        chances = _isotonic(known, counts)
        # inside a level the line is flat: its ends say all
        inner = (chances[1:-1] == chances[:-2]) & (chances[1:-1] == chances[2:])
        kept = np.concatenate([[True], ~inner, [True]])[: len(chances)]
        knots = levels["score"].to_numpy()[kept]
        return cls(tuple(knots.tolist()), tuple(chances[kept].tolist()), int(counts.sum()))

    def to_bytes(self) -> bytes:
        """Return the knots as JSON; the same rows give the same bytes."""
        return json.dumps(vars(self), sort_keys=True, separators=(",", ":")).encode()

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Read what `to_bytes` wrote; raises ProfileError for anything else."""
        try:
            kept = json.loads(data)
            return cls(tuple(kept["scores"]), tuple(kept["chances"]), int(kept["rows"]))
        except (ValueError, KeyError, TypeError) as error:
            raise ProfileError(f"these bytes are no calibration ({error})") from error

    def of(self, scores: Floats) -> Floats:
        """Return the chance at each score."""
        return np.interp(scores, self.scores, self.chances)


def estimated(metric: str, scores: Points, calibration: Calibration) -> float | None:
    """Return what a metric (auc, log_loss or brier) is expected to be on rows with these scores.

    None where it is undefined: no rows, or for auc a calibration that knows one outcome only.
    Raises ProfileError for another metric.
    """
    if not len(scores.values):
        return None
    said, rows = _spread(scores)
    chance = calibration.of(said)
    if metric == "auc":
        return _auc(said, rows * chance, rows * (1 - chance))
    if metric == "log_loss":
        # clipped after the subtraction too: 1 - (1 - 1e-15) is not 1e-15
        given, other = np.clip([said, 1 - said], _SMALLEST, 1 - _SMALLEST)
        losses = -(chance * np.log(given) + (1 - chance) * np.log(other))
    elif metric == "brier":
        losses = chance * (1 - said) ** 2 + (1 - chance) * said**2
    else:
        raise ProfileError(f"`{metric}` can't be estimated from scores: auc, log_loss, brier can")
    return float(np.average(losses, weights=rows))


def _auc(scores: Floats, positives: Floats, negatives: Floats) -> float | None:
    """Return the chance that a positive scores above a negative, ties counting half."""
    distinct, places = np.unique(scores, return_inverse=True)
    above, below = (np.bincount(places, side, len(distinct)) for side in (positives, negatives))
    pairs = above.sum() * below.sum()
    if not pairs:
        return None
    lower = np.cumsum(below) - below
    return float(np.sum(above * (lower + below / 2)) / pairs)


def _spread(scores: Points) -> tuple[Floats, Floats]:
    """Return points as the rows that they stand for lie, between their neighbours.

    A sketch keeps the middle one of some neighbouring rows; taking it for all of them would move
    rows across the steps of a calibration.
    """
    if scores.weights.max() == 1:
        return scores.values, scores.weights.astype(np.float64)
    ends = np.cumsum(scores.weights)
    shares = (np.arange(_PARTS) + 0.5) / _PARTS
    ranks = (ends - scores.weights)[:, None] + scores.weights[:, None] * shares
    middles = ends - scores.weights / 2
    return (
        np.interp(ranks.ravel(), middles, scores.values),
        np.repeat(scores.weights / _PARTS, _PARTS),
    )


def _isotonic(values: Floats, weights: Floats) -> Floats:
    """Return the nearest rising values, by weighted squares: pool neighbours that fall."""
    levels: list[tuple[float, float, int]] = []
    for one, load in zip(values.tolist(), weights.tolist(), strict=True):
        mean, weight, count = one, load, 1
        while levels and levels[-1][0] >= mean:
            before, heavy, many = levels.pop()
            mean = (before * heavy + mean * weight) / (heavy + weight)
            weight, count = heavy + weight, many + count
        levels.append((mean, weight, count))
    return np.repeat([level[0] for level in levels], [level[2] for level in levels])
