"""The sections of a declaration: what each may say, its bounds and its defaults."""

from __future__ import annotations

import codecs
from collections.abc import Mapping
from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from mlops_assets.declaration.windows import Value, known_zone
from mlops_assets.errors import FieldError

Task = Literal["binary", "regression"]
MetricName = Literal["auc", "log_loss", "brier", "rmse", "mae"]
#: the metrics that each task can be judged by; the first is its default
METRICS_OF: Mapping[Task, tuple[MetricName, ...]] = {
    "binary": ("auc", "log_loss", "brier"),
    "regression": ("rmse", "mae"),
}

#: `package.module:NAME`, or `.module:NAME` beside the declaration
REFERENCE = r"^\.?[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*$"


class Files(Value):
    """How the files that land are read; what is None is told by the file, or it is refused."""

    separator: Literal[",", ";", "\t", "|"] | None = Field(
        default=None,
        description="What separates the fields of a CSV; None: the one with which its first line "
        "names the contract's columns.",
    )
    decimal: Literal[".", ","] | None = Field(
        default=None,
        description="The decimal sign of numbers written as text; None: a comma where the file "
        "leaves no doubt (3,5 somewhere, and a point nowhere), else a point.",
    )
    thousands: Literal[",", ".", "'", " "] | None = Field(
        default=None,
        description="What groups the digits of numbers written as text; None: nothing does.",
    )
    encoding: str | None = Field(
        default=None,
        description="How a text file is encoded, as cp1252; None: UTF-8, or UTF-16 that says so.",
    )
    nulls: list[str] = Field(
        default_factory=list, description="Texts that stand for no value, beside the empty one."
    )
    times: dict[str, str] = Field(
        default_factory=dict,
        description="How a column's dates or times are written, as `{seen_at: '%d/%m/%Y %H:%M'}`; "
        "any other is ISO 8601.",
    )
    timezone: str | None = Field(
        default=None,
        description="The zone of times that name none, in CSV and Parquet alike; None: that of the "
        "contract's column. A contract's column without a zone is local time of windows.timezone.",
    )
    ambiguous: Literal["earliest", "latest", "refuse"] = Field(
        default="refuse",
        description="What a time without a zone means in an hour that the clocks show twice or "
        "skip: the earlier moment it can mean, the later, or the file is refused.",
    )
    max_rows: int = Field(default=50_000_000, description="A file with more rows is refused.", ge=1)
    max_bytes: int = Field(
        default=4 * 2**30,
        description="A larger file is refused; of a compressed text, what it unpacks to.",
        ge=1,
    )

    @field_validator("timezone")
    @classmethod
    def _known_zone(cls, value: str | None) -> str | None:
        return value if value is None else known_zone(value)

    @field_validator("encoding")
    @classmethod
    def _known_encoding(cls, value: str | None) -> str | None:
        try:
            if value is not None:
                codecs.lookup(value)
        except LookupError as error:
            raise ValueError(f"no encoding `{value}`; names are as utf-8 or cp1252") from error
        return value

    @field_validator("times")
    @classmethod
    def _formats_name_a_day(cls, value: dict[str, str]) -> dict[str, str]:
        for column, text in value.items():
            if "%" not in text:
                raise ValueError(f"`{column}`: `{text}` is no format; they are as %d/%m/%Y %H:%M")
        return value

    @model_validator(mode="after")
    def _signs_differ(self) -> Self:
        if self.thousands is not None and self.thousands == (self.decimal or "."):
            raise ValueError(f"thousands `{self.thousands}` is the decimal sign too")
        return self


class Batches(Value):
    """What a batch has to be before it may reach main."""

    contract: str = Field(
        description="The dataframely schema, as `.schema:Departures`.", pattern=REFERENCE
    )
    time: str = Field(description="Column whose time says to which window a row belongs.")
    key: list[str] = Field(
        description="Columns that name a row; no two rows share them.", min_length=1
    )
    min_rows: int = Field(default=1, description="Fewer rows are refused.", ge=1)
    max_null_share: float = Field(
        default=0.2, description="Largest share of nulls in a column that may have any.", ge=0, le=1
    )
    null_shares: dict[str, Annotated[float, Field(ge=0, le=1)]] = Field(
        default_factory=dict, description="Columns with a limit of their own, instead of that one."
    )
    deliveries: Literal["replace", "append"] = Field(
        default="replace",
        description="What a second file of a window is: all its rows anew, refused if it lacks any "
        "that landed before (unless `--replace`); or more rows, added to those.",
    )
    history: str | None = Field(
        default=None, description="Folder of files named by window, which `mlops replay` lands."
    )
    history_until: str | None = Field(
        default=None, description="Last window that `mlops replay` lands unless told otherwise."
    )


