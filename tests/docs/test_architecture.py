"""Every file and folder that the architecture page names is there, and every room is named."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "mlops_assets"
PAGE = (ROOT / "docs/architecture.md").read_text()
NAMED = set(re.findall(r"`([a-z_]+(?:/[a-z_]+)*(?:\.py|/))`", PAGE))


def test_what_is_named_is_there() -> None:
    missing = {
        name for name in NAMED if not (PACKAGE / name).exists() and not (ROOT / name).exists()
    }
    assert not missing


def test_every_room_is_named() -> None:
    rooms = {f"{folder.parent.name}/" for folder in PACKAGE.glob("*/__init__.py")}
    assert not rooms - NAMED - {"defs/"}
