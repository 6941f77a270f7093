"""`pretraining`: the base encoder learns to guess hidden tokens of plain text, once for all trials of a study."""

from collections.abc import Mapping

from xstilts.core.configs import BASE_CHECKPOINT, PretrainingConfig
from xstilts.core.results import TrainingFacts
from xstilts.stages.bench import Bench
from xstilts.stages.fine_tuning import text_of, train

VERSION = 3


def run(config: PretrainingConfig, inputs: Mapping[str, str], bench: Bench) -> TrainingFacts:
    """`inputs`: `encoder`, the address of a model. Writes `checkpoints/last`: an encoder, its language-model head."""
    from xstilts.training import Budget

    encoder = bench.fetch_encoder(inputs["encoder"], BASE_CHECKPOINT).folder
    return train(
        bench,
        encoder=encoder,
        tasks=(),
        text=text_of(config.text, config.settings, encoder=encoder, bench=bench),
        budget=Budget(steps=config.steps),
        seed=config.seed,
        settings=config.settings,
    )
