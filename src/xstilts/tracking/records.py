"""What a study publishes: stages, trials and the study itself, with no word of MLflow in it.

The stages fill a `StageRecord` from their manifest, the engines fill `TrialRecord` and `StudyRecord`; a `Tracker`
brings the server into the state that a record describes. A stage's record is made from its manifest alone, so it is
the same whoever publishes it, and however often.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

Context = Literal["training", "dev", "evaluation"]
TrialState = Literal["Running", "Succeeded", "Failed", "Cancelled"]


@dataclass(frozen=True, kw_only=True)
class DatasetUse:
    """A split that a stage read. Name and digest identify it; scores on it are found by them."""

    name: str
    """At most 500 characters, such as `xnli/test.de`."""
    digest: str
    """At most 36 characters."""
    source: str
    """Where it lies in the store."""
    context: Context
    tags: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """Weights that a training stage keeps. They stay in the store; the server learns where they are."""

    name: str
    """`last`, `best` or `averaged`."""
    step: int
    uri: str
    digest: str
    metrics: Mapping[str, float] = field(default_factory=dict)
    """English dev scores at that step."""


@dataclass(frozen=True)
class CheckpointRef:
    """A checkpoint of a stage, published earlier by that stage."""

    stage_key: str
    checkpoint: str

    def __str__(self) -> str:
        return f"{self.stage_key}/{self.checkpoint}"


@dataclass(frozen=True, kw_only=True)
class Score:
    """A number that an evaluation found."""

    metric: str
    """`eval/<metric>/<language>`, or in place of the language the name of a mean, as in trials."""
    value: float
    step: int
    """The evaluated checkpoint's step."""
    model: CheckpointRef | None
    """None for an encoder that no stage trained."""
    dataset: DatasetUse | None
    """None for a mean over languages."""


@dataclass(frozen=True)
class Point:
    """One value of a metric's history."""

    metric: str
    step: int
    value: float


@dataclass(frozen=True, kw_only=True)
class StageRecord:
    """One stage, done: what its manifest says."""

    kind: str
    key: str
    address: str
    study: str
    recipe: str
    manifest_digest: str
    started: int
    """Milliseconds since 1970."""
    finished: int
    """Milliseconds since 1970; also the time of all metrics, so that logging one twice is logging it once."""
    params: Mapping[str, str] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    history: Sequence[Point] = ()
    datasets: Sequence[DatasetUse] = ()
    checkpoints: Sequence[Checkpoint] = ()
    scores: Sequence[Score] = ()

    @property
    def registered_model(self) -> str:
        """Name in the registry: a registered model is one recipe of one study."""
        return f"{self.study}.{self.recipe}"


@dataclass(frozen=True, kw_only=True)
class TrialRecord:
    """One trial as it stands; published again whenever it has changed."""

    study: str
    name: str
    key: str
    """Identifies the trial within its study."""
    state: TrialState
    params: Mapping[str, str] = field(default_factory=dict)
    """The point: recipe, size, training seed, and subset seed and budget where they had a part in it."""
    tags: Mapping[str, str] = field(default_factory=dict)
    stage_runs: Mapping[str, str] = field(default_factory=dict)
    """Address to kind of the trial's stages; those that are published are linked."""
    scores: Mapping[str, float] = field(default_factory=dict)
    """`<target>/<metric>/<language>`, and means by the names of `xstilts.core.languages`, such as
    `<target>/<metric>/other-languages`."""


def zero_shot_tags(labelled_languages: Sequence[str]) -> dict[str, str]:
    """Of runs that train, or build on training: whether labels of other languages than English had a part in it."""
    if not labelled_languages:
        return {"xstilts.zero_shot": "true"}
    return {"xstilts.zero_shot": "false", "xstilts.labelled_languages": ",".join(labelled_languages)}


@dataclass(frozen=True, kw_only=True)
class StudyRecord:
    """The study as it stands; published again whenever it has changed."""

    study: str
    state: TrialState
    params: Mapping[str, str] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
    artifacts: Sequence[Path] = ()
    """Files such as report.html and the tables of results."""


@dataclass(frozen=True, kw_only=True)
class Needed:
    """What a store has of what was published: by it, leftovers are told from what is needed."""

    store: str
    """Its URI, with which the addresses of its checkpoints begin."""
    stages: Collection[str]
    """Keys of the stages that are made there."""
    ended: Collection[str] = ()
    """Studies whose trials have all ended."""
    before: float
    """Seconds since 1970: what is younger is left alone, for somebody may be at work on it."""


@dataclass(frozen=True)
class Leftover:
    """Something on a tracking server that nobody needs, or a run that nobody has ended."""

    kind: Literal["run", "model", "version"]
    name: str
    """As people find it: a run's id, a model's, or `model/version`."""
    why: str
    created: float
    """Seconds since 1970."""
