"""What `mlops land` says of a file."""

from __future__ import annotations

import pytest

from mlops_assets.cli.land import taken_in_by


@pytest.mark.parametrize(
    ("holder", "said"),
    [
        (None, "It waits on its branch; `mlops dev` ingests it"),
        ("`mlops dev` (process 7)", "`mlops dev` (process 7) picks it up within seconds"),
        ("`mlops replay tiny` (process 7)", "takes it in, if it plays that far"),
        ("`mlops replay other` (process 7)", "is done, `mlops dev` ingests it"),
        ("`mlops replay tiny_two` (process 7)", "is done, `mlops dev` ingests it"),
    ],
)
def test_who_takes_a_landed_file_in_is_said(holder: str | None, said: str) -> None:
    assert said in taken_in_by("tiny", holder)
