"""Each decision record names what confirms it, and that is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TESTS = sorted((ROOT / "tests").glob("**/test_*.py"))
WRITTEN = "\n".join(path.read_text() for path in TESTS)
RECORDS = sorted((ROOT / "docs/decisions").glob("*.md"))


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: record.stem)
def test_what_confirms_a_decision_is_there(record: Path) -> None:
    _, said, after = record.read_text().partition("\nConfirmed by: ")
    assert said, f"{record.name} has no line `Confirmed by: ` a test or a command"
    named = after.partition("\n")[0]
    paths = re.findall(r"(?:tests/[\w/]+|\b)test_\w+\.py", named)
    functions = re.findall(r"`(test_\w+)`", named)
    targets = re.findall(r"`make ([\w-]+)`", named)
    assert paths or functions or targets or "`" in named
    for path in paths:
        assert (ROOT / path).exists() if "/" in path else path in {one.name for one in TESTS}, path
    for function in functions:
        assert re.search(rf"def {function}\b", WRITTEN), function
    for target in targets:
        assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.MULTILINE), target
