"""What stages report in numbers: the `facts` of their manifests. Scores are percentages, 0 to 100."""

from xstilts.api.base import Model
from xstilts.core.languages import by_scope
from xstilts.core.manifests import SplitRef

ORACLE = "oracle"
"""Stands for a checkpoint where each language has its own."""


class SubsetFacts(Model):
    """One task's share of a data-scaling result."""

    task: str
    parent: SplitRef
    """The English split that the rows were drawn from."""
    translation: SplitRef | None = None
    """The split in another language that holds the same rows, as the stage has checked, to train on instead."""
    rows: int
    parent_rows: int
    ids_digest: str
    """sha256 over the parent's ids in subset order."""
    histogram: dict[str, int]
    """Rows by stratum."""
    path: str
    """File with one `row TAB id` a line, in subset order; `row` counts from 0 in `data`, which has that id there."""

    @property
    def data(self) -> SplitRef:
        """What is trained on."""
        return self.translation or self.parent


class ScalingFacts(Model):
    subsets: tuple[SubsetFacts, ...]

    @property
    def rows(self) -> int:
        return sum(subset.rows for subset in self.subsets)


class CheckpointFacts(Model):
    """One checkpoint that a training stage keeps."""

    name: str
    """`last`, `best` or `averaged`."""
    path: str
    """Folder in the artifact: an encoder in the hub's format, its tokenizer, and heads."""
    step: int
    scores: dict[str, float]
    """`<task>/<metric>` on the English dev set at that step."""


class DevScores(Model):
    step: int
    loss: float
    """Mean training loss since the look before."""
    scores: dict[str, float]


class TrainingFacts(Model):
    steps: int
    examples: int
    """Training examples seen, repeats counted."""
    trainable_parameters: int
    history: tuple[DevScores, ...]
    checkpoints: tuple[CheckpointFacts, ...]
    degenerate: dict[str, str]
    """Task to the reason why its last dev score is no better than a constant answer or chance; empty if all is well."""


class LanguageScores(Model):
    language: str
    data: SplitRef
    rows: int
    metrics: dict[str, float]
    threshold: float | None = None
    """Of bitext mining: the lowest score of a pair, tuned on the dev data of the same languages."""
    predictions: str
    """Path of the JSON lines `{"id", "gold", "prediction"}` in the artifact."""


class CheckpointScores(Model):
    checkpoint: str
    """`last`, `best`, `averaged`, or `base` for an encoder that no stage trained."""
    step: int = 0
    """Optimizer step of that checkpoint."""
    languages: tuple[LanguageScores, ...]
    dev: tuple[LanguageScores, ...] = ()
    """The same languages on what an oracle selects by and thresholds are tuned on; empty where neither is wanted."""

    def by_scope(self, metric: str) -> dict[str, float]:
        """A metric by language, then its means by scope."""
        return by_scope({entry.language: entry.metrics[metric] for entry in self.languages})


class EvaluationFacts(Model):
    task: str
    metric: str
    """The headline metric."""
    layer: int | None = None
    """Of retrieval: whose output was pooled, 0 being the embeddings."""
    checkpoints: tuple[CheckpointScores, ...]
    """By name."""

    def of(self, protocol: str) -> CheckpointScores | None:
        """Scores under `last`, `best`, `averaged` or `oracle`; None if they were not asked for.

        An encoder of which there is only one checkpoint has the same under all protocols.
        """
        by_name = {scores.checkpoint: scores for scores in self.checkpoints}
        if len(by_name) == 1:
            return self.checkpoints[0]
        if protocol != ORACLE:
            return by_name.get(protocol)
        chosen = self.oracle()
        languages = tuple(
            entry
            for language, checkpoint in chosen.items()
            for entry in by_name[checkpoint].languages
            if entry.language == language
        )
        return CheckpointScores(checkpoint=ORACLE, languages=languages) if chosen else None

    def headline(self, protocol: str) -> dict[str, float]:
        """The headline metric by language and by scope (see `xstilts.core.languages`); empty if not asked for."""
        found = self.of(protocol)
        return found.by_scope(self.metric) if found else {}

    def oracle(self) -> dict[str, str]:
        """By language the checkpoint with the highest headline metric on `dev`, of equals the first by name."""
        scores: dict[str, dict[str, float]] = {}
        for found in self.checkpoints:
            for entry in found.dev:
                scores.setdefault(entry.language, {})[found.checkpoint] = entry.metrics[self.metric]
        return {language: max(sorted(by_name), key=by_name.__getitem__) for language, by_name in scores.items()}


class Publication(Model):
    """Where a stage's results are shown: not part of any key."""

    study: str
    experiment: str
    recipe: str
    """With the study it names the registered model."""


class Outcome(Model):
    """How an attempt at a stage ended."""

    exit_code: int
    reason: str
    """Name of the error, or `Succeeded`."""
    message: str = ""
    holder: str
    started: int
    """Milliseconds since 1970."""
    finished: int

    @property
    def told(self) -> str:
        return f"{self.reason}: {self.message}"
