"""`pretraining`: the base encoder learns to guess hidden tokens of plain text, once for all trials of a study."""

from collections.abc import Mapping

from xstilts.core.configs import BASE_CHECKPOINT, PretrainingConfig
from xstilts.core.results import TrainingFacts
from xstilts.stages.bench import Bench
from xstilts.stages.fine_tuning import train

VERSION = 2


def run(config: PretrainingConfig, inputs: Mapping[str, str], bench: Bench) -> TrainingFacts:
    """`inputs`: `encoder`, the address of a model. Writes `checkpoints/last`: an encoder, its language-model head."""
    from xstilts.training import Budget, TextData

    text = TextData(
        lines={ref.language: list(bench.text(ref)) for ref in config.data},
        smoothing=float(config.smoothing),
        mask_probability=float(config.mask_probability),
    )
    return train(
        bench,
        encoder=bench.fetch_encoder(inputs["encoder"], BASE_CHECKPOINT).folder,
        tasks=(),
        text=text,
        budget=Budget(steps=config.steps),
        seed=config.seed,
        settings=config.settings,
    )
