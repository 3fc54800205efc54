"""A request that was given up on reaches the server all the same, in the midst of the next try or after."""

from __future__ import annotations

import itertools
from datetime import timedelta

import pytest

from mlops_assets.versions import Repository
from tests.versions.lakefs.faulty_proxy import Fault, FaultyProxy
from tests.versions.lakefs.operations import OPERATIONS, WRITES, State, hidden
from tests.versions.lakefs.servers import Server

TELLING = {("put", 0.03), ("put", 1.0), ("remove", 1.0), ("merge", 1.0), ("revert", 1.0)}
SECONDS = (0.03, 0.15, 1.0)


@pytest.mark.parametrize(
    ("operation", "seconds"),
    [
        pair if pair in TELLING else pytest.param(*pair, marks=pytest.mark.slow)
        for pair in itertools.product(OPERATIONS, SECONDS)
    ],
)
def test_what_arrives_late_is_not_done_twice(
    server: Server,
    direct: Repository,
    behind: Repository,
    proxy: FaultyProxy,
    operation: str,
    seconds: float,
) -> None:
    write = OPERATIONS[operation]
    for nth in itertools.count(1):
        name = f"run-{nth}"
        write.prepare(direct, name)
        before = State.of(direct)

        proxy.faults = [Fault("late", WRITES, nth=nth, seconds=seconds)]
        write.act(behind, name)
        proxy.settle()

        write.check(direct, name, before, State.of(direct))
        if not proxy.faults[0].happened:  # it has no more requests to strike
            break
    # a hidden branch that came into being after its end is for the next sweep
    direct.collect(grace=timedelta(0))
    assert hidden(server, direct) == []
    assert nth > 1
