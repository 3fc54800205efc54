from __future__ import annotations

import pytest

from mlops_assets.errors import TrainingError
from mlops_assets.learning.frames import Frame, frame_of

MATURE = [f"2013-04-{day:02d}" for day in range(1, 11)]


def test_an_expanding_frame_is_everything_and_the_newest_are_held_out() -> None:
    frame = frame_of(MATURE, least=10, newest=None, holdout=2)

    assert frame.windows == tuple(MATURE)
    assert frame.holdout == ("2013-04-09", "2013-04-10")
    assert frame.training == tuple(MATURE[:8])


def test_a_rolling_frame_learns_from_the_newest_before_the_holdout() -> None:
    frame = frame_of(MATURE, least=3, newest=4, holdout=2)

    assert frame.training == ("2013-04-05", "2013-04-06", "2013-04-07", "2013-04-08")
    assert frame.holdout == ("2013-04-09", "2013-04-10")


def test_a_rolling_frame_that_is_not_full_yet_takes_what_there_is() -> None:
    assert frame_of(MATURE, least=3, newest=50, holdout=2).windows == tuple(MATURE)


@pytest.mark.parametrize("newest", [None, 4])
def test_without_a_holdout_everything_is_learnt_from(newest: int | None) -> None:
    frame = frame_of(MATURE, least=3, newest=newest, holdout=0)

    assert frame.holdout == ()
    assert frame.training == frame.windows == tuple(MATURE[-(newest or 10) :])


@pytest.mark.parametrize("newest", [None, 1, 4])
@pytest.mark.parametrize("holdout", [1, 2, 5])
def test_nothing_that_is_held_out_is_learnt_from(newest: int | None, holdout: int) -> None:
    for number in range(6, 11):
        frame = frame_of(MATURE[:number], least=6, newest=newest, holdout=holdout)

        assert frame.windows == frame.training + frame.holdout
        assert len(frame.holdout) == holdout
        assert max(frame.training) < min(frame.holdout)


def test_too_few_mature_windows_say_what_to_do() -> None:
    with pytest.raises(TrainingError, match=r"9 windows with mature labels.*asks for 10 before"):
        frame_of(MATURE[:9], least=10, newest=None, holdout=2)


def test_the_training_set_of_a_frame_without_holdout_is_whole() -> None:
    assert Frame(("a", "b"), ()).training == ("a", "b")
