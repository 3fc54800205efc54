"""Every write of the contract with every fault at every request of it: done, and done once."""

from __future__ import annotations

import itertools

import pytest

from mlops_assets.versions import Repository
from tests.versions.lakefs.faulty_proxy import Fault, FaultyProxy
from tests.versions.lakefs.operations import FAULTS, OPERATIONS, WRITES, State, hidden
from tests.versions.lakefs.servers import Server

# what every `make test` tries; the other pairs go the same ways through the code
TELLING = {
    *(("put", fault) for fault in FAULTS if fault not in {"423", "hang before"}),
    *((operation, fault) for operation in OPERATIONS for fault in ("503", "drop after")),
}


@pytest.mark.parametrize(
    ("operation", "fault"),
    [
        pair if pair in TELLING else pytest.param(*pair, marks=pytest.mark.slow)
        for pair in itertools.product(OPERATIONS, FAULTS)
    ],
)
def test_one_fault_is_survived_wherever_it_strikes(
    server: Server,
    direct: Repository,
    behind: Repository,
    proxy: FaultyProxy,
    operation: str,
    fault: str,
) -> None:
    write = OPERATIONS[operation]
    for nth in itertools.count(1):
        name = f"run-{nth}"
        write.prepare(direct, name)
        before = State.of(direct)

        proxy.faults = [Fault(method=WRITES, nth=nth, **FAULTS[fault])]
        write.act(behind, name)

        write.check(direct, name, before, State.of(direct))
        assert hidden(server, direct) == []
        if not proxy.faults[0].happened:  # it has no more requests to strike
            break
    assert nth > 1


@pytest.mark.parametrize("fault", [pytest.param("503", marks=pytest.mark.slow), "drop after"])
@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_lost_answer_to_a_question_is_asked_again(
    server: Server,
    direct: Repository,
    behind: Repository,
    proxy: FaultyProxy,
    operation: str,
    fault: str,
) -> None:
    write = OPERATIONS[operation]
    write.prepare(direct, "run")
    before = State.of(direct)

    # each second one, so that none comes through at the first try
    proxy.faults = [Fault(method="GET", nth=nth, **FAULTS[fault]) for nth in range(1, 60, 2)]
    write.act(behind, "run")

    write.check(direct, "run", before, State.of(direct))
    assert proxy.faults[0].happened
    assert hidden(server, direct) == []
