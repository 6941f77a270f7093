"""The Trial: one point of a Study's intermediate axes with all its targets. Made by the operator, never by people."""

from enum import StrEnum
from typing import Literal

from pydantic import Field

from xstilts.api.base import Model
from xstilts.api.conditions import Condition
from xstilts.api.study import API_VERSION, BASELINE, Budget, Metadata, StageKind


class Point(Model):
    """One point of the intermediate axes: what makes a trial."""

    recipe: str
    """`baseline` for size 0."""
    size: str
    rows: int
    """Rows of intermediate data that the size means."""
    subset_seed: int | None = None
    """None for the baseline and for full data, which do not depend on it."""
    seed: int
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
    key: str = Field(max_length=64)


class TrialSpec(Model):
    study: str = Field(max_length=63)
    plan: str = Field(max_length=64)
    """Digest of the plan that it belongs to."""
    point: Point
    stages: tuple[StageRef, ...] = Field(min_length=1, max_length=256)
    """In the order in which they run."""


class StageState(StrEnum):
    WAITING = "Waiting"  # for the stages before it, or for room
    ELSEWHERE = "Elsewhere"  # another trial, Study or cluster is at work on it
    RUNNING = "Running"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"


class Attempts(Model):
    """Attempts that did not succeed, by what ended them."""

    failures: int = 0
    preemptions: int = 0


class StageStatus(Model):
    """Where a stage of the trial stands."""

    name: str = Field(max_length=128)
    state: StageState
    reused: bool = False
    """It was there already: nothing ran for this trial."""
    job: str = Field("", max_length=253)
    """Job (or TrainJob) that works on it, or that ended last."""
    attempts: Attempts = Attempts()
    reason: str = Field("", max_length=256)
    message: str = Field("", max_length=2048)
    start_time: str | None = Field(None, json_schema_extra={"format": "date-time"})
    completion_time: str | None = Field(None, json_schema_extra={"format": "date-time"})
    gpu_seconds: int = Field(0, ge=0)
    """Accelerators times seconds that this trial was charged for the stage: nothing where another started it."""


class TrialStatus(Model):
    observed_generation: int = 0
    conditions: tuple[Condition, ...] = Field((), max_length=8)
    start_time: str | None = Field(None, json_schema_extra={"format": "date-time"})
    completion_time: str | None = Field(None, json_schema_extra={"format": "date-time"})
    stages: tuple[StageStatus, ...] = Field((), max_length=256)
    progress: str = ""
    """Stages that are done, of all, such as `4/6`."""
    scores: dict[str, str] = Field(default_factory=dict, max_length=64)
    """Target to the mean of its headline metric over languages other than English, percent."""
    engine: str = ""
    url: str | None = None
    """Where the engine shows the trial, if it does."""


class Trial(Model):
    """One trained and evaluated point of a Study."""

    api_version: Literal["xstilts.dev/v1alpha1"] = API_VERSION
    kind: Literal["Trial"] = "Trial"
    metadata: Metadata
    spec: TrialSpec
