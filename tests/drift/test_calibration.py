"""A small version of `make calibrate`: what docs/calibration.md says can be seen again."""

from __future__ import annotations

import numpy as np
import pytest

from mlops_assets.drift.judgement import Reference, judge
from tests.benchmarks.calibration import PAGE, POLICY, Setting, play
from tests.benchmarks.null_histories import (
    Simulated,
    Weeks,
    flights,
    importance,
    judged,
    orders,
    profiled,
    tabled,
    with_columns,
)


@pytest.fixture(scope="module")
def weeks() -> Weeks:
    frames = with_columns(flights()[1], 5)
    names = [name for name in frames[0].columns if name != "target"]
    return tabled(profiled(frames, 1000), importance(frames, names))


def test_tables_say_what_the_verdict_says_of_the_profiles(weeks: Weeks) -> None:
    # given a history of the real profiles, and of their shares at fixed points
    order = orders(np.random.default_rng(1), len(weeks.shares), 16, 1)
    profiles = {f"{n:02}": weeks.profiles[week] for n, week in enumerate(order)}
    reference = Reference.build(dict(list(profiles.items())[:13]), weeks.importance)
    history = judged(weeks, weeks.shares[order], weeks.values[order], 13)
    shares = np.array([weeks.importance[feature.name] for feature in weeks.features])
    # then the own scores are the same but for the points between, and so are new ones
    yardstick = reference.under(POLICY)
    assert history.own @ shares == pytest.approx(yardstick.own_scores, abs=0.006)
    for place, window in enumerate(list(profiles)[13:]):
        score = judge(reference, window, profiles[window], POLICY).score
        assert history.new[place] @ shares == pytest.approx(score, abs=0.006)


@pytest.mark.parametrize(("reference", "short"), [(8, True), (13, True), (26, False)])
def test_shuffled_weeks_alarm_as_often_as_the_formula_says(
    weeks: Weeks, reference: int, short: bool
) -> None:
    found = play(Setting(reference, 1000, 5, 1), weeks, None, 300)
    mean, low, high = found.interval()
    spread = high - low  # four standard errors
    assert abs(mean - np.median(found.said)) < spread
    assert (np.mean(found.short) > 0.5) == short
    assert short or high < 1.5


def test_spells_alarm_more_often_and_are_seen(weeks: Weeks) -> None:
    found = play(Setting(26, 1000, 5, 4), weeks, None, 200)
    mean, low, high = found.interval()
    apart = play(Setting(26, 1000, 5, 1), weeks, None, 200)
    # a formula for independent windows would say .4
    assert low > np.median(apart.said)
    assert found.effective.mean() < 20 < apart.effective.mean()
    assert abs(mean - found.said.mean()) < high - low + 0.5


def test_simulated_weeks_are_as_far_apart_as_real_ones(weeks: Weeks) -> None:
    random = np.random.default_rng(3)
    shares = np.array([weeks.importance[feature.name] for feature in weeks.features])
    drawn = Simulated(weeks).draw(random, 400, 1)[0]
    values = np.tile(np.median(weeks.values, axis=0), (400, 1))
    simulated = judged(weeks, drawn, values, 400).own @ shares
    real = judged(weeks, weeks.shares, weeks.values, len(weeks.shares)).own @ shares
    # components drawn each by itself lose what made some weeks odd in all of them at once
    assert simulated.mean() == pytest.approx(real.mean(), rel=0.15)
    assert simulated.std() == pytest.approx(real.std(), rel=0.3)


def test_a_shift_of_what_matters_is_seen_sooner(weeks: Weeks) -> None:
    frames = with_columns(flights()[1], 5)
    moved = tabled(profiled(frames, 1000, {"minute_of_day": 0.5}), weeks.importance, weeks)
    name = ("minute_of_day", 0.5)
    found = play(Setting(26, 1000, 5, 1, name), weeks, moved, 60)
    usual = play(Setting(26, 1000, 5, 1), weeks, None, 60)
    assert found.detected(13) > usual.detected(13) + 0.2


def test_the_page_is_of_a_whole_run() -> None:
    assert "1,000 histories each" in PAGE.read_text()
