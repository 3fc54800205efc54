"""A rebuild by code of another commit: in a checkout of its own, in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

from mlops_assets.errors import RebuildError, RevisionError
from mlops_assets.home import Home
from mlops_assets.rebuild.recorded import RecordedVersion
from mlops_assets.rebuild.report import COMMIT, Fact, Reproduction
from mlops_assets.registry.connection import SQLITE
from mlops_assets.revision import checked_out


def rebuild_at_commit(home: Home, recorded: RecordedVersion, place: Path) -> Reproduction:
    """Run `mlops rebuild` by the recorded code, on the same state, with this interpreter.

    Args:
        home: that holds the state.
        recorded: the version.
        place: a folder or file of the project's git work tree.

    Raises:
        RevisionError: the recorded commit is unknown, or not to be had.
        RebuildError: the code of that commit can't rebuild it.

    """
    revision = recorded.training.revision
    if revision is None:
        raise RevisionError("no git commit was recorded with the training")
    with checked_out(place, revision) as folder:
        done = subprocess.run(  # noqa: S603  # this interpreter, on the project's own code
            [
                sys.executable,
                "-c",
                "from mlops_assets.cli import main; main()",
                "rebuild",
                recorded.model,
                str(recorded.version),
                "--no-checkout",
                "--json",
            ],
            cwd=folder,
            env=environment(home, folder),
            capture_output=True,
            text=True,
            check=False,
        )
    short = revision.commit[:12]
    try:
        found = Reproduction.from_json(json.loads(done.stdout))
    except (ValueError, KeyError, TypeError) as error:
        last = done.stderr.strip().splitlines()[-1:] or [f"it exited with {done.returncode}"]
        raise RebuildError(f"the code of commit {short} says: {last[0]}") from error
    note = f"Rebuilt by the project's code of commit {short}, checked out for it."
    if revision.dirty and not found.identical:
        note += " It was trained with changes on top that were never committed."
    facts = tuple(  # the checkout itself is a copy without git
        Fact.of(COMMIT, fact.recorded, revision.commit) if fact.what == COMMIT else fact
        for fact in found.facts
    )
    return replace(found, code=revision.commit, facts=facts, notes=(*found.notes, note))


def environment(home: Home, folder: Path) -> dict[str, str]:
    """Return the environment in which the checkout's code comes first and the state is the same."""
    paths = [str(folder), str(folder / "src"), os.environ.get("PYTHONPATH", "")]
    url = home.repository
    places = {"MLOPS_STORE": home.store, "MLOPS_LEDGER": home.ledger}  # absolute: see below
    changed = {
        **home.environment(),
        **{name: str(place) for name, place in places.items() if os.environ.get(name)},
        "MLOPS_REPOSITORY": url if "://" in url else str(Path(url).expanduser().absolute()),
        "PYTHONPATH": os.pathsep.join(path for path in paths if path),
    }
    named = os.environ.get("MLFLOW_TRACKING_URI", "")
    if named.startswith(SQLITE):  # relative to this folder, not to the checkout's
        changed["MLFLOW_TRACKING_URI"] = f"{SQLITE}{Path(named.removeprefix(SQLITE)).absolute()}"
    return {**os.environ, **changed}
