"""What is still to be done of a plan, walking back from the results that are missing. Pure.

A stage whose weights were evicted counts as made, for its numbers are there. It is made again only where work that is
missing starts from its weights.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from xstilts.core.manifests import ArtifactManifest
from xstilts.core.plan import Plan


@dataclass(frozen=True, kw_only=True)
class Done:
    """Stages of a plan by address, as they lie in the store."""

    manifests: Mapping[str, ArtifactManifest]
    """Of those that are made: all their files are there, or were evicted."""
    published: frozenset[str]
    """Made, and shown by the study's tracking server."""
    evicted: frozenset[str] = frozenset()
    """Made, but their weights are gone."""

    def to_run(self, plan: Plan) -> set[str]:
        """Stages that are to be made, for the first time or again."""
        return stages_to_run(plan, self.manifests, self.evicted)

    def settled(self, plan: Plan) -> set[str]:
        """Stages that nothing is to be done for: neither their work nor their publication."""
        return (plan.stages.keys() & self.published) - self.to_run(plan)


def stages_to_run(plan: Plan, made: Collection[str], evicted: Collection[str]) -> set[str]:
    """Addresses of stages whose work is to be done.

    `evicted` are those of `made` whose weights are gone. What is made but not published needs no work, and no weights.
    """
    missing = {address for address in plan.stages if address not in made}
    for address in reversed(plan.stages):  # each comes after those that it depends on
        if address in missing:
            missing.update(before for before in plan.stages[address].dependencies if before in evicted)
    return missing


def needed_weights(plan: Plan, made: Collection[str]) -> set[str]:
    """Addresses of stages that work which is missing starts from."""
    return {
        before for address, stage in plan.stages.items() if address not in made for before in stage.dependencies
    } & plan.stages.keys()