class Labels(Value):
    """What came true, landed apart from the batch."""

    contract: str = Field(
        description="The dataframely schema, as `.schema:Arrivals`.", pattern=REFERENCE
    )
    target: str = Field(
        description="The Polars expression of the target, as `.features:TARGET`; null where "
        "unknown. Boolean, or 0 and 1, for a binary task; a finite number for regression. It calls "
        "no Python function: a change of one could not be told.",
        pattern=REFERENCE,
    )
    mature_after_days: float = Field(
        default=0,
        description="Days after a window's end until its labels are trusted.",
        ge=0,
        le=3650,
    )
    min_matched_share: float = Field(
        default=0.5,
        description="Least share of a label file's rows whose key the window's batch has.",
        ge=0,
        le=1,
    )
    deliveries: Literal["replace", "append"] = Field(
        default="replace",
        description="What a second file of a window is: all its rows anew, refused if it lacks any "
        "that landed before (unless `--replace`); or more rows, added to those.",
    )
    history: str | None = Field(
        default=None, description="Folder of files named by window, which `mlops replay` lands."
    )


class Training(Value):
    """What is learnt, and from how much."""

    first_after: int = Field(
        default=13, description="Mature windows needed before the first training.", ge=2, le=10_000
    )
    frame: Literal["expanding", "rolling"] = Field(
        default="expanding", description="Train on everything mature, or on the newest windows."
    )
    frame_windows: int | None = Field(
        default=None, description="How many windows a rolling frame has.", ge=2, le=10_000
    )
    rounds: int = Field(default=150, description="Boosting rounds.", ge=1, le=100_000)
    seed: int = Field(default=1, description="Seed of everything random.", ge=0, le=2**31 - 1)
    parameters: dict[str, float | int | str | bool] = Field(
        default_factory=dict, description="LightGBM's own parameters."
    )

    @model_validator(mode="after")
    def _frame_has_a_length(self) -> Self:
        if (self.frame == "rolling") != (self.frame_windows is not None):
            raise FieldError(
                "a rolling frame needs frame_windows, an expanding one has none", "frame"
            )
        return self


class Gates(Value):
    """What a challenger must pass before it may serve."""

    metric: MetricName | None = Field(
        default=None,
        description="The metric by which models are compared and reported: auc, log_loss or brier "
        "for a binary task, rmse or mae for regression; None is auc, or rmse.",
    )
    holdout_windows: int = Field(
        default=2, description="Newest mature windows on which they are compared.", ge=1, le=100
    )
    min_gain: float = Field(
        default=0.0,
        description="Least gain over the champion, in the metric, mean of the windows; for rmse "
        "and mae as a share of the champion's.",
        ge=-1,
        le=1,
    )
    min_gain_over_baseline: float = Field(
        default=0.01,
        description="Least gain over always saying the mean of the training rows (the base rate), "
        "in the metric; for rmse and mae as a share of the baseline's.",
        ge=0,
        le=1,
    )
    score_agreement: float = Field(
        default=5.0,
        description="How far the refit's scores may be from the challenger's, in units of the mean "
        "difference between seeds of one model.",
        gt=0,
        le=100,
    )
    rank_agreement: float = Field(
        default=6.0,
        description="The same for the order in which they put the rows (1 - rank correlation).",
        gt=0,
        le=100,
    )


class Drift(Value):
    """The policy by which a window is judged, from the next window judged on."""

    false_alarms_per_year: float = Field(
        default=1.0, description="Declared budget of false alarms a year.", gt=0, le=366
    )
    needed: int = Field(
        default=2,
        description="So many of the last windows judged must exceed the limit.",
        ge=1,
        le=100,
    )
    of_last: int = Field(default=3, description="How many windows those are.", ge=1, le=100)
    leave_out: list[str] = Field(
        default_factory=list, description="Features that don't count, such as calendar ones."
    )
    prediction_share: float = Field(
        default=0.0,
        description="Part of the drift score that the model's own scores make up; 0: they have a "
        "line and a warning sign, and don't count.",
        ge=0,
        le=1,
    )
    min_row_share: float = Field(
        default=0.5,
        description="A window with a smaller share of the reference's median rows isn't judged.",
        ge=0,
        le=1,
    )
    null_change: float = Field(
        default=0.05,
        description="A change of the share of missing values, beyond what the reference's own "
        "windows had, that is a warning sign.",
        gt=0,
        le=1,
    )
    new_categories: float = Field(
        default=0.005,
        description="Share of rows in categories never seen before that is a warning sign.",
        ge=0,
        le=1,
    )
    reference: Literal["champion", "fixed", "trailing"] = Field(
        default="champion",
        description="What a window is compared with: what the champion was trained on, the windows "
        "of a fixed range, or the newest ones before it.",
    )
    reference_from: str | None = Field(
        default=None,
        description="First window of a fixed reference.",
        pattern=r"^\d{4}-\d\d-\d\d(T\d\d)?$",
    )
    reference_until: str | None = Field(
        default=None,
        description="Last window of a fixed reference; only later ones are judged.",
        pattern=r"^\d{4}-\d\d-\d\d(T\d\d)?$",
    )
    reference_windows: int | None = Field(
        default=None, description="How many windows a trailing reference has.", ge=2, le=10_000
    )
    segments: list[str] = Field(
        default_factory=list,
        description="Features whose values (together) name segments, each with a verdict of its "
        "own.",
    )
    most_segments: int = Field(
        default=20,
        description="So many segments, those with the most rows, are judged by themselves; the "
        "rest are one.",
        ge=1,
        le=1000,
    )
    min_segment_rows: int = Field(
        default=100, description="A segment with fewer rows in a window isn't judged.", ge=1
    )
    segments_decide: bool = Field(
        default=False,
        description="Whether a segment that drifted makes the window drifted; the budget of false "
        "alarms is then shared among the segments and the whole.",
    )

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.needed > self.of_last:
            raise FieldError(f"needed {self.needed} is more than of_last {self.of_last}", "needed")
        ends = (self.reference_from, self.reference_until)
        if (self.reference == "fixed") != (None not in ends) or (ends[0] is None) != (
            ends[1] is None
        ):
            raise FieldError(
                "a fixed reference needs reference_from and reference_until, others have none",
                "reference",
            )
        if ends[0] is not None and ends[1] is not None and ends[0] > ends[1]:
            raise FieldError(
                f"reference_from {ends[0]} is after reference_until {ends[1]}", "reference_from"
            )
        if (self.reference == "trailing") != (self.reference_windows is not None):
            raise FieldError(
                "a trailing reference needs reference_windows, others have none", "reference"
            )
        if self.segments_decide and not self.segments:
            raise FieldError("segments_decide needs segments", "segments_decide")
        return self


