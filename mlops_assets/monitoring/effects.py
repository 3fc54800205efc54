"""What changing a field of the declaration does to what was recorded before, field by field.

Each field has one of a few effects; a test compares every row with what the code does, and
docs/declaration.md shows it beside the field.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal

Effect = Literal[
    "shown",
    "another model",
    "range",
    "landing",
    "training",
    "gates",
    "verdicts",
    "decisions",
    "retention",
    "measured again",
    "staleness again",
    "new target",
    "refused",
]

#: in a sentence, as docs/declaration.md explains it
EXPLAINED: Mapping[Effect, str] = {
    "shown": "It is shown, or says where history lies; nothing that was recorded changes.",
    "another model": "It is another model from then on, which begins with nothing; what was "
    "recorded stays under the old name.",
    "range": "Windows outside are no longer looked at, or more may land; what was recorded of the "
    "others stays.",
    "landing": "Files that land from then on are read and checked by it; what has landed stays, "
    "and what was refused is tried again by the next `mlops replay`.",
    "training": "The next challenger, and the next twins, are trained by it; figures and verdicts "
    "stay. Features of windows that are learnt from are computed anew.",
    "gates": "The next challenger is judged by it; promotions stay.",
    "verdicts": "The next window is judged by it; verdicts by the policy of before stay, and don't "
    "count for it.",
    "decisions": "The next decision goes by it; what was decided stays.",
    "retention": "Profiles are merged by it when another month of data begins; what was merged "
    "stays merged.",
    "measured again": "What was measured, estimated and judged by twins means something else: "
    "every window with mature labels is measured again, and figures of before are no longer "
    "summed or compared with.",
    "staleness again": "The differences of the twins mean something else: they are made again for "
    "every window with mature labels, and those of before are no longer summed.",
    "new target": "As `measured again`; and the champion learnt something else: it serves on, no "
    "twin stands for it, and a challenger is trained by itself (trigger `new_target`) that is "
    "compared with the baseline alone.",
    "refused": "Under the keys of the windows that landed would lie something else: refused "
    "everywhere from the first landing on, until it is put back. Declare a model of another name.",
}

_FIELDS: Mapping[Effect, Iterable[str]] = {
    "shown": (
        "description",
        "owners",
        "batches.history",
        "batches.history_until",
        "labels.history",
    ),
    "another model": ("name",),
    "range": ("windows.start", "windows.end"),
    "landing": (
        "batches.contract",
        "batches.min_rows",
        "batches.max_null_share",
        "batches.null_shares",
        "batches.deliveries",
        "labels.contract",
        "labels.min_matched_share",
        "labels.deliveries",
        "files.separator",
        "files.decimal",
        "files.thousands",
        "files.encoding",
        "files.nulls",
        "files.times",
        "files.timezone",
        "files.ambiguous",
        "files.max_rows",
        "files.max_bytes",
    ),
    "training": (
        "features",
        "training.first_after",
        "training.frame",
        "training.frame_windows",
        "training.rounds",
        "training.seed",
        "training.parameters",
        "gates.holdout_windows",
    ),
    "gates": (
        "gates.min_gain",
        "gates.min_gain_over_baseline",
        "gates.score_agreement",
        "gates.rank_agreement",
    ),
    "verdicts": (
        "drift.false_alarms_per_year",
        "drift.needed",
        "drift.of_last",
        "drift.leave_out",
        "drift.prediction_share",
        "drift.min_row_share",
        "drift.null_change",
        "drift.new_categories",
        "drift.reference",
        "drift.reference_from",
        "drift.reference_until",
        "drift.reference_windows",
        "drift.segments",
        "drift.most_segments",
        "drift.min_segment_rows",
        "drift.segments_decide",
    ),
    "decisions": (
        "retraining.triggers",
        "retraining.performance.worst",
        "retraining.performance.needed",
        "retraining.performance.of_last",
        "retraining.new_windows",
        "retraining.every_windows",
        "retraining.cooldown_windows",
        "retraining.in_flight_minutes",
        "retraining.cost",
        "retraining.attempts",
        "retraining.runs_per_month",
        "retraining.minutes_per_month",
        "retraining.breaker_after",
        "retraining.breaker_windows",
    ),
    "retention": ("retention.window_profiles_days",),
    "measured again": ("gates.metric", "labels.mature_after_days"),
    "staleness again": ("retraining.kpi",),
    "new target": ("task", "labels.target"),
    "refused": ("windows.every", "windows.timezone", "batches.time", "batches.key"),
}

#: path of a field, as `gates.metric` -> its effect
EFFECTS: Mapping[str, Effect] = {
    path: effect for effect, paths in _FIELDS.items() for path in paths
}
