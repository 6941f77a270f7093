"""What the operator tells about a Study. Small and bounded: tables lie in the store and in Trials.

Everything here can be rebuilt from the plan in the store, the Trials and the store's manifests.
"""

from typing import Annotated

from pydantic import Field, StringConstraints

from xstilts.api.base import Model
from xstilts.api.conditions import Condition

LabelledLanguage = Annotated[str, StringConstraints(max_length=16)]


class PlanStatus(Model):
    """What was accepted, frozen in the store."""

    digest: str = Field(max_length=64)
    """Digest of the plan, by which Trials name it."""
    uri: str = Field(max_length=2048)
    """Where plan.json lies."""
    spec_digest: str = Field(max_length=64)
    """Of the fields of the spec that it was made from."""
    trials: int = Field(ge=0)
    """Points of the study's axes."""
    stages: int = Field(ge=0)
    """Stages of all trials, each counted once."""
    reused: int = Field(ge=0)
    """Stages that were there when the plan was accepted."""
    to_run: int = Field(ge=0)
    """Stages that were not."""
    not_applicable: tuple[Annotated[str, StringConstraints(max_length=128)], ...] = Field((), max_length=64)
    """Sizes above a recipe's data, which were left out."""


class Counts(Model):
    """Trials by where they stand."""

    trials: int = Field(0, ge=0)
    """All."""
    queued: int = Field(0, ge=0)
    """For room: parallelism, of the Study or of the operator, is used up; or their Job is refused."""
    waiting: int = Field(0, ge=0)
    """For a stage that another trial, Study or cluster is at work on."""
    running: int = Field(0, ge=0)
    """With a stage at work."""
    succeeded: int = Field(0, ge=0)
    """Done, with scores."""
    failed: int = Field(0, ge=0)
    """With a stage that failed for good."""
    reused: int = Field(0, ge=0)
    """Of those that succeeded: with nothing left to run for them."""


LABELLED = 64
"""Languages that a status names at most."""


class BestScore(Model):
    """The best point for a target, chosen on English dev: by its dev score, mean over seeds, and never by test scores.

    Retrieval targets have no English dev data, so nothing is chosen for them.
    """

    target: str = Field(max_length=63)
    """Target task."""
    metric: str = Field(max_length=64)
    """Its headline metric."""
    recipe: str = Field(max_length=63)
    """Recipe of the point; `baseline` for size 0."""
    size: str = Field(max_length=16)
    """Size of the point."""
    budget: str = Field("", max_length=32)
    """Budget of the point, such as `3 epochs`; empty for the published one."""
    dev_score: str = Field("", max_length=32)
    """English dev score that it was chosen by: percent, a decimal; mean over seeds."""
    score: str = Field(max_length=32)
    """Test score, which had no part in the choice: percent, a decimal; mean over languages other than English, and over
    seeds."""
    interval: str = Field("", max_length=32)
    """Half width of the 95 % interval of the test score over seeds; empty for one seed."""
    labelled_languages: tuple[LabelledLanguage, ...] = Field((), max_length=LABELLED)
    """Languages other than English whose labels the recipe trains on: scores in them are not zero-shot."""


class CurveFit(Model):
    """Score as a function of the size of the intermediate data."""

    recipe: str = Field(max_length=63)
    """Recipe whose sizes make the curve."""
    budget: str = Field("", max_length=32)
    """Budget of its trials, such as `3 epochs`; empty for the published one."""
    target: str = Field(max_length=63)
    """Target task."""
    model: str = Field(max_length=64)
    """Form of the curve, such as a power law."""
    parameters: dict[str, Annotated[str, StringConstraints(max_length=32)]] = Field(default_factory=dict, max_length=8)
    """Its parameters by name, decimals."""
    interval: str = Field("", max_length=256)
    """95 % intervals of its parameters."""
    n: int = Field(ge=0)
    """Points that it was fitted to."""
    labelled_languages: tuple[LabelledLanguage, ...] = Field((), max_length=LABELLED)
    """Languages other than English whose labels the recipe trains on: scores in them are not zero-shot."""


class Omission(Model):
    """A list that was cut."""

    field: str = Field(max_length=63)
    """Path of the list below `status`, such as `curves` or `plan.notApplicable`."""
    entries: int = Field(ge=1)
    """How many entries were left out."""


class StudyStatus(Model):
    """Where a study stands."""

    observed_generation: int = Field(0, ge=0)
    """The metadata.generation that all of this is about."""
    conditions: tuple[Condition, ...] = Field((), max_length=16)
    """Accepted, StorageReady, TrackingReady, PodsBlocked, Progressing, Suspended, and Succeeded, which sums up."""
    problem: str = Field("", max_length=256)
    """What is in the way of a study that goes on, in one word: the reason of the condition that tells more."""
    start_time: str | None = Field(None, json_schema_extra={"format": "date-time"})
    """When the study was accepted."""
    completion_time: str | None = Field(None, json_schema_extra={"format": "date-time"})
    """When it ended, for better or worse."""
    retried: str = Field("", max_length=2048)
    """The value of the annotation `xstilts.dev/retry` that was honoured last."""
    retry_time: str | None = Field(None, json_schema_extra={"format": "date-time"})
    """When that was. Deadlines count from here; GPU hours go on from what is used."""
    plan: PlanStatus | None = None
    counts: Counts = Counts()
    progress: str = Field("", max_length=32)
    """Trials that ended, of all, such as `3/15`."""
    gpu_hours: str = Field("0", max_length=32)
    """Used so far, a decimal."""
    best: tuple[BestScore, ...] = Field((), max_length=64)
    """The best point for each target, chosen on English dev."""
    curves: tuple[CurveFit, ...] = Field((), max_length=256)
    """Fits of score over size, for each recipe and target."""
    omitted: tuple[Omission, ...] = Field((), max_length=16)
    """Lists of this status that have no room for all entries. The report has everything."""
    report_url: str | None = Field(None, alias="reportURL", max_length=2048)
    """Where the report lies, once it is written."""
    tracking_url: str | None = Field(None, alias="trackingURL", max_length=2048)
    """The study's experiment in MLflow."""
    pipeline_url: str | None = Field(None, alias="pipelineURL", max_length=2048)
    """The study's runs in Kubeflow; engine Kubeflow only."""
