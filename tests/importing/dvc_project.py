"""A DVC project laid by hand, file by file as DVC 2 or 3 would; no DVC is needed."""

from __future__ import annotations

import hashlib
import json
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml


@dataclass
class HandLaid:
    """A git repository with a DVC project in it, and its cache."""

    root: Path
    version: int = 3

    def __post_init__(self) -> None:
        (self.root / ".dvc").mkdir(parents=True)
        (self.root / ".dvc/config").write_text("")
        self.cache = self.root / ".dvc/cache"
        if not (self.root / ".git").exists():
            self.git("init", "--quiet")

    def keep(self, content: bytes, ending: str = "") -> str:
        """Put a content into the cache; return what names it."""
        md5 = hashlib.md5(content).hexdigest() + ending
        file = self.file_of(md5)
        file.parent.mkdir(parents=True, exist_ok=True)
        if not file.exists():
            file.write_bytes(content)
            file.chmod(0o444)
        return md5

    def file_of(self, md5: str) -> Path:
        place = self.cache / "files" / "md5" if self.version == 3 else self.cache
        return place / md5[:2] / md5[2:]

    def out(self, path: str, content: bytes | Mapping[str, bytes]) -> dict[str, str]:
        """Keep a file, or a folder of files, and return its entry."""
        if isinstance(content, bytes):
            md5 = self.keep(content)
        else:
            entries = [
                {"md5": self.keep(data), "relpath": name} for name, data in sorted(content.items())
            ]
            md5 = self.keep(json.dumps(entries).encode(), ".dir")
        return {"md5": md5, "path": path} | ({"hash": "md5"} if self.version == 3 else {})

    def add(self, path: str, content: bytes | Mapping[str, bytes]) -> None:
        """As `dvc add`."""
        file = self.root / f"{path}.dvc"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(yaml.safe_dump({"outs": [self.out(file.stem, content)]}))

    def git(self, *arguments: str) -> str:
        settings = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
        done = subprocess.run(
            ["git", *settings, *arguments],
            cwd=self.root,
            check=True,
            capture_output=True,
            text=True,
        )
        return done.stdout.strip()

    def commit(self) -> str:
        """As `git add --all; git commit`; return the commit."""
        (self.root / ".dvc/.gitignore").write_text("/cache\n/config.local\n")
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", "tracked")
        return self.git("rev-parse", "HEAD")
