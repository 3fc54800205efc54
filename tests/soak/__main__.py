"""`python -m tests.soak` lets the product live through a bad night, then says what did not hold.

`mlops dev` runs on a small hourly model with a clock that runs fast, while data lands well, badly,
late, early, twice and corrected, a person presses buttons in the UI, and processes die. The seed
that is printed first gives the same script again.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from mlops_assets import clock
from tests.soak.events import Night
from tests.soak.holding import left_behind, problems
from tests.soak.model import FIRST, Hour, make_project
from tests.soak.running import Product

EARLIER = 8  # hours that are history when the night begins
SPEED = 90  # an hour of data takes 40 s
PATIENCE = 600  # seconds that what was accepted may take after the last event


def say(text: str) -> None:
    """Print a line at once: the soak is watched."""
    print(text, flush=True)


def environment(home: Path) -> dict[str, str]:
    """Return a shell's environment with a home of its own."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    return {**kept, "MLOPS_HOME": str(home), "PYTHONWARNINGS": "ignore"}


def set_clock(product: Product, *, running: bool) -> None:
    """Set the clock to the hour at which the night begins, for us and for the product."""
    start = (FIRST + timedelta(hours=EARLIER)).isoformat()
    now = f"{start}@{datetime.now(UTC).isoformat()}*{SPEED}" if running else start
    os.environ[clock.VARIABLE] = product.environment[clock.VARIABLE] = now


def soak(folder: Path, seed: int, minutes: float) -> list[str]:
    """Play the night; return all that did not hold at its end."""
    home = folder / "home"
    product = Product(make_project(folder / "project"), environment(home))
    night = Night(product, random.Random(seed), say)
    set_clock(product, running=False)
    for number in range(EARLIER):
        night.random = random.Random(f"{seed}:{number}")
        night.deliver(Hour(number))
    set_clock(product, running=True)
    product.start()
    try:
        if not product.ready():
            return [f"mlops dev did not start:\n{product.log.read_text()[-3000:]}"]
        for hour in map(Hour, range(EARLIER, EARLIER + round(minutes * 60 * SPEED / 3600))):
            play(night, seed, hour)
        for late in list(night.late):  # what is still out arrives in the morning
            night.late.remove(late)
            for kind, frame in zip(("batches", "labels"), night.good(late), strict=True):
                night.land(late, frame, kind, accepted=True)
        wait_for_the_morning(night, home)
        return problems(night, home)
    finally:
        say(f"what happened: {dict(night.counts)}, {night.refusals} refusals")
        product.stop()


def play(night: Night, seed: int, hour: Hour) -> None:
    """Let an hour pass with what happens in it, then let its data come.

    Each thing that happens has a random generator of its own: what one of them finds (a run to
    terminate, or none) does not change what comes after it.
    """
    for quarter in range(4):
        night.random = random.Random(f"{seed}:{hour.number}:{quarter}")
        wait_until(hour.begins + quarter * timedelta(minutes=15))
        if quarter == 2:
            night.deliver_ahead(hour)
        night.happen()
    night.random = random.Random(f"{seed}:{hour.number}")
    wait_until(hour.ends)
    say(f"{clock.now():%d %H:%M}  {hour.key} has ended")
    night.deliver(hour)
    night.deliver_behind()


def wait_until(moment: datetime) -> None:
    """Wait for a moment of the fast clock."""
    time.sleep(max((moment - clock.now()).total_seconds() / SPEED, 0))


def wait_for_the_morning(night: Night, home: Path) -> None:
    """Give what was accepted the time to be done, with nothing in its way."""
    if not night.product.alive:
        night.product.start()
    end = time.monotonic() + PATIENCE
    while (left := left_behind(night, home)) and time.monotonic() < end:
        say(f"{clock.now():%d %H:%M}  {len(left)} left, the first: {left[0]}")
        time.sleep(10)


def main() -> int:
    """Read the arguments, play, and say what did not hold."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--minutes", type=float, default=20.0)
    parser.add_argument("--keep", action="store_true", help="Keep the folder also when all holds.")
    arguments = parser.parse_args()
    seed = random.SystemRandom().randrange(10_000) if arguments.seed is None else arguments.seed
    folder = Path(tempfile.mkdtemp(prefix=f"soak-{seed}-"))
    say(f"seed {seed}, {arguments.minutes:g} minutes, in {folder}")
    found = soak(folder, seed, arguments.minutes)
    for problem in found:
        say(f"does not hold: {problem}")
    if found or arguments.keep:
        say(f"kept: {folder}")
    else:
        shutil.rmtree(folder)
    say("all holds" if not found else f"{len(found)} things do not hold; seed {seed}")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
