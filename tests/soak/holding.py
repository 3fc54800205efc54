"""What has to hold after the night: nothing left behind, nothing judged twice, all of it said."""

from __future__ import annotations

import json
from collections import Counter
from datetime import timedelta
from pathlib import Path

from mlops_assets.records import kinds
from mlops_assets.records.store import Store
from tests import tiny
from tests.soak.events import Night
from tests.soak.model import Hour


def left_behind(night: Night, home: Path) -> list[str]:
    """Return what is not done yet of what was accepted, a sentence each."""
    store = Store(home / "store")
    verdicts = {row.window: row for row in store.latest(kinds.Verdict, model=tiny.MODEL)}
    measured = {row.window: row for row in store.latest(kinds.Performance, model=tiny.MODEL)}
    found, newest = [], max(night.batches)
    for key, version in sorted(night.batches.items()):
        verdict = verdicts.get(key)
        if verdict is None or verdict.batch_version != version:
            found.append(f"{key} has no verdict on the batch that was accepted last")
            continue
        labels = night.labels.get(key)
        if labels is None or verdict.champion is None or not mature(key, newest):
            continue
        row = measured.get(key)
        if row is None or (row.batch_version, row.labels_version) != (version, labels):
            found.append(f"{key} was not measured on the labels that were accepted last")
    return found


def mature(key: str, newest: str) -> bool:
    """Say whether the labels of an hour can be trusted: the newest batch ended 1.5 hours after it."""
    return Hour.of(key).ends + timedelta(days=0.0625) <= Hour.of(newest).ends


def judged_twice(home: Path) -> list[str]:
    """Return the windows that were judged more than once on the same batch, beside the same past.

    A verdict counts the windows before it: when one of those lands late, or is taken back, it is
    made again, and may well say the same.
    """
    rows = Store(home / "store").rows(kinds.Verdict, model=tiny.MODEL)
    seen = Counter(
        (row.window, row.batch_version, row.champion, row.past, row.verdict) for row in rows
    )
    return [f"{key[0]} was judged {n} times, to the same end" for key, n in seen.items() if n > 1]


def problems(night: Night, home: Path) -> list[str]:
    """Return all that does not hold."""
    found = [*night.faults, *left_behind(night, home), *judged_twice(home)]
    verified = night.product.mlops("verify", tiny.MODEL)
    if verified.returncode != 0:
        found.append(f"mlops verify: {verified.stdout}{verified.stderr}")
    status = night.product.mlops("status", tiny.MODEL, "--json")
    if status.returncode != 0:
        return [*found, f"mlops status: {status.stderr}"]
    (model,) = json.loads(status.stdout)["models"]
    found += [
        f"{one['window']} was refused without a reason"
        for one in model["refused"]
        if not one["problems"]
    ]
    scored = {one["window"] for one in model["windows"] if one["rows"]}
    found += [f"{key} was withdrawn and is shown as scored" for key in night.withdrawn & scored]
    found += [f"a run hangs: {one}" for one in model.get("hanging", [])]
    return found
