"""The English dev set of a task during training: a fixed random sample, its scores, and whether it was learnt."""

from collections.abc import Sequence
from dataclasses import dataclass

from xstilts.api.training import TrainingSettings
from xstilts.core.catalogue import TaskKind
from xstilts.metrics import degenerate, score
from xstilts.training.heads import Prediction
from xstilts.training.inference import answers
from xstilts.training.model import MultiTaskModel
from xstilts.training.order import sample
from xstilts.training.tables import TokenTable


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskData:
    """One task of a training stage."""

    name: str
    kind: TaskKind
    metric: str
    """The headline metric among those of the kind."""
    train: TokenTable
    dev: TokenTable
    """English; may be empty, then nothing of this task selects a checkpoint."""
    labels: Sequence[str] | None = None
    """The label set where it is fixed; else that of the whole table that `train` is from."""
    rules: str = "squad"
    """Which published script's rules the metric follows, where scripts differ (see `xstilts.metrics.score`)."""
    weight: int | None = None
    """Share of the steps of a mixture, relative to those of the other tasks; the training rows by default."""
    loss_scale: float = 1.0
    gradient_accumulation: int | None = None
    """Batches whose gradients make one optimizer step of the task; as in the settings by default."""


class DevSet:
    """Encoded once, looked at many times."""

    def __init__(self, data: TaskData, place: int, model: MultiTaskModel, *, rows: int) -> None:
        self._data, self._place = data, place
        # Every run of a task looks at the same rows, whatever its seed; never at the first ones, as jiant does.
        self.table = data.dev.select(sample(data.name, rows=len(data.dev), size=rows))
        self._gold = [self.table.gold(row) for row in range(len(self.table))]
        self._features = [model.head(place).readable(feature) for feature in self.table]
        self._predictions: list[Prediction] = []

    @property
    def name(self) -> str:
        return self._data.name

    @property
    def headline(self) -> str:
        return f"{self._data.name}/{self._data.metric}"

    def look(self, model: MultiTaskModel, settings: TrainingSettings) -> dict[str, float]:
        """Percentages by `<task>/<metric>`."""
        self._predictions = answers(model, self._place, self._features, settings=settings)
        scores = score(self._data.kind, self._gold, self._predictions, rules=self._data.rules)
        return {f"{self._data.name}/{metric}": value for metric, value in scores.items()}

    def degenerate(self) -> str | None:
        """Why the last look's answers are no better than a constant one or than chance, if so."""
        contexts = [f.target.text for f in self._features] if self._data.kind is TaskKind.SPAN_EXTRACTION else []
        return degenerate(self._data.kind, self._gold, self._predictions, contexts=contexts, rules=self._data.rules)
