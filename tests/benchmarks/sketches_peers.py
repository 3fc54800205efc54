"""The peers of `sketches`: Apache DataSketches, and the wheel that whylogs makes its sketches with.

Both are the same C++ library at different ages. Apache's publishes no update by arrays for distinct
values, so those are updated one by one, as its own examples do.
"""

from __future__ import annotations

import importlib
import sys
from base64 import b64decode, b64encode
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from tests.benchmarks.measuring import answer_questions, tried

K, LG_DISTINCT, LG_ITEMS = 1024, 12, 10  # what whylogs makes its sketches with
WHYLOGS, APACHE = "whylogs_sketching", "datasketches"


def main(module: str) -> None:
    """Answer questions with one of the two libraries."""
    library = importlib.import_module(module)

    def answer(what: str, kind: str, **question: Any) -> dict[str, Any]:
        try:
            if what == "read":
                return read(library, kind, [b64decode(data) for data in question["sketches"]])
            if what == "rank":
                sketch = of(library, kind).deserialize(b64decode(question["sketch"]))
                asked = np.load(question["file"])
                return {"shares": [sketch.get_rank(float(value)) for value in asked]}
            work = {"update": update, "merge": merge}[what](library, kind, question["file"])
        except (TypeError, ValueError, RuntimeError) as error:
            return {"failed": type(error).__name__, "said": str(error)}
        return repeated(work, question["repetitions"])

    answer_questions({"module": module}, answer)


def repeated(work: Callable[[], bytes], repetitions: int) -> dict[str, Any]:
    """Return the times, the sketch, and whether every repetition gave its bytes."""
    made: list[bytes] = []
    found = tried(lambda: made.append(work()), repetitions)
    same = all(sketch == made[0] for sketch in made) if len(made) > 1 else None
    return found | {"sketch": b64encode(made[-1]).decode(), "same": same}


def of(library: Any, kind: str) -> Any:
    """Return the class of a kind of sketch."""
    return getattr(
        library,
        {
            "KLL": "kll_doubles_sketch",
            "classic quantiles": "quantiles_doubles_sketch",
            "REQ": "req_floats_sketch",
            "t-digest": "tdigest_double",
            "distinct": "hll_sketch",
            "items": "frequent_strings_sketch",
        }[kind],
    )


def empty(library: Any, kind: str) -> Any:
    """Return an empty sketch, of about the size that whylogs' has."""
    if kind == "distinct":  # four bits a register, as whylogs keeps them
        fours = library.tgt_hll_type.HLL_4
        return library.hll_sketch(LG_DISTINCT, fours)
    sizes = {"KLL": K, "classic quantiles": 512, "REQ": 64, "t-digest": K, "items": LG_ITEMS}
    return of(library, kind)(sizes[kind])


def serialized(sketch: Any, kind: str) -> bytes:
    """Return a sketch's bytes."""
    return bytes(sketch.serialize_compact() if kind == "distinct" else sketch.serialize())


def update(library: Any, kind: str, file: str) -> Callable[[], bytes]:
    """Return the work of making a sketch of a file's values."""
    values = np.load(file)
    if kind == "items":
        items, counts = np.unique(values, return_counts=True)
        pairs = list(zip(map(str, items.tolist()), counts.tolist(), strict=True))

        def counted() -> bytes:
            sketch = empty(library, kind)
            for item, count in pairs:
                sketch.update(item, count)
            return serialized(sketch, kind)

        return counted

    def work() -> bytes:
        sketch = empty(library, kind)
        if kind != "distinct":
            sketch.update(values.astype(np.float32) if kind == "REQ" else values)
        elif hasattr(sketch, "update_np"):
            sketch.update_np(values)
        else:
            deque(map(sketch.update, values.tolist()), maxlen=0)
        return serialized(sketch, kind)

    return work


def merge(library: Any, kind: str, file: str) -> Callable[[], bytes]:
    """Return the work of reading 50 sketches of a fiftieth of the rows each, and joining them."""
    parts = []
    for number, rows in enumerate(np.array_split(np.load(file), 50)):
        part = Path(file).with_name(f"part of {Path(file).stem}, {number}.npy")
        np.save(part, rows)
        parts.append(update(library, kind, str(part))())
    return lambda: joined(library, kind, parts)


def joined(library: Any, kind: str, parts: list[bytes]) -> bytes:
    """Return the sketch of what all sketches were made of."""
    read = of(library, kind).deserialize
    if kind == "distinct":
        union = library.hll_union(LG_DISTINCT)
        for part in parts:
            union.update(read(part))
        return serialized(union.get_result(library.tgt_hll_type.HLL_4), kind)
    whole = empty(library, kind)
    for part in parts:
        whole.merge(read(part))
    return serialized(whole, kind)


def read(library: Any, kind: str, sketches: list[bytes]) -> dict[str, Any]:
    """Say whether the library reads a sketch and joins it with others."""
    try:
        for sketch in sketches:
            of(library, kind).deserialize(sketch)
        joined(library, kind, sketches)
    except (TypeError, ValueError, RuntimeError) as error:
        return {"reads": False, "said": str(error)}
    return {"reads": True}


if __name__ == "__main__":
    main(*sys.argv[1:])
