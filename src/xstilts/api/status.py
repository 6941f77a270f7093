"""What the operator tells about a Study. Small and bounded: tables lie in the store and in Trials.

Everything here can be rebuilt from the plan in the store, the Trials and the store's manifests.
"""

from pydantic import Field

from xstilts.api.base import Model
from xstilts.api.conditions import Condition


class PlanStatus(Model):
    """What was accepted, frozen in the store."""

    digest: str
    uri: str
    """Where plan.json lies."""
    generation: int
    """The metadata.generation that it was made from."""
    trials: int
    stages: int
    reused: int
    """Stages that were there when the plan was accepted."""
    to_run: int
    not_applicable: tuple[str, ...] = Field((), max_length=64)
    """Sizes above a recipe's data, which were left out."""


class Counts(Model):
    """Trials by where they stand."""

    trials: int = 0
    queued: int = 0
    waiting: int = 0
    running: int = 0
    succeeded: int = 0
    failed: int = 0
    reused: int = 0
    """Of those that succeeded: with nothing left to run for them."""


class BestScore(Model):
    """The best point for a target, by the mean over languages and seeds."""

    target: str
    metric: str
    recipe: str
    size: str
    score: str
    """Percent, a decimal; mean over languages other than English, and over seeds."""
    interval: str = ""
    """Half width of the 95 % interval over seeds; empty for one seed."""


class CurveFit(Model):
    """Score as a function of the size of the intermediate data."""

    recipe: str
    target: str
    model: str
    parameters: dict[str, str] = Field(default_factory=dict, max_length=8)
    interval: str = ""
    n: int


class StudyStatus(Model):
    observed_generation: int = 0
    conditions: tuple[Condition, ...] = Field((), max_length=16)
    start_time: str | None = Field(None, json_schema_extra={"format": "date-time"})
    """When the study was accepted."""
    completion_time: str | None = Field(None, json_schema_extra={"format": "date-time"})
    plan: PlanStatus | None = None
    counts: Counts = Counts()
    progress: str = ""
    """Trials that ended, of all, such as `3/15`."""
    gpu_hours: str = "0"
    """Used so far, a decimal."""
    best: tuple[BestScore, ...] = Field((), max_length=64)
    curves: tuple[CurveFit, ...] = Field((), max_length=256)
    report_url: str | None = Field(None, alias="reportURL")
    tracking_url: str | None = Field(None, alias="trackingURL")
    pipeline_url: str | None = Field(None, alias="pipelineURL")
