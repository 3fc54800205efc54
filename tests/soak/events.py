"""What a bad night consists of: deliveries of every kind, a person in the UI, and dying processes."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

import polars as pl

from mlops_assets import clock
from mlops_assets.batches.reading import checksum
from tests import tiny
from tests.soak import running
from tests.soak.model import ROWS, Hour, broken, rows

Say = Callable[[str], None]


@dataclass
class Night:
    """The script of one night: all that is random comes from its seed."""

    product: running.Product
    random: random.Random
    say: Say
    faults: list[str] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    #: hour -> checksum of what was accepted last, by kind
    batches: dict[str, str] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)
    revisions: Counter[int] = field(default_factory=Counter)
    withdrawn: set[str] = field(default_factory=set)
    late: list[Hour] = field(default_factory=list)
    refusals: int = 0

    def fault(self, text: str) -> None:
        """Note what must not be."""
        self.faults.append(text)
        self.say(f"FAULT: {text}")

    # deliveries

    def deliver(self, hour: Hour) -> None:
        """Land an hour's batch and labels as a source of data does: mostly well."""
        kind = self.random.choices(
            ["good", "late", "bad then good", "doubled", "corrected", "short", "labels first"],
            [10, 2, 2, 2, 2, 1, 2],
        )[0]
        self.counts[kind] += 1
        if kind == "late":
            self.late.append(hour)
            return
        if kind == "bad then good":
            how = self.random.randrange(4)
            self.land(hour, broken(hour, how), "batches", accepted=False)
        first, second = ("labels", "batches") if kind == "labels first" else ("batches", "labels")
        batch, outcomes = rows(hour)
        files = {"batches": batch, "labels": outcomes}
        self.land(hour, files[first], first, accepted=True)
        self.land(hour, files[second], second, accepted=True)
        if kind == "doubled":
            self.land(hour, batch, "batches", accepted=True)
        if kind == "short":
            self.land(hour, batch.head(ROWS - 20), "batches", accepted=False)
            self.land(hour, outcomes.head(ROWS - 20), "labels", accepted=False)
        if kind == "corrected":
            self.correct(hour)

    def good(self, hour: Hour) -> tuple[pl.DataFrame, pl.DataFrame]:
        """Return an hour's batch and labels as they are after all corrections so far."""
        return rows(hour, self.revisions[hour.number])

    def known(self) -> list[Hour]:
        """Return the hours of which a batch was accepted, oldest first."""
        return [Hour.of(key) for key in sorted(self.batches)]

    def correct(self, hour: Hour) -> None:
        """Land an hour again with other values."""
        self.revisions[hour.number] += 1
        batch, outcomes = rows(hour, self.revisions[hour.number])
        self.land(hour, batch, "batches", accepted=True)
        self.land(hour, outcomes, "labels", accepted=True)

    def deliver_ahead(self, hour: Hour) -> None:
        """Land, by chance, an hour that has not ended yet, or one of next month.

        The first has to wait until it ends; the second comes of a broken clock and is refused.
        """
        if self.random.random() < 0.15:
            self.counts["early"] += 1
            self.land(hour, rows(hour)[0], "batches", accepted=True)
        if self.random.random() < 0.1:
            self.counts["future"] += 1
            future = Hour(hour.number + 700)
            self.land(future, rows(future)[0], "batches", accepted=False)

    def deliver_behind(self) -> None:
        """Land, by chance, what is late, correct an hour of before, or take one back."""
        for late in [one for one in self.late[:-1] if self.random.random() < 0.3]:
            self.late.remove(late)
            self.deliver(late)
        if self.batches and self.random.random() < 0.2:
            self.correct(self.random.choice(self.known()))
        if len(self.batches) > 4 and self.random.random() < 0.1:
            self.withdraw(self.random.choice(self.known()).key)

    def withdraw(self, key: str) -> None:
        """Take an hour back."""
        self.counts["withdrawn"] += 1
        done = self.product.mlops("withdraw", tiny.MODEL, key, "--reason", "the soak takes it back")
        if done.returncode == 1 and f"works on {key}" in done.stderr:
            self.say(f"{key} is not withdrawn: a run works on it")
            return
        if done.returncode != 0:
            self.fault(f"withdraw {key} ended with {done.returncode}: {done.stderr.strip()}")
            return
        self.withdrawn.add(key)
        self.batches.pop(key, None)
        self.labels.pop(key, None)

    def land(self, hour: Hour, frame: pl.DataFrame, kind: str, *, accepted: bool) -> None:
        """Land a file by the command line; note where its answer is not the right one."""
        file = self.product.project / "deliveries" / f"{kind}-{hour.key}.parquet"
        file.parent.mkdir(exist_ok=True)
        frame.write_parquet(file)
        which = "--labels" if kind == "labels" else "--batch"
        done = self.product.mlops(
            "land", tiny.MODEL, str(file), "--window", hour.key, which, "--json"
        )
        if "Traceback" in done.stderr:
            self.fault(f"a traceback from land {hour.key}: {done.stderr[-1500:]}")
        if (done.returncode == 0) != accepted:
            self.fault(
                f"land of {kind} of {hour.key} ended with {done.returncode}, "
                f"{'accepting' if accepted else 'refusing'} it was right: "
                f"{done.stdout.strip()[-500:]} {done.stderr.strip()[-500:]}"
            )
        if not accepted:
            self.refusals += 1
            said = done.stderr.strip() or json.loads(done.stdout or "{}").get("problems")
            if not said:
                self.fault(f"{kind} of {hour.key} was refused without a reason")
            return
        self.withdrawn.discard(hour.key)
        (self.batches if kind == "batches" else self.labels)[hour.key] = checksum(file)

    # a person in the UI

    def terminate(self) -> None:
        """Press Terminate on a run."""
        if found := self.product.runs("STARTED", "STARTING", "QUEUED"):
            self.counts["terminated"] += 1
            self.product.ask(running.TERMINATE, run=self.random.choice(found)["runId"])

    def delete(self) -> None:
        """Delete a run that has ended, with all its events."""
        if found := self.product.runs("SUCCESS", "FAILURE", "CANCELED"):
            self.counts["deleted"] += 1
            self.product.ask(running.DELETE, run=self.random.choice(found[:5])["runId"])

    def wipe(self) -> None:
        """Wipe the materializations of one stage of some windows."""
        if not self.batches:
            return
        stage = self.random.choice(["batches", "features", "predictions", "performance"])
        keys = self.random.sample(sorted(self.batches), min(3, len(self.batches)))
        self.counts["wiped"] += 1
        self.product.ask(
            running.WIPE,
            ranges=[
                {
                    "assetKey": {"path": [tiny.MODEL, stage]},
                    "partitions": {"range": {"start": key, "end": key}},
                }
                for key in keys
            ],
        )

    def stop_a_sensor(self) -> None:
        """Stop a sensor for a while, then start it again."""
        found = [one for one in self.product.sensors() if one["sensorState"]["status"] == "RUNNING"]
        if not found:
            return
        self.counts["sensors stopped"] += 1
        one = self.random.choice(found)
        self.product.ask(running.STOP, id=one["id"])
        time.sleep(self.random.uniform(5, 20))
        self.product.ask(running.START, of={**running.LOCATION, "sensorName": one["name"]})

    def ask_for_a_retraining(self) -> None:
        """Ask for a retraining by hand."""
        self.counts["retrain"] += 1
        done = self.product.mlops("retrain", tiny.MODEL, "--reason", "the soak asks")
        if done.returncode not in (0, 1) or "Traceback" in done.stderr:
            self.fault(f"retrain ended with {done.returncode}: {done.stderr[-1500:]}")

    # dying processes

    def kill_a_worker(self) -> None:
        """Kill the process of a run."""
        if workers := self.product.workers():
            self.counts["workers killed"] += 1
            try:
                os.kill(self.random.choice(workers), signal.SIGKILL)
            except ProcessLookupError:
                self.say("it had just ended")

    def kill_everything(self) -> None:
        """Kill `mlops dev` with all its processes, and start it again."""
        self.counts["dev killed"] += 1
        self.product.kill()
        time.sleep(self.random.uniform(1, 15))
        self.product.start()
        if not self.product.ready():
            self.fault(f"mlops dev did not come back:\n{self.product.log.read_text()[-3000:]}")

    def copy_the_home(self) -> None:
        """Back the home up while the daemon runs, restore it elsewhere, and check the copy."""
        self.counts["copied"] += 1
        folder = self.product.project.parent / "copies" / str(self.counts["copied"])
        folder.mkdir(parents=True)
        archive = folder / "home.tar"
        done = self.product.mlops("backup", str(archive))
        if done.returncode != 0:
            self.fault(f"backup ended with {done.returncode}: {done.stderr[-1500:]}")
            return
        copy = running.Product(
            self.product.project,
            {
                **self.product.environment,
                "MLOPS_HOME": str(folder / "home"),
                "DAGSTER_HOME": str(folder / "home/dagster"),
            },
        )
        for command in (("restore", str(archive)), ("verify",), ("status",)):
            done = copy.mlops(*command)
            if done.returncode != 0:
                self.fault(
                    f"{command[0]} of the copy ended with {done.returncode}: "
                    f"{done.stdout[-1500:]}{done.stderr[-1500:]}"
                )
                return
        shutil.rmtree(folder)

    def happen(self) -> None:
        """Let one thing happen to the processes, or nothing."""
        events: list[tuple[Callable[[], None] | None, float]] = [
            (None, 6),
            (self.terminate, 3),
            (self.delete, 1),
            (self.wipe, 1),
            (self.stop_a_sensor, 1),
            (self.ask_for_a_retraining, 1),
            (self.kill_a_worker, 2),
            (self.kill_everything, 1),
            (self.copy_the_home, 1),
        ]
        chosen = self.random.choices([e for e, _ in events], [w for _, w in events])[0]
        if chosen is not None:
            self.say(f"{clock.now():%d %H:%M}  {chosen.__name__.replace('_', ' ')}")
            chosen()
