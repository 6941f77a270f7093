"""Examples a second on the CPU: our training engine, and transformers' Trainer twice, on the same data and encoder.

    make bench-training

The peers are Trainer as the example scripts set it (every sequence padded to the maximum) and Trainer at its best
(batches grouped by length, padded to their longest). All three train the same small encoder with random weights on the
same pairs, whose token lengths are spread like those of MNLI, with equal batch size, epochs, schedule, dropout and
precision; they alternate, so that noise hits all. The first and last step are not timed: they hold what happens once.
Each repeat has a seed of its own. Losses on the same dev rows are shown beside, with ours' mean difference by seed
and its standard error, so that speed bought with quality would be seen.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from transformers import (
    PrinterCallback,
    Trainer,
    TrainerCallback,
    TrainingArguments,
    XLMRobertaForSequenceClassification,
)
from transformers.utils import logging

from benchmarks.peers import LABELS, MAX_LENGTH, features, pairs, small_encoder
from xstilts.api.training import TrainingSettings
from xstilts.core.catalogue import TaskKind
from xstilts.tasks.examples import Classification
from xstilts.training import Budget, Progress, TaskData, fit
from xstilts.training.batches import pack
from xstilts.training.heads import Lengths
from xstilts.training.heads.classification import ClassificationHead
from xstilts.training.model import load_model
from xstilts.training.tables import TokenTable, write_table
from xstilts.training.tokenizer import Tokenizer

VOCABULARIES = (8_000, 250_002)
BATCH_SIZE, DEV_ROWS = 32, 500
LEARNING_RATE = "0.001"


class Outcome(NamedTuple):
    speed: float
    """Training examples a second."""
    loss: float
    accuracy: float
    """On the dev rows after the last step."""


class Bench(NamedTuple):
    """One setting: the same for all three."""

    encoder: Path
    train: Sequence[Classification]
    dev: Sequence[Classification]
    epochs: int
    threads: int
    clock: Callable[[], float]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=2048, help="training rows")
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--seeds", type=int, default=5, help="repeats, each with its own")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--cpu-time", action="store_true", help="count CPU time, where others use the machine too")
    options = parser.parse_args()
    clock = time.process_time if options.cpu_time else time.perf_counter
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    for vocabulary in VOCABULARIES:
        with tempfile.TemporaryDirectory() as name:
            train, dev = pairs(options.rows, DEV_ROWS)
            bench = Bench(small_encoder(Path(name), vocabulary), train, dev, options.epochs, options.threads, clock)
            report(vocabulary, bench, run(bench, options.seeds))


def run(bench: Bench, seeds: int) -> dict[str, list[Outcome]]:
    engines: dict[str, Callable[[Bench, int], Outcome]] = {
        "xstilts": ours,
        "Trainer, padded to the maximum": partial(trainer, padded=True),
        "Trainer, grouped by length": partial(trainer, padded=False),
    }
    outcomes: dict[str, list[Outcome]] = {name: [] for name in engines}
    for seed in range(seeds):
        for name, train in engines.items():
            outcomes[name].append(train(bench, seed))
    return outcomes


def report(vocabulary: int, bench: Bench, outcomes: dict[str, list[Outcome]]) -> None:
    lengths = [feature.length for feature in features(bench.encoder, bench.train)]
    print(
        f"vocabulary {vocabulary:,}: {len(bench.train)} rows, {bench.epochs} epochs, batches of {BATCH_SIZE}, "
        f"{np.mean(lengths):.0f} tokens a row, {bench.threads} threads, {bench.clock.__name__}"
    )
    mine = next(iter(outcomes.values()))
    for name, repeats in outcomes.items():
        ratio = statistics.median(a.speed / b.speed for a, b in zip(mine, repeats, strict=True))
        speeds = [outcome.speed for outcome in repeats]
        print(
            f"  {name:32s} {statistics.median(speeds):6.0f} examples/s ({min(speeds):.0f} to {max(speeds):.0f})   "
            f"ours is {ratio:4.2f} x   {losses(mine, repeats)}",
            flush=True,
        )


def losses(mine: Sequence[Outcome], theirs: Sequence[Outcome]) -> str:
    """Mean dev loss, and by how much ours differs from it in the mean over seeds, with the standard error of that."""
    means = f"dev loss {statistics.mean(o.loss for o in theirs):.4f}, "
    means += f"accuracy {statistics.mean(o.accuracy for o in theirs):.3f}"
    if theirs is mine or len(mine) < 2:
        return means
    differences = [a.loss - b.loss for a, b in zip(mine, theirs, strict=True)]
    error = statistics.stdev(differences) / len(differences) ** 0.5
    return f"{means}; ours differs by {statistics.mean(differences):+.4f} +- {error:.4f}"


def table(bench: Bench, examples: Sequence[Classification], folder: Path) -> TokenTable:
    folder.mkdir()
    lengths = Lengths(max_length=MAX_LENGTH, doc_stride=MAX_LENGTH)
    write_table(folder, examples, encoding=ClassificationHead, tokenizer=Tokenizer.load(bench.encoder), lengths=lengths)
    return TokenTable.open(folder)


def speed(times: Sequence[float]) -> float:
    """Examples a second from the ends of the steps."""
    return BATCH_SIZE * (len(times) - 2) / (times[-2] - times[0])


def ours(bench: Bench, seed: int) -> Outcome:
    times: list[float] = []
    steps = len(bench.train) * bench.epochs // BATCH_SIZE
    settings = TrainingSettings(
        learning_rate=LEARNING_RATE,
        batch_size=BATCH_SIZE,
        max_length=MAX_LENGTH,
        evaluate_every_steps=steps + 1,
        threads=bench.threads,
    )

    def tick(_: Progress) -> None:
        times.append(bench.clock())

    with tempfile.TemporaryDirectory() as workdir:
        data = TaskData(
            name="pairs",
            kind=TaskKind.CLASSIFICATION,
            metric="accuracy",
            train=table(bench, bench.train, Path(workdir, "train")),
            dev=table(bench, bench.dev, Path(workdir, "dev")),
            labels=LABELS,
        )
        result = fit(
            encoder=bench.encoder,
            tasks=[data],
            budget=Budget(steps=steps),
            seed=seed,
            settings=settings,
            workdir=Path(workdir),
            on_progress=tick,
        )
        model = load_model(result.checkpoints["last"].folder)
        with torch.inference_mode():
            loss = float(model(pack(features(bench.encoder, bench.dev)), 0))
    return Outcome(speed(times), loss, result.history[-1].scores["pairs/accuracy"] / 100)


class Clock(TrainerCallback):
    def __init__(self, now: Callable[[], float]) -> None:
        self.now = now
        self.times: list[float] = []

    def on_step_end(self, *_: Any, **__: Any) -> None:
        self.times.append(self.now())


def trainer(bench: Bench, seed: int, *, padded: bool) -> Outcome:
    torch.use_deterministic_algorithms(False)
    torch.set_num_threads(bench.threads)
    torch.manual_seed(seed)
    model = XLMRobertaForSequenceClassification.from_pretrained(bench.encoder, num_labels=len(LABELS))
    for layer in (model.classifier.dense, model.classifier.out_proj):
        layer.reset_parameters()  # as in our heads and jiant's; transformers' own start is smaller, and learns later
    clock = Clock(bench.clock)

    def collate(rows: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
        width = MAX_LENGTH if padded else max(row["length"] for row in rows)
        ids = torch.tensor([row["input_ids"] + [1] * (width - row["length"]) for row in rows])
        return {
            "input_ids": ids,
            "attention_mask": (ids != 1).long(),
            "labels": torch.tensor([row["label"] for row in rows]),
        }

    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            output_dir=folder,
            per_device_train_batch_size=BATCH_SIZE,
            per_device_eval_batch_size=BATCH_SIZE,
            num_train_epochs=bench.epochs,
            learning_rate=float(LEARNING_RATE),
            weight_decay=0.01,
            warmup_steps=0.1,
            max_grad_norm=1.0,
            train_sampling_strategy="random" if padded else "group_by_length",
            remove_unused_columns=False,
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
            use_cpu=True,
            seed=seed,
        )
        engine = Trainer(
            model=model,
            args=arguments,
            data_collator=collate,
            train_dataset=columns(bench, bench.train),
            eval_dataset=columns(bench, bench.dev),
            compute_metrics=lambda found: {"accuracy": float((found.predictions.argmax(-1) == found.label_ids).mean())},
            callbacks=[clock],
        )
        engine.remove_callback(PrinterCallback)
        engine.train()
        scores = engine.evaluate()
    return Outcome(speed(clock.times), scores["eval_loss"], scores["eval_accuracy"])


def columns(bench: Bench, examples: Sequence[Classification]) -> Any:
    import datasets

    rows = features(bench.encoder, examples)
    return datasets.Dataset.from_list(
        [{"input_ids": list(row.sequences[0]), "length": row.length, "label": row.target} for row in rows]
    )


if __name__ == "__main__":
    main()
