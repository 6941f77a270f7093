"""The Trial: one point of a Study's intermediate axes with all its targets. Made by the operator, never by people."""

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from xstilts.api.base import Model
from xstilts.api.conditions import Condition
from xstilts.api.study import API_VERSION, BASELINE, Budget, Metadata, StageKind


class Point(Model):
    """One point of the intermediate axes: what makes a trial."""

    recipe: str = Field(max_length=63)
    """`baseline` for size 0."""
    size: str = Field(max_length=16)
    """As the study writes it: a number of rows, a percentage or `full`."""
    rows: int = Field(ge=0)
    """Rows of intermediate data that the size means."""
    subset_seed: int | None = None
    """None for the baseline and for full data, which do not depend on it."""
    seed: int
    """Training seed."""
    budget: Budget | None = None
    """None for the baseline, and for a task's published epochs."""

    @property
    def name(self) -> str:
        """Readable and unique within a study, fit for a Kubernetes name."""
        if self.recipe == BASELINE:
            return f"{BASELINE}-s{self.seed}"
        size = self.size.replace("%", "pct").replace(".", "d")
        subset = "" if self.subset_seed is None else f"-d{self.subset_seed}"
        budget = ""
        if self.budget:
            budget = f"-u{self.budget.steps}" if self.budget.steps else f"-e{self.budget.epochs}".replace(".", "d")
        return f"{self.recipe}-{size}{subset}{budget}-s{self.seed}"


class StageRef(Model):
    """One stage of a trial; other trials and studies may share it."""

    name: str = Field(max_length=128)
    """Kind, and for stages of a target the target: `evaluation/xnli`."""
    kind: StageKind
    """What the stage does."""
    key: str = Field(max_length=64)
    """Digest of everything that its result depends on; stages of one key are one stage."""


class TrialSpec(Model):
    """What a trial is; it never changes."""

    study: str = Field(max_length=63)
    """Name of the Study that it belongs to."""
    plan: str = Field(max_length=64)
    """Digest of the plan that it belongs to."""
    point: Point
    stages: tuple[StageRef, ...] = Field(min_length=1, max_length=256)
    """In the order in which they run."""


class StageState(StrEnum):
    """Where a stage of a trial stands."""

    WAITING = "Waiting"  # for the stages before it, or for room
    ELSEWHERE = "Elsewhere"  # another trial, Study or cluster is at work on it
    RUNNING = "Running"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"


class Attempts(Model):
    """Attempts that did not succeed, by what ended them."""

    failures: int = Field(0, ge=0)
    """By the stage itself: charged to failurePolicy.retries."""
    preemptions: int = Field(0, ge=0)
    """From outside: charged to failurePolicy.preemptionRetries."""


class StageStatus(Model):
    """Where a stage of the trial stands."""

    name: str = Field(max_length=128)
    """Name of the stage in the spec."""
    state: StageState
    """Waiting, Elsewhere, Running, Succeeded or Failed."""
    reused: bool = False
    """It was there already: nothing ran for this trial."""
    job: str = Field("", max_length=253)
    """Job (or TrainJob) that works on it, or that ended last."""
    attempts: Attempts = Attempts()
    reason: str = Field("", max_length=256)
    """Why it waits or failed, in one word for programs."""
    message: str = Field("", max_length=2048)
    """Why, and what to do, for people."""
    start_time: str | None = Field(None, json_schema_extra={"format": "date-time"})
    """When its first attempt started."""
    completion_time: str | None = Field(None, json_schema_extra={"format": "date-time"})
    """When it ended."""
    gpu_seconds: int = Field(0, ge=0)
    """Accelerators times seconds that this trial was charged for the stage: nothing where another started it."""


class TrialStatus(Model):
    """Where a trial stands."""

    observed_generation: int = Field(0, ge=0)
    """The metadata.generation that all of this is about."""
    conditions: tuple[Condition, ...] = Field((), max_length=8)
    """Succeeded, whose reason says where it stands."""
    start_time: str | None = Field(None, json_schema_extra={"format": "date-time"})
    """When its first stage started."""
    completion_time: str | None = Field(None, json_schema_extra={"format": "date-time"})
    """When it ended, for better or worse."""
    stages: tuple[StageStatus, ...] = Field((), max_length=256)
    """Where each of its stages stands."""
    progress: str = Field("", max_length=32)
    """Stages that are done, of all, such as `4/6`."""
    scores: dict[str, Annotated[str, StringConstraints(max_length=32)]] = Field(default_factory=dict, max_length=64)
    """Target to its headline metric, percent: mean over the languages other than English, which is `other-languages` in
    MLflow and means.csv. Targets that are evaluated in English alone have none."""
    labelled_languages: tuple[Annotated[str, StringConstraints(max_length=16)], ...] = Field((), max_length=64)
    """Languages other than English whose labels the trial trains on: its scores in them are not zero-shot."""
    engine: str = Field("", max_length=63)
    """Engine that runs it: Jobs or Kubeflow."""
    url: str | None = Field(None, max_length=2048)
    """Where the engine shows the trial, if it does."""


class Trial(Model):
    """One trained and evaluated point of a Study."""

    api_version: Literal["xstilts.dev/v1alpha1"] = API_VERSION
    kind: Literal["Trial"] = "Trial"
    metadata: Metadata
    spec: TrialSpec
