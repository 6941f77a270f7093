"""`intermediate-training`: the pretrained encoder learns a task, or a mixture, on a subset of its data.

The data are English, or what a subset names as their translation: the only labelled data in another language that any
stage trains on.
"""

from array import array
from collections.abc import Iterable, Mapping
from pathlib import Path

from xstilts.core.configs import TaskTraining, TrainingConfig
from xstilts.core.errors import IntegrityError
from xstilts.core.results import ScalingFacts, SubsetFacts, TrainingFacts
from xstilts.stages.bench import Bench
from xstilts.stages.data_scaling import read_subset
from xstilts.stages.fine_tuning import TrainingRows, fine_tune
from xstilts.tasks.examples import Example

VERSION = 7


def run(config: TrainingConfig, inputs: Mapping[str, str], bench: Bench) -> TrainingFacts:
    """`inputs`: `encoder`, the address of the pretrained model, and `subset`, that of a `data-scaling` stage."""
    manifest, folder = bench.fetch(inputs["subset"])
    subsets = {(subset.task, subset.data): subset for subset in ScalingFacts.model_validate(manifest.facts).subsets}

    def data(task: TaskTraining) -> TrainingRows:
        subset = subsets.get((task.task, task.train))
        if subset is None:
            raise IntegrityError(f"{inputs['subset']} holds no subset of {task.train} for task {task.task!r}")
        return TrainingRows(_examples(subset, bench), of=subset.parent_rows, rows=_rows(folder / subset.path))

    return fine_tune(config, encoder=inputs["encoder"], data=data, bench=bench)


def _examples(subset: SubsetFacts, bench: Bench) -> Iterable[Example]:
    if subset.translation:
        return bench.translated(subset.translation, english=subset.parent)
    return bench.english(subset.parent)


def _rows(subset: Path) -> "array[int]":
    """In subset order."""
    return array("q", (row for row, _ in read_subset(subset)))
