"""`pretraining`: the base encoder learns to guess hidden tokens of plain text, once for all trials of a study."""

from collections.abc import Mapping

from xstilts.core.configs import BASE_CHECKPOINT, PretrainingConfig
from xstilts.core.results import TrainingFacts
from xstilts.stages.bench import Bench, Progress
from xstilts.stages.fine_tuning import every, keep

VERSION = 1


def run(config: PretrainingConfig, inputs: Mapping[str, str], bench: Bench) -> TrainingFacts:
    """`inputs`: `encoder`, the address of a model. Writes `checkpoints/last`: an encoder, its language-model head."""
    from xstilts.training.pretraining import pretrain

    result = pretrain(
        encoder=bench.fetch_encoder(inputs["encoder"], BASE_CHECKPOINT).folder,
        text={ref.language: list(bench.text(ref)) for ref in config.data},
        steps=config.steps,
        seed=config.seed,
        smoothing=float(config.smoothing),
        mask_probability=float(config.mask_probability),
        settings=config.settings,
        workdir=bench.scratch / "training",
        resume=bench.resume_point(),
        checkpoint_due=every(bench.checkpoint_seconds),
        on_checkpoint=bench.save_checkpoint,
        on_progress=lambda at: bench.report(Progress(at.step, at.steps, f"loss {at.loss:.3f}")),
        should_stop=bench.should_stop,
    )
    return keep(result, bench)
