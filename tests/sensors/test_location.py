"""A tick goes into the models of which something changed, and one that can't be read stops no other."""

from __future__ import annotations

import json
from collections.abc import Hashable

import dagster as dg
import pytest

from mlops_assets.batches.landing import MAIN
from mlops_assets.declaration import Declaration
from mlops_assets.errors import RepositoryUnreachableError
from mlops_assets.records.store import Store
from mlops_assets.sensors.location import Look, Marks, Models
from mlops_assets.sensors.reaching import played
from mlops_assets.versions import Repository


class Portfolio:
    """Three models, and what a look at each finds."""

    def __init__(self, declaration: Declaration) -> None:
        names = ("a", "b", "c")
        self.models = Models([declaration.model_copy(update={"name": name}) for name in names])
        self.marks: dict[str, Hashable] = dict.fromkeys(names, 0)
        self.found: dict[str, Look | Exception] = dict.fromkeys(
            names, Look(said=["nothing"], settled=True)
        )
        self.looked: list[str] = []
        self.cursor: str | None = None

    def tick(self) -> dg.SensorResult:
        self.looked.clear()

        def look(declaration: Declaration, cursor: str | None) -> Look:
            self.looked.append(declaration.name)
            found = self.found[declaration.name]
            if isinstance(found, Exception):
                raise found
            return found

        result = self.models.tick(
            dg.build_sensor_context(cursor=self.cursor), lambda one: self.marks[one.name], look
        )
        self.cursor = result.cursor
        return result


@pytest.fixture
def portfolio(declaration: Declaration) -> Portfolio:
    return Portfolio(declaration)


def said(result: dg.SensorResult) -> str:
    assert isinstance(result.skip_reason, dg.SkipReason)
    return str(result.skip_reason.skip_message)


def test_a_tick_goes_into_the_models_that_changed(portfolio: Portfolio) -> None:
    # given a first look at each model
    assert said(portfolio.tick()) == "a and 2 more: nothing"
    assert portfolio.looked == ["a", "b", "c"]
    # while nothing changes, it goes into none, and says the same
    assert said(portfolio.tick()) == "a and 2 more: nothing"
    assert portfolio.looked == []
    # when something of one changes, then into that one, and each tick while it has work
    portfolio.marks["b"] = 1
    request = dg.RunRequest(run_key="b:1")
    portfolio.found["b"] = Look([request], cursor="seen")
    for _ in range(2):
        result = portfolio.tick()
        assert result.run_requests == [request]
        assert portfolio.looked == ["b"]
    assert json.loads(result.cursor or "") == {"b": "seen"}


def test_a_model_that_fails_stops_no_other_and_is_looked_at_again(portfolio: Portfolio) -> None:
    portfolio.found["a"] = ValueError("broken")
    for looked in (["a", "b", "c"], ["a"]):
        assert "a: can't be looked at: ValueError: broken" in said(portfolio.tick())
        assert portfolio.looked == looked
    # a server that is away is so for all of them
    portfolio.found["a"] = RepositoryUnreachableError("it does not answer")
    assert "it does not answer; the next tick asks again" in said(portfolio.tick())
    # but where it is away for one model's objects alone, the next tick begins behind that one
    portfolio.marks = dict.fromkeys(portfolio.marks, 1)
    portfolio.tick()
    assert portfolio.looked == ["b", "c", "a"]


def test_who_plays_one_model_looks_at_that_one_only_and_is_told(portfolio: Portfolio) -> None:
    portfolio.tick()
    with played("b"):
        assert said(portfolio.tick()) == "b: nothing"
        assert portfolio.looked == ["b"]
        portfolio.found["b"] = ValueError("broken")
        with pytest.raises(ValueError, match="broken"):
            portfolio.tick()


def test_a_cursor_that_a_person_set_is_no_obstacle(portfolio: Portfolio) -> None:
    for cursor in ("[]", "nonsense", '{"a": 1}'):
        portfolio.cursor = cursor
        assert portfolio.tick().cursor == "{}"


def test_what_lands_changes_the_mark_of_its_model_alone(
    repository: Repository, declaration: Declaration, tmp_path_factory: pytest.TempPathFactory
) -> None:
    # given two models in one repository
    store = Store(tmp_path_factory.mktemp("store"))
    one, other = (declaration.model_copy(update={"name": name}) for name in ("one", "other"))
    before = Marks.read(repository, store)
    # when something lands for one, then its mark is another and the other's is not
    repository.create_branch("landing-one-batches-2024-01-01-abc", MAIN)
    after = Marks.read(repository, store)
    assert after.of(one) != before.of(one)
    assert after.of(other) == before.of(other)
