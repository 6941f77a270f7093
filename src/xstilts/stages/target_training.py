"""`target-training`: an encoder, pretrained or after the intermediate phase, learns the English target task."""

from collections.abc import Mapping

from xstilts.core.configs import TrainingConfig
from xstilts.core.results import TrainingFacts
from xstilts.stages.bench import Bench
from xstilts.stages.fine_tuning import TrainingRows, fine_tune

VERSION = 7


def run(config: TrainingConfig, inputs: Mapping[str, str], bench: Bench) -> TrainingFacts:
    """`inputs`: `encoder`, the address of a model or of an `intermediate-training` stage. Heads are fresh."""
    return fine_tune(
        config, encoder=inputs["encoder"], data=lambda task: TrainingRows(bench.english(task.train)), bench=bench
    )