class PerformanceLimit(Value):
    """How bad the measured metric may be."""

    worst: float = Field(description="The worst value of gates.metric that is put up with.")
    needed: int = Field(default=2, description="Windows that have to be worse.", ge=1, le=100)
    of_last: int = Field(default=3, description="Of how many measured last.", ge=1, le=100)

    @model_validator(mode="after")
    def _needed_fits(self) -> Self:
        if self.needed > self.of_last:
            raise FieldError(
                f"needed ({self.needed}) is more than of_last ({self.of_last})", "needed"
            )
        return self


class Retraining(Value):
    """When evidence becomes a retraining."""

    triggers: list[Literal["staleness", "drift", "performance", "new_data", "schedule"]] = Field(
        default=["staleness", "drift"],
        description="Evidence that may start a retraining by itself.",
    )
    performance: PerformanceLimit | None = Field(
        default=None, description="What the trigger `performance` goes by."
    )
    new_windows: int | None = Field(
        default=None,
        description="Matured windows that the champion never saw, for the trigger `new_data`.",
        ge=1,
        le=10_000,
    )
    every_windows: int | None = Field(
        default=None,
        description="Windows from one retraining to the next, for the trigger `schedule`.",
        ge=1,
        le=10_000,
    )
    cooldown_windows: int = Field(
        default=3, description="Windows that must pass between two retrainings.", ge=1, le=1000
    )
    in_flight_minutes: float = Field(
        default=120,
        description="After so long a run in flight no longer holds others back.",
        gt=0,
        le=10_080,
    )
    cost: float | None = Field(
        default=None,
        description="What a retraining costs, for the staleness: in the metric for a month, or in "
        "money if there is a kpi. None is .01 for auc, else 3% of the champion's first value.",
        gt=0,
        allow_inf_nan=False,
    )
    kpi: str | None = Field(
        default=None,
        description="Polars expression of the money that a row earns, over its features, `score` "
        "and `target`, as `.features:KPI`; staleness then counts money instead of the metric. It "
        "calls no Python function either.",
        pattern=REFERENCE,
    )
    attempts: int = Field(
        default=3, description="How often a run that crashed is started again.", ge=1, le=10
    )
    runs_per_month: int | None = Field(
        default=None, description="Budget: retrainings within a month of data.", ge=1, le=10_000
    )
    minutes_per_month: float | None = Field(
        default=None,
        description="Budget: minutes that retrainings take within a month of data.",
        gt=0,
        le=1_000_000,
    )
    breaker_after: int = Field(
        default=3,
        description="Challengers refused in a row, after which others are tried less often.",
        ge=1,
        le=1000,
    )
    breaker_windows: int = Field(
        default=8, description="How many windows apart they are tried then.", ge=1, le=10_000
    )

    @model_validator(mode="after")
    def _triggers_know_their_measure(self) -> Self:
        for trigger, measure in (
            ("performance", "performance"),
            ("new_data", "new_windows"),
            ("schedule", "every_windows"),
        ):
            if trigger in self.triggers and getattr(self, measure) is None:
                raise FieldError(f"the trigger `{trigger}` needs `{measure}`", "triggers")
        return self

    @model_validator(mode="after")
    def _money_has_a_cost(self) -> Self:
        if self.kpi is not None and self.cost is None:
            raise FieldError(
                "a kpi is in money, so what a retraining costs must be: declare cost", "kpi"
            )
        return self


class Retention(Value):
    """How long what was recorded stays as it is, by the time of the data."""

    window_profiles_days: int | None = Field(
        default=730,
        description="Profiles of older windows are merged into one for each month, when another "
        "month begins; what the declared reference is made of stays. None: never.",
        ge=31,
        le=36_500,
    )
