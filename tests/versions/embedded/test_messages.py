from __future__ import annotations

from datetime import UTC, datetime

from hypothesis import given, settings
from hypothesis import strategies as st

from mlops_assets.versions.embedded.messages import author_of, decode, encode

TIME = datetime(2013, 4, 1, 12, 30, 1, 234567, UTC)


@settings(max_examples=50)
@given(st.text(), st.dictionaries(st.text(), st.text()))
def test_a_message_comes_back_as_it_was(text: str, metadata: dict[str, str]) -> None:
    assert decode(encode(text, metadata, TIME)) == (text, metadata, TIME)


def test_another_tools_message_is_all_text() -> None:
    by_hand = "fix\n\nMlops-Assets: none\n"

    assert decode("fix\n") == ("fix", {}, None)
    assert decode(by_hand) == (by_hand.strip(), {}, None)


def test_the_metadata_may_name_the_author() -> None:
    default = ("us", "us@localhost")

    assert author_of({}, default) == default
    assert author_of({"author": "Ada <ada@localhost>"}, default) == ("Ada", "ada@localhost")
    assert author_of({"author": "Ada\n"}, default) == ("Ada", "us@localhost")
