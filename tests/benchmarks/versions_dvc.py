"""The peer of `versions`: DVC does the same, by its Python API in this process or by its commands.

Runs in the peers' environment, which holds none of ours: `make bench` makes it.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.benchmarks.measuring import answer_questions, measured

SMALL = 2**10  # bytes, as in `versions`


class Project:
    """A DVC project under git."""

    def __init__(self, root: Path) -> None:
        self.root = root
        root.mkdir()
        self.run("git", "init", "--quiet", "--initial-branch", "main")
        self.run("dvc", "init", "--quiet")
        self.run("dvc", "config", "core.check_update", "false")
        self.run("dvc", "config", "core.autostage", "true")  # it runs `git add` itself
        self.run("git", "add", "--all")
        self.run("git", "commit", "--quiet", "--message", "begun")
        self.commands = False

    def run(self, *command: str) -> str:
        """Run a command as a person does."""
        found = [str(Path(sys.executable).with_name("dvc"))] if command[0] == "dvc" else ["git"]
        done = subprocess.run(
            [*found, *command[1:]], cwd=self.root, check=True, capture_output=True, text=True
        )
        return done.stdout

    def open(self) -> None:
        """Open the project by the API, once for all."""
        from dvc.repo import Repo

        os.chdir(self.root)  # DVC takes paths from there
        self.repo = Repo()

    def commit(self, path: str) -> None:
        """Track a file or a folder of the working tree and commit that."""
        if self.commands:
            self.run("dvc", "add", "--quiet", path)
            self.run("git", "commit", "--quiet", "--message", path)
        else:
            self.repo.add(path)
            self.repo.scm.commit(path)

    def write(self, path: str, data: bytes) -> None:
        file = self.root / path
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(data)


def big(project: Project, source: list[str]) -> Callable[[int], None]:
    """Put a large file: it comes from elsewhere, as it does for ours."""

    def work(number: int) -> None:
        data = Path(source[number])
        project.write("big.bin", b"")
        with data.open("rb") as stream, (project.root / "big.bin").open("wb") as target:
            while chunk := stream.read(1 << 20):
                target.write(chunk)
        project.commit("big.bin")

    return work


def many(project: Project, files: int) -> Callable[[int], None]:
    def work(_: int) -> None:
        for place in range(files):
            project.write(f"many/{place:04d}", os.urandom(SMALL))
        project.commit("many")

    return work


def small(project: Project) -> Callable[[int], None]:
    def work(number: int) -> None:
        path = f"small/{number % 50}"
        project.write(path, os.urandom(SMALL))
        project.commit(path)

    return work


def lengthen(project: Project, commits: int) -> Callable[[int], None]:
    """Add commits as DVC's look to git, without their data: a history, made in no time."""

    def work(_: int) -> None:
        text = "outs:\n- md5: '{:032x}'\n  size: 1024\n  hash: md5\n  path: filler\n"
        lines = []
        for number in range(commits):
            data = text.format(number)
            lines.append("commit refs/heads/main\ncommitter bench <bench@example.org> now\n")
            lines.append("data 6\nfiller" + ("\nfrom refs/heads/main^0\n" if not number else "\n"))
            lines.append(f"M 100644 inline small/filler.dvc\ndata {len(data)}\n{data}\n")
        subprocess.run(
            ["git", "fast-import", "--quiet", "--date-format=now"],
            cwd=project.root,
            input="".join(lines).encode(),
            check=True,
        )
        project.run("git", "reset", "--quiet", "--hard")

    return work


def merge(project: Project) -> Callable[[int], None]:
    def work(number: int) -> None:
        branch = f"landing-{project.commands:d}-{number}"
        project.run("git", "checkout", "--quiet", "-b", branch)
        path = f"merged/{project.commands:d}-{number}"
        project.write(path, os.urandom(SMALL))
        project.commit(path)
        project.run("git", "checkout", "--quiet", "main")
        project.run("git", "merge", "--quiet", "--no-ff", "--message", "published", branch)
        # the files of the merged commit, as ours are readable once it is merged
        target = f"{path}.dvc"
        if project.commands:
            project.run("dvc", "checkout", "--quiet", target)
        else:
            project.repo.checkout([target])
        project.run("git", "branch", "--quiet", "--delete", branch)

    return work


def read(project: Project) -> Callable[[int], None]:
    early = project.run("git", "log", "--format=%H", "--reverse", "--", "small/0.dvc").split()[0]
    target = project.root / ".git" / "got"

    def work(_: int) -> None:
        if project.commands:
            where = ("--rev", early, "--out", str(target), "--force", "--quiet")
            project.run("dvc", "get", ".", "small/0", *where)
            assert target.stat().st_size == SMALL
        else:
            import dvc.api

            found = dvc.api.read("small/0", repo=str(project.root), rev=early, mode="rb")
            assert len(found) == SMALL

    return work


def log(project: Project, limit: int, path: str) -> Callable[[int], None]:
    shown = ("--format=%H %cI %B", f"--max-count={limit}", "main", "--", path)

    def work(_: int) -> None:
        assert project.run("git", "log", *shown).count("\n") >= limit

    return work


WORK = {
    "big": big,
    "many": many,
    "small": small,
    "lengthen": lengthen,
    "merge": merge,
    "read": read,
    "log": log,
}


def main(root: str) -> None:
    project = Project(Path(root))
    project.open()

    def answer(
        what: str, commands: bool, repetitions: int, warm: bool = True, **settings: Any
    ) -> dict[str, Any]:
        project.commands = commands
        return {"seconds": measured(WORK[what](project, **settings), repetitions, warm=warm).all}

    import dvc

    answer_questions({"version": dvc.__version__}, answer)


if __name__ == "__main__":
    main(sys.argv[1])
