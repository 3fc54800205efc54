from __future__ import annotations

from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_assets.decisions.hindsight import Best, hindsight, share_of

TURNS = ["a", "b", "c", "d", "e"]


def net_of(schedule: tuple[str, ...], gains: dict[str, dict[str, float]], cost: float) -> float:
    """Play a schedule: the candidate made after a turn serves from the next one on."""
    total, serving = 0.0, None
    for turn in TURNS:
        total += gains[serving].get(turn, 0.0) if serving else 0.0
        if turn in schedule:
            total -= cost
            serving = turn
    return total


def test_it_retrains_where_the_step_is_and_only_there() -> None:
    after = dict.fromkeys("cde", 2.0)
    gains = {"a": {}, "b": after, "c": {"d": 2.1, "e": 2.1}, "d": {"e": 2.1}}

    assert hindsight(TURNS, gains, cost=1.0) == Best(("b",), 6.0, 5.0)
    assert hindsight(TURNS, gains, cost=0.05).retrained == ("b", "c")


def test_nothing_is_worth_its_price() -> None:
    best = hindsight(TURNS, {"b": {"c": 0.4, "d": 0.4}}, cost=1.0)

    assert best == Best((), 0.0, 0.0)
    assert share_of(-1.0, best) is None


def test_a_net_value_is_a_share_of_the_best() -> None:
    assert share_of(2.5, Best(("b",), 6.0, 5.0)) == pytest.approx(0.5)
    assert share_of(-5.0, Best(("b",), 6.0, 5.0)) == pytest.approx(-1.0)


@given(
    gains=st.dictionaries(
        st.sampled_from(TURNS),
        st.dictionaries(st.sampled_from(TURNS), st.integers(-8, 8).map(lambda n: n / 4)),
    ),
    cost=st.integers(1, 8).map(lambda n: n / 4),
)
def test_no_other_schedule_is_better(gains: dict[str, dict[str, float]], cost: float) -> None:
    # a candidate is nothing before it is made
    gains = {c: {t: g for t, g in by.items() if t > c} for c, by in gains.items()}

    best = hindsight(TURNS, gains, cost)

    every = [s for n in range(len(gains) + 1) for s in combinations(sorted(gains), n)]
    assert best.net == pytest.approx(max(net_of(s, gains, cost) for s in every))
    assert net_of(best.retrained, gains, cost) == pytest.approx(best.net)
    assert best.gain == pytest.approx(best.net + cost * len(best.retrained))
