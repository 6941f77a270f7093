"""`intermediate-training`: the pretrained encoder learns a task, or a mixture, on a subset of its data.

The data are English, or what a subset names as their translation: the only labelled data in another language that any
stage trains on.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from xstilts.core.configs import TaskTraining, TrainingConfig
from xstilts.core.errors import IntegrityError
from xstilts.core.results import ScalingFacts, SubsetFacts, TrainingFacts
from xstilts.stages.bench import Bench
from xstilts.stages.data_scaling import read_subset
from xstilts.stages.fine_tuning import fine_tune
from xstilts.tasks.examples import Example

VERSION = 3


def run(config: TrainingConfig, inputs: Mapping[str, str], bench: Bench) -> TrainingFacts:
    """`inputs`: `encoder`, the address of the pretrained model, and `subset`, that of a `data-scaling` stage."""
    manifest, folder = bench.fetch(inputs["subset"])
    subsets = {(subset.task, subset.data): subset for subset in ScalingFacts.model_validate(manifest.facts).subsets}

    def rows(task: TaskTraining) -> Sequence[Example]:
        subset = subsets.get((task.task, task.train))
        if subset is None:
            raise IntegrityError(f"{inputs['subset']} holds no subset of {task.train} for task {task.task!r}")
        return _picked(task, folder / subset.path, _examples(subset, bench))

    return fine_tune(config, encoder=inputs["encoder"], rows=rows, bench=bench)


def _examples(subset: SubsetFacts, bench: Bench) -> Iterable[Example]:
    if subset.translation:
        return bench.translated(subset.translation, english=subset.parent)
    return bench.english(subset.parent)


def _picked(task: TaskTraining, subset: Path, examples: Iterable[Example]) -> list[Example]:
    """The subset's examples, in subset order; ids show that the rows are still the same ones."""
    wanted = {row: (place, id_) for place, (row, id_) in enumerate(read_subset(subset))}
    picked: dict[int, Example] = {}
    for row, example in enumerate(examples):
        if row in wanted:
            place, id_ = wanted[row]
            if id_.partition("#")[0] != example.identity.partition("#")[0]:
                raise IntegrityError(f"row {row} of {task.train} is {example.identity!r}, the subset says {id_!r}")
            picked[place] = example
    if len(picked) != len(wanted):
        raise IntegrityError(f"{task.train} has only {len(picked)} of the {len(wanted)} rows of the subset")
    return [picked[place] for place in range(len(picked))]
