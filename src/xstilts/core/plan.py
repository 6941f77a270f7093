"""What a plan is: trials, and the stages that they share. `xstilts.core.planner` makes one from a Study."""

import json
import sys
from collections.abc import Iterator
from functools import cached_property, lru_cache
from typing import Annotated, Any

from pydantic import AfterValidator, Field

from xstilts.api.base import Model
from xstilts.api.study import StageKind
from xstilts.api.trial import Point
from xstilts.core.keys import canonical_json, digest_of, stage_address

Address = Annotated[str, AfterValidator(sys.intern)]
"""Of an artifact in the store. A plan names each several times, and holds it once."""


@lru_cache(maxsize=4096)
def _parsed(text: str) -> Any:
    return json.loads(text)


def _shared(config: dict[str, object]) -> dict[str, object]:
    """One object for all equal configs, of which a plan has far fewer than stages. Nobody changes it."""
    shared: dict[str, object] = _parsed(json.dumps(config))
    return shared


class PlannedStage(Model):
    """One container's work, shared by all trials that need it."""

    kind: StageKind
    key: str
    version: int
    config: Annotated[dict[str, object], AfterValidator(_shared)]
    inputs: dict[str, Address]
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
    pretraining: Address | None = None
    """Addresses of its stages; None where the study, the point or the target has no such stage."""
    scaling: Address | None = None
    intermediate: Address | None = None
    trainings: dict[str, Address]
    """Target to address; retrieval targets are missing."""
    evaluations: dict[str, Address]

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
    stages: dict[Address, PlannedStage]
    """By address, each after the stages that it depends on."""
    not_applicable: tuple[NotApplicable, ...] = ()
    naive: dict[StageKind, int]
    """Stages by kind where every (point, target) would run a pipeline of its own, as a plain grid of runs does."""

    @property
    def naive_stages(self) -> int:
        return sum(self.naive.values())

    @cached_property
    def digest(self) -> str:
        return digest_of(self._canonical())

    def _canonical(self) -> Iterator[str]:
        """`canonical_json(self.document())` in pieces: as a whole it takes several times the memory of the plan."""
        rest = self.model_dump(mode="json", exclude={"trials", "stages"})
        for number, key in enumerate(sorted({*rest, "trials", "stages"})):
            yield f'{"," if number else "{"}"{key}":'
            match key:
                case "trials":
                    yield from _listed("[]", (canonical_json(trial.document()) for trial in self.trials))
                case "stages":
                    stages = sorted(self.stages.items())
                    yield from _listed("{}", (f'"{at}":{canonical_json(stage.document())}' for at, stage in stages))
                case _:
                    yield canonical_json(rest[key])
        yield "}"


def _listed(brackets: str, items: Iterator[str]) -> Iterator[str]:
    yield brackets[0]
    for number, item in enumerate(items):
        yield f",{item}" if number else item
    yield brackets[1]
