"""docs/graph.png: the stages of the demo's model, drawn from its definitions (`make graph`).

What it was drawn from stands in the file itself, so that a test can tell whether it still is so
without comparing pixels, which another version of a font would change.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

FILE = Path(__file__).parents[2] / "docs/graph.png"
DRAWN_FROM = "graph"
PLACES = {
    "source": (0, 0),
    "batches": (1, 0),
    "features": (2, 0),
    "predictions": (3, 0.55),
    "drift_profile": (4, 0),
    "performance": (4, 1.05),
    "staleness": (5, 1.5),
    "labels_source": (0, 1.9),
    "labels": (1, 1.9),
    "training_set": (3, 2.9),
    "model": (4, 2.45),
    "evaluation": (5, 2.9),
    "champion": (6, 2.45),
}
WIDTH, HEIGHT = 0.76, 0.36  # of a box, in columns and rows
BLUE, GREY, INK = "#2f6fb0", "#9aa3ad", "#1f2933"


def stages() -> dict[str, dict[str, Any]]:
    """Return of each stage its parents, its checks and whether there is one per window."""
    from mlops_assets.definitions import defs

    graph = defs().resolve_asset_graph()
    found: dict[str, dict[str, Any]] = {}
    for key in sorted(graph.get_all_asset_keys()):
        node = graph.get(key)
        found[key.path[1]] = {
            "from": sorted(parent.path[1] for parent in node.parent_keys),
            "checks": sorted(check.name for check in node.check_keys),
            "windowed": node.is_partitioned,
            "kinds": sorted(node.kinds),
        }
    return found


def drawn_from(file: Path) -> dict[str, Any]:
    """Return what a picture was drawn from."""
    from PIL import Image

    with Image.open(file) as picture:
        found: dict[str, Any] = json.loads(picture.info[DRAWN_FROM])
    return found


def draw(stages: dict[str, dict[str, Any]], file: Path) -> None:
    """Draw the stages, and what each is made from."""
    from matplotlib.figure import Figure
    from matplotlib.patches import FancyBboxPatch, PathPatch
    from matplotlib.path import Path as Curve

    figure = Figure(figsize=(13, 5), dpi=120)
    axes = figure.add_axes((0.005, 0.01, 0.99, 0.98))
    axes.set_xlim(-0.5, 6.5)
    axes.set_ylim(3.55, -0.35)
    axes.axis("off")
    for name, stage in stages.items():
        x, y = PLACES[name]
        for parent in stage["from"]:
            begin, (end, level) = PLACES[parent], (x, y)
            left, right = begin[0] + WIDTH / 2, end - WIDTH / 2
            turn = left + 1 - WIDTH  # up or down between two columns, then on beside the boxes
            half = (left + turn) / 2
            points = [
                (left, begin[1]),
                (half, begin[1]),
                (half, level),
                (turn, level),
                (right, level),
            ]
            moves = [Curve.MOVETO, Curve.CURVE4, Curve.CURVE4, Curve.CURVE4, Curve.LINETO]
            curve = Curve(points, moves)
            axes.add_patch(PathPatch(curve, fill=False, edgecolor=GREY, lw=1.6, zorder=1))
            axes.plot(right - 0.01, level, marker=">", color=GREY, ms=5, zorder=1)
        windowed = stage["windowed"]
        box = FancyBboxPatch(
            (x - WIDTH / 2, y - HEIGHT / 2),
            WIDTH,
            HEIGHT,
            boxstyle="round,pad=0,rounding_size=0.05",
            facecolor="#eaf1f9" if windowed else "white",
            edgecolor=BLUE if windowed else INK,
            linestyle="--" if name.endswith("source") else "-",
            lw=1.4,
            zorder=2,
        )
        axes.add_patch(box)
        axes.text(
            x, y - 0.03, name, ha="center", va="center", fontsize=11, color=INK, zorder=3,
            family="monospace",
        )  # fmt: skip
        under = ", ".join(stage["kinds"])
        axes.text(
            x, y + 0.105, under, ha="center", va="center", fontsize=7, color="#6b7580", zorder=3
        )
        if stage["checks"]:
            said = "✓ " + "\n✓ ".join(check.replace("_", " ") for check in stage["checks"])
            axes.text(x - WIDTH / 2 + 0.02, y + HEIGHT / 2 + 0.03, said, va="top", fontsize=8,
                      color="#3f8f4f", zorder=3)  # fmt: skip
    axes.text(
        -0.38, 3.4,
        "blue: one per window    dashed: what others land, observed    ✓ a check",
        fontsize=9, color="#6b7580", va="center",
    )  # fmt: skip
    figure.savefig(file, format="png", metadata={DRAWN_FROM: json.dumps(stages), "Software": None})


if __name__ == "__main__":
    draw(stages(), FILE)
    print(f"{FILE} is drawn anew")
