"""Sentences a second on the CPU: our evaluator, and transformers' `Trainer.predict` as it comes and at its best.

    python -m benchmarks.evaluation.prediction

All predict the same pairs, whose token lengths are spread like those of MNLI, with the same small encoder and head of
random weights, in float32. As it comes, Trainer has batches of 8, padded to the maximum as by the example scripts. At
its best it gets the pairs sorted by length, longest first, and pads to the longest of a batch; of several batch sizes
the fastest counts, in each repeat anew. They alternate, so that noise hits all. Tokenization is in none of the times,
the making of batches is in all. Shares of equal answers are shown beside.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch.nn.utils.rnn import pad_sequence
from transformers import Trainer, TrainingArguments, XLMRobertaForSequenceClassification
from transformers.utils import logging

from benchmarks.peers import DATA_SEED, LABELS, MAX_LENGTH, features, pairs, small_encoder
from xstilts.api.training import TrainingSettings
from xstilts.core.catalogue import TaskKind
from xstilts.training.batches import Feature
from xstilts.training.encoders import load_encoder
from xstilts.training.execution import prepare
from xstilts.training.heads import HeadSpec
from xstilts.training.inference import answers
from xstilts.training.model import MultiTaskModel

VOCABULARY = 250_002
PAD = 1
DEFAULT_BATCH = 8
BATCHES = (16, 32, 64, 128)
"""Of Trainer at its best."""


class Outcome(NamedTuple):
    seconds: float
    answers: Sequence[int]
    """Numbers of labels, in the order of the rows."""


class Bench(NamedTuple):
    """The same for all."""

    model: MultiTaskModel
    peer: XLMRobertaForSequenceClassification
    """With the weights of the model."""
    rows: Sequence[Feature]
    settings: TrainingSettings
    clock: Callable[[], float]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=4096)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--cpu-time", action="store_true", help="count CPU time, where others use the machine too")
    options = parser.parse_args()
    clock = time.process_time if options.cpu_time else time.perf_counter
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    settings = TrainingSettings(threads=options.threads)
    prepare(settings)
    with tempfile.TemporaryDirectory() as name:
        encoder = small_encoder(Path(name), VOCABULARY)
        (rows,) = pairs(options.rows)
        bench = Bench(*models(encoder), features(encoder, rows), settings, clock)
    ours(bench._replace(rows=bench.rows[:100]))  # what happens once
    outcomes = [(ours(bench), as_it_comes(bench), at_its_best(bench)) for _ in range(options.repeats)]
    report(bench, dict(zip(ENGINES, zip(*outcomes, strict=True), strict=True)))


def models(encoder: Path) -> tuple[MultiTaskModel, XLMRobertaForSequenceClassification]:
    """A classifier of ours, and transformers' with the same weights."""
    spec = HeadSpec(
        task="pairs",
        kind=TaskKind.CLASSIFICATION,
        labels={"label": LABELS},
        max_length=MAX_LENGTH,
        doc_stride=MAX_LENGTH,
    )
    loaded, _ = load_encoder(encoder)
    torch.manual_seed(DATA_SEED)
    model = MultiTaskModel(loaded, [spec], dropout=0.0).eval()
    peer = XLMRobertaForSequenceClassification.from_pretrained(encoder, num_labels=len(LABELS))
    weights: Any = model.head(0).scores.state_dict()
    peer.classifier.load_state_dict(weights)
    return model, peer


def ours(bench: Bench) -> Outcome:
    begin = bench.clock()
    found = answers(bench.model, 0, bench.rows, settings=bench.settings)
    return Outcome(bench.clock() - begin, [LABELS.index(label) for label in found])


def as_it_comes(bench: Bench) -> Outcome:
    return trainer(bench, bench.rows, batch_size=DEFAULT_BATCH, width=MAX_LENGTH)


def at_its_best(bench: Bench) -> Outcome:
    """Sorting is not in the time."""
    order = sorted(range(len(bench.rows)), key=lambda row: -bench.rows[row].length)
    rows = [bench.rows[row] for row in order]
    best = min((trainer(bench, rows, batch_size=size) for size in BATCHES), key=lambda outcome: outcome.seconds)
    found = dict(zip(order, best.answers, strict=True))
    return Outcome(best.seconds, [found[row] for row in range(len(rows))])


def trainer(bench: Bench, rows: Sequence[Feature], *, batch_size: int, width: int = 0) -> Outcome:
    """`width` is the least that batches are padded to."""

    def collate(batch: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
        sequences = [row["input_ids"] for row in batch]
        ids = pad_sequence(sequences, batch_first=True, padding_value=PAD)
        ids = torch.nn.functional.pad(ids, (0, max(0, width - ids.shape[1])), value=PAD)
        return {
            "input_ids": ids,
            "attention_mask": (ids != PAD).long(),
            "labels": torch.tensor([row["label"] for row in batch]),
        }

    data: Any = [{"input_ids": torch.tensor(row.sequences[0], dtype=torch.long), "label": row.target} for row in rows]
    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            output_dir=folder,
            per_device_eval_batch_size=batch_size,
            remove_unused_columns=False,
            report_to="none",
            disable_tqdm=True,
            use_cpu=True,
        )
        engine = Trainer(model=bench.peer, args=arguments, data_collator=collate)
        begin = bench.clock()
        found = np.asarray(engine.predict(data).predictions).argmax(axis=-1)
        return Outcome(bench.clock() - begin, found.tolist())


ENGINES = ("xstilts", "Trainer.predict, batches of 8 padded to the maximum", "Trainer.predict, sorted by length")


def report(bench: Bench, outcomes: dict[str, Sequence[Outcome]]) -> None:
    lengths = [row.length for row in bench.rows]
    print(
        f"prediction: {len(bench.rows)} rows, {np.mean(lengths):.0f} tokens a row, {bench.settings.threads} threads, "
        f"{bench.clock.__name__}"
    )
    mine = outcomes[ENGINES[0]]
    for name, repeats in outcomes.items():
        speeds = [len(bench.rows) / outcome.seconds for outcome in repeats]
        ratio = statistics.median(b.seconds / a.seconds for a, b in zip(mine, repeats, strict=True))
        equal = np.mean(np.equal(mine[0].answers, repeats[0].answers))
        print(
            f"  {name:52s} {statistics.median(speeds):6.0f} sentences/s ({min(speeds):.0f} to {max(speeds):.0f})   "
            f"ours is {ratio:4.2f} x   equal answers {equal:.2%}",
            flush=True,
        )


if __name__ == "__main__":
    main()
