"""What a plan is: trials, and the stages that they share. `xstilts.core.planner` makes one from a Study."""

from functools import cached_property

from pydantic import Field

from xstilts.api.base import Model
from xstilts.api.study import StageKind
from xstilts.api.trial import Point
from xstilts.core.keys import digest, stage_address


class PlannedStage(Model):
    """One container's work, shared by all trials that need it."""

    kind: StageKind
    key: str
    version: int
    config: dict[str, object]
    inputs: dict[str, str]
    recipe: str
    """The first recipe that needs it, or `pretraining`; names the registered model of its checkpoints."""
    threads: int = 1
    examples: int = 0
    """Examples that pass through the encoder, forward and backward for training: the measure of cost."""
    tokens: int = 0
    """The same in tokens, at most."""

    @property
    def address(self) -> str:
        return stage_address(self.kind, self.key)

    @property
    def dependencies(self) -> tuple[str, ...]:
        """Addresses of the stages that must be done before."""
        return tuple(address for address in self.inputs.values() if address.startswith("stages/"))


class Trial(Model):
    """One point with all its targets; one pipeline run."""

    point: Point
    pretraining: str | None = None
    """Addresses of its stages; None where the study, the point or the target has no such stage."""
    scaling: str | None = None
    intermediate: str | None = None
    trainings: dict[str, str]
    """Target to address; retrieval targets are missing."""
    evaluations: dict[str, str]

    @property
    def name(self) -> str:
        return self.point.name

    @property
    def stages(self) -> tuple[str, ...]:
        shared = [address for address in (self.pretraining, self.scaling, self.intermediate) if address]
        return (*shared, *self.trainings.values(), *self.evaluations.values())


class NotApplicable(Model):
    """A size above a recipe's data, left out."""

    recipe: str
    size: str
    rows: int
    """What the size asks for."""
    available: int


class Plan(Model):
    """All that a study will do, frozen when it is accepted."""

    study: str
    experiment: str
    model: str
    """Address of the base encoder."""
    protocols: tuple[str, ...] = ()
    """Selections that results are shown for: `last`, `best`, `averaged`, `oracle`."""
    selected: dict[str, str] = Field(default_factory=dict)
    """Target to the one of `protocols` that its headline scores come from."""
    trials: tuple[Trial, ...]
    stages: dict[str, PlannedStage]
    """By address, each after the stages that it depends on."""
    not_applicable: tuple[NotApplicable, ...] = ()
    naive: dict[StageKind, int]
    """Stages by kind where every (point, target) would run a pipeline of its own, as a plain grid of runs does."""

    @property
    def naive_stages(self) -> int:
        return sum(self.naive.values())

    @cached_property
    def digest(self) -> str:
        return digest(self.document())
