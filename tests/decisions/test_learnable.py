"""Counts of labels tell whether a training, or a comparison, has to wait."""

from __future__ import annotations

import pytest

from mlops_assets.decisions.learnable import Labelled, obstacle

BOTH, NONE, ALL, EMPTY = Labelled(50, 10), Labelled(50, 0), Labelled(50, 50), Labelled(0, 0)
NUMBERS = Labelled(50, None)


@pytest.mark.parametrize(
    ("learnt", "held_out", "metric", "code"),
    [
        ((BOTH, NONE), (BOTH,), "auc", None),
        ((NONE, ALL), (NONE, BOTH), "auc", None),
        ((NUMBERS,), (NUMBERS,), "rmse", None),
        ((NONE, NONE), (BOTH,), "auc", "one_class"),
        ((ALL, ALL), (BOTH,), "log_loss", "one_class"),
        ((EMPTY, EMPTY), (BOTH,), "brier", "no_labels"),
        ((Labelled(0, None),), (NUMBERS,), "mae", "no_labels"),
        ((BOTH,), (EMPTY,), "log_loss", "no_labels"),
        ((BOTH,), (NONE, ALL), "auc", "one_class"),
        ((BOTH,), (NONE,), "log_loss", None),
    ],
)
def test_it_waits_for_what_is_missing(
    learnt: tuple[Labelled, ...], held_out: tuple[Labelled, ...], metric: str, code: str | None
) -> None:
    windows = {f"2024-01-0{place}": one for place, one in enumerate(learnt, 1)}
    newest = {f"2024-02-0{place}": one for place, one in enumerate(held_out, 1)}
    found = obstacle(windows, newest, metric)
    assert (found and found.code) == code


def test_the_reason_names_windows_and_rows() -> None:
    found = obstacle({"2024-01-01": NONE, "2024-01-08": NONE}, {"2024-01-15": BOTH}, "auc")
    assert found is not None
    assert found.reason == (
        "of the 100 labelled rows of 2024-01-01 to 2024-01-08 none is positive, and nothing can be "
        "learnt from one class"
    )
