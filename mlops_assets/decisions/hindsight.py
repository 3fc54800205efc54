"""What the best possible schedule would have had, and what any schedule is worth beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Best:
    """The schedule with the largest net value, known only afterwards.

    Attributes:
        retrained: the turns after which it retrained, oldest first.
        gain: over the frozen first model, metric x months.
        net: gain less the cost of the retrainings.

    """

    retrained: tuple[str, ...]
    gain: float
    net: float


def hindsight(
    turns: Sequence[str],
    gains: Mapping[str, Mapping[str, float]],
    cost: float,
) -> Best:
    """Find the best schedule by dynamic programming over candidates and windows.

    Candidate c, made after turn c, is best kept until the turn t after which it is replaced by
    candidate t, or to the end: W(c) = max over t > c of sum(gains[c] up to t) + W(t) - cost. The
    frozen model gains nothing and comes before all. The effort grows with the square of the turns.

    Args:
        turns: all windows in order, from the first that the frozen model served.
        gains: candidate, named by the turn after which it could be had -> window -> what it gains
            there over the frozen model, in metric x months. Windows that can't be measured are
            left out and count as 0.
        cost: of one retraining, in metric x months.

    """
    best: dict[str | None, Best] = {}
    for candidate in (*(turn for turn in reversed(turns) if turn in gains), None):
        earned = gains[candidate] if candidate is not None else {}
        total = 0.0
        options = []
        for turn in turns:
            if candidate is not None and turn <= candidate:
                continue
            total += earned.get(turn, 0.0)
            if turn in best:
                then = best[turn]
                options.append(
                    Best((turn, *then.retrained), total + then.gain, total + then.net - cost)
                )
        # of equals the one that retrains less
        options.append(Best((), total, total))
        best[candidate] = max(options, key=lambda one: (one.net, -len(one.retrained)))
    return best[None]


def share_of(net: float, best: Best) -> float | None:
    """Return a net value as a share of hindsight's; None where hindsight could earn nothing."""
    return net / best.net if best.net > 0 else None
