"""Training from end to end on a tiny encoder: heads learn, runs repeat and resume to the bit, failures say so."""

import math
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from multiprocessing import get_context
from pathlib import Path
from random import Random
from signal import SIGKILL
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch.nn.functional import normalize
from transformers import AutoModel, AutoTokenizer

from training_rows import METRICS, rows, settings, task, text, tiny_encoder, words
from xstilts.api.training import Pooling, Precision, RetrievalSettings
from xstilts.core.catalogue import TaskKind
from xstilts.core.errors import DivergenceError, IntegrityError, OutOfMemoryError, Preempted, UserError
from xstilts.metrics import score
from xstilts.tasks.examples import BitextSentence, SpanExtraction
from xstilts.training import Budget, FitResult, Progress, fit, predict, retrieve
from xstilts.training.execution import memory_of
from xstilts.training.folders import replacing
from xstilts.training.inference import PredictionRow
from xstilts.training.loop import snapshots
from xstilts.training.retrieval import Mined, mine, pooled_layer

TEXT = text({"en": 60, "de": 60}, ratio=Fraction(3, 10))
MIXTURE = (TaskKind.CLASSIFICATION, TaskKind.SPAN_EXTRACTION, TaskKind.INTENT_AND_SLOTS)


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_encoder(tmp_path_factory.mktemp("model") / "encoder")


@pytest.fixture
def train(encoder: Path, tmp_path: Path) -> Callable[..., FitResult]:
    """`fit` with everything that a test does not care about; a mixture, 12 steps, a look every 4."""

    def run(folder: str = "run", **changes: Any) -> FitResult:
        arguments: dict[str, Any] = {
            "encoder": encoder,
            "tasks": [task(kind) for kind in MIXTURE],
            "budget": Budget(steps=12),
            "seed": 1,
            "settings": settings(evaluate_every_steps=4),
            "workdir": tmp_path / folder,
        }
        return fit(**arguments | changes)

    return run


def train_until_killed(encoder: Path, workdir: Path) -> None:
    def die(progress: Progress) -> None:
        if progress.step == 9:
            os.kill(os.getpid(), SIGKILL)

    fit(
        encoder=encoder,
        tasks=[task(kind) for kind in MIXTURE],
        text=TEXT,
        budget=Budget(steps=12),
        seed=1,
        settings=settings(evaluate_every_steps=4),
        workdir=workdir,
        checkpoint_due=lambda step: step % 3 == 0,
        on_progress=die,
    )


def without_language_model(folder: Path) -> Path:
    copy = Path(shutil.copytree(folder, folder.parent / "encoder"))
    weights = load_file(copy / "model.safetensors")
    kept = {name: weight for name, weight in weights.items() if not name.startswith("lm_head.")}
    save_file(kept, copy / "model.safetensors", metadata={"format": "pt"})
    return copy


def contents(result: FitResult) -> Mapping[str, bytes]:
    """Every byte that a stage keeps."""
    return {
        f"{name}/{file.name}": file.read_bytes()
        for name, saved in result.checkpoints.items()
        for file in sorted(saved.folder.iterdir())
    }


class TestLearning:
    @pytest.mark.parametrize(
        ("kind", "steps"),
        [
            (TaskKind.CLASSIFICATION, 100),
            (TaskKind.MULTIPLE_CHOICE, 100),
            (TaskKind.TAGGING, 200),
            (TaskKind.INTENT_AND_SLOTS, 400),
            (TaskKind.SPAN_EXTRACTION, 200),
        ],
    )
    def test_head_overfits_32_rows(self, train: Callable[..., FitResult], kind: TaskKind, steps: int) -> None:
        """And what was saved answers like what was trained."""
        result = train(tasks=[task(kind)], budget=Budget(steps=steps), settings=settings(evaluate_every_steps=steps))
        score = result.history[-1].scores[f"{kind}/{METRICS[kind]}"]
        assert score >= 99
        assert not result.degenerate
        answered = predict(
            checkpoint=result.checkpoints["last"].folder,
            task=str(kind),
            examples={"en": rows(kind)},
            settings=settings(batch_size=5),
        )["en"]
        right = sum(
            r.prediction in r.gold if kind is TaskKind.SPAN_EXTRACTION else r.prediction == r.gold for r in answered
        )
        assert right >= 31

    def test_questions_without_answer_are_learnt(self, train: Callable[..., FitResult]) -> None:
        examples = [
            SpanExtraction(id=row.id, question="which friend", context=row.context, answers=())
            if int(row.id) % 2
            else row
            for row in rows(TaskKind.SPAN_EXTRACTION)
            if isinstance(row, SpanExtraction)
        ]
        result = train(
            tasks=[task(TaskKind.SPAN_EXTRACTION, train=examples, dev=examples)],
            budget=Budget(steps=200),
            settings=settings(evaluate_every_steps=200),
        )
        answered = predict(
            checkpoint=result.checkpoints["last"].folder,
            task="span-extraction",
            examples={"en": examples},
            settings=settings(),
        )["en"]
        assert sum((row.prediction == "") == (not row.gold) for row in answered) >= 31

    def test_text_beside_a_task_is_learnt_with_it(self, train: Callable[..., FitResult]) -> None:
        result = train(
            tasks=[task(TaskKind.CLASSIFICATION)],
            text=TEXT,
            budget=Budget(steps=150),
            settings=settings(evaluate_every_steps=50),
        )
        first, last = result.history[0].scores, result.history[-1].scores
        assert last["classification/accuracy"] >= 99
        assert all(last[f"perplexity/{language}"] < first[f"perplexity/{language}"] for language in ("en", "de"))

    def test_language_model_head_goes_on_where_the_phase_before_left_it(self, train: Callable[..., FitResult]) -> None:
        pretrained = train("pretrained", tasks=[], text=replace(TEXT, ratio=Fraction(1)), budget=Budget(steps=80))
        folder = pretrained.checkpoints["last"].folder
        going_on, afresh = (
            train(name, encoder=start, tasks=[task(TaskKind.TAGGING)], text=TEXT, budget=Budget(steps=1))
            for name, start in (("on", folder), ("afresh", without_language_model(folder)))
        )
        perplexities = [run.history[0].scores["perplexity/en"] for run in (going_on, afresh)]
        assert perplexities[0] == pytest.approx(pretrained.history[-1].scores["perplexity/en"], rel=0.2)
        assert perplexities[1] > 2 * perplexities[0]

    def test_mixture_keeps_a_head_a_task(self, train: Callable[..., FitResult]) -> None:
        result = train()
        heads = load_file(result.checkpoints["last"].folder / "heads.safetensors")
        assert {name.split(".")[0] for name in heads} == {"0", "1", "2"}
        assert {name.split("/")[0] for name in result.history[-1].scores} == {str(kind) for kind in MIXTURE}


class TestRepetition:
    def test_equal_runs_give_equal_bytes(self, train: Callable[..., FitResult]) -> None:
        first, second = train("first"), train("second")
        assert contents(first) == contents(second)
        assert first.history == second.history

    def test_another_seed_gives_other_weights(self, train: Callable[..., FitResult]) -> None:
        first, second = contents(train("first")), contents(train("second", seed=2))
        assert first["last/model.safetensors"] != second["last/model.safetensors"]
        assert first["last/heads.safetensors"] != second["last/heads.safetensors"]

    @pytest.mark.parametrize("stop", [1, 5, 8, 11])
    def test_stopped_and_resumed_run_equals_the_straight_one(
        self, train: Callable[..., FitResult], tmp_path: Path, stop: int
    ) -> None:
        """On another machine: nothing but the checkpoint is left."""
        seen: list[Progress] = []
        checkpoints: list[int] = []

        def keep(folder: Path, step: int) -> None:
            checkpoints.append(step)
            shutil.copytree(folder, tmp_path / "kept")

        with pytest.raises(Preempted, match=f"after step {stop} of 12"):
            train(
                "stopped",
                on_progress=seen.append,
                should_stop=lambda: seen[-1].step == stop,
                on_checkpoint=keep,
            )
        resumed = train("resumed", resume=tmp_path / "kept", on_progress=seen.append)
        straight = train("straight")
        assert checkpoints == [stop]
        assert [progress.step for progress in seen] == list(range(1, 13))
        assert contents(resumed) == contents(straight)
        assert resumed == replace(
            straight,
            checkpoints={
                name: saved._replace(folder=tmp_path / "resumed" / name) for name, saved in straight.checkpoints.items()
            },
        )

    def test_a_mixture_with_text_killed_after_a_checkpoint_goes_on_from_it(
        self, train: Callable[..., FitResult], encoder: Path, tmp_path: Path
    ) -> None:
        """By SIGKILL, in the middle of step 9 of 12; the last whole checkpoint counts, whatever happened after it."""
        process = get_context("spawn").Process(target=train_until_killed, args=(encoder, tmp_path / "run"))
        process.start()
        process.join()
        assert process.exitcode == -SIGKILL
        resumed = train("run", text=TEXT, resume=tmp_path / "run" / "checkpoint")
        straight = train("straight", text=TEXT)
        assert contents(resumed) == contents(straight)
        assert resumed.history == straight.history

    def test_checkpoint_of_another_run_is_refused(self, train: Callable[..., FitResult], tmp_path: Path) -> None:
        train(checkpoint_due=lambda step: step == 3)
        with pytest.raises(IntegrityError, match="run of 12 steps, not 20"):
            train("other", budget=Budget(steps=20), resume=tmp_path / "run" / "checkpoint")
        with pytest.raises(IntegrityError, match="no training checkpoint of this stage"):
            train("other", tasks=[task(TaskKind.TAGGING)], resume=tmp_path / "run" / "checkpoint")
        with pytest.raises(IntegrityError, match="no training checkpoint"):
            train("other", resume=tmp_path / "nothing")


class TestSelection:
    def test_best_is_the_first_of_the_highest_looks(self, train: Callable[..., FitResult]) -> None:
        result = train(tasks=[task(TaskKind.CLASSIFICATION)], budget=Budget(steps=100))
        means = [look.scores["classification/accuracy"] for look in result.history]
        best = result.checkpoints["best"]
        assert best.step == result.history[means.index(max(means))].step
        assert best.step < result.checkpoints["last"].step == 100

    def test_best_at_the_last_step_is_the_last(self, train: Callable[..., FitResult]) -> None:
        files = contents(train(settings=settings(evaluate_every_steps=100)))
        assert {name: b for name, b in files.items() if name.startswith("best/")} == {
            name.replace("last/", "best/"): b for name, b in files.items() if name.startswith("last/")
        }

    def test_without_dev_rows_the_last_is_the_best(self, train: Callable[..., FitResult]) -> None:
        result = train(tasks=[task(TaskKind.TAGGING, dev=[])])
        assert result.checkpoints["best"].step == result.checkpoints["last"].step == 12
        assert result.history[-1].scores == {}

    def test_history_has_the_mean_loss_between_looks(self, train: Callable[..., FitResult]) -> None:
        seen: list[Progress] = []
        history = train(on_progress=seen.append).history
        assert [look.step for look in history] == [4, 8, 12]
        assert history[1].loss == pytest.approx(sum(progress.loss for progress in seen[4:8]) / 4)
        assert [progress.step for progress in seen if progress.scores is not None] == [4, 8, 12]

    def test_averaged_weights_are_the_mean_of_those_at_each_tenth(
        self, train: Callable[..., FitResult], tmp_path: Path
    ) -> None:
        """Of words that never occur too, which only decay."""
        every_step = {
            "budget": Budget(steps=4),
            "settings": settings(weight_decay="0.9", evaluate_every_steps=4, warmup_ratio="0"),
        }
        kept: list[Path] = []

        def keep(folder: Path, step: int) -> None:
            kept.append(Path(shutil.copytree(folder, tmp_path / f"after-{step}")))

        result = train("run", **every_step, checkpoint_due=lambda _: True, on_checkpoint=keep)
        averaged, last = (
            load_file(result.checkpoints[name].folder / "model.safetensors") for name in ("averaged", "last")
        )
        encoders = [load_file(folder / "weights.safetensors") for folder in kept]
        name = "encoder.layer.0.output.dense.weight"
        mean = torch.stack([*(weights[f"encoder.{name}"] for weights in encoders), last[name]]).mean(dim=0)
        torch.testing.assert_close(averaged[name], mean)
        rates = [0.003, 0.00225, 0.0015, 0.00075]
        left = [math.prod(1 - 0.9 * rate for rate in rates[: step + 1]) for step in range(4)]
        unused = "embeddings.word_embeddings.weight"
        pad = load_file(result.checkpoints["last"].folder / "model.safetensors")[unused][1] / left[3]
        torch.testing.assert_close(averaged[unused][1], pad * sum(left) / 4)
        assert result.checkpoints["averaged"].scores.keys() == result.checkpoints["last"].scores.keys()

    def test_snapshots_of_a_short_run_are_its_steps(self) -> None:
        assert snapshots(4) == [1, 2, 3, 4]
        assert snapshots(25) == [3, 5, 8, 10, 13, 15, 18, 20, 23, 25]


class TestAccumulation:
    def test_two_half_batches_equal_a_whole_one(self, train: Callable[..., FitResult]) -> None:
        """Up to the rounding of sums; without dropout, whose numbers differ by pass."""
        seen: dict[int, list[float]] = {1: [], 2: []}
        for passes, losses in seen.items():
            train(
                f"{passes} passes",
                settings=settings(batch_size=8 // passes, gradient_accumulation=passes, dropout="0"),
                on_progress=lambda progress, losses=losses: losses.append(progress.loss),
            )
        assert seen[2] == pytest.approx(seen[1], rel=1e-4)

    def test_a_task_of_a_mixture_may_have_its_own(self, train: Callable[..., FitResult]) -> None:
        tasks = [
            task(TaskKind.CLASSIFICATION, weight=1),
            task(TaskKind.TAGGING, weight=1, gradient_accumulation=3),
        ]
        result = train(tasks=tasks, budget=Budget(steps=40))
        tagging = (result.examples - 40 * 8) // 16  # steps of 24 examples instead of 8
        assert result.examples == (40 - tagging) * 8 + tagging * 24
        assert 10 <= tagging <= 30

    def test_loss_scale_weighs_gradients_and_not_what_is_shown(self, train: Callable[..., FitResult]) -> None:
        """Gradients are clipped to their norm and Adam scales them back, so that decay against a norm limit shows it."""
        shown = []
        for scale in (1.0, 100.0):
            result = train(
                f"scale {scale}",
                tasks=[task(TaskKind.CLASSIFICATION, loss_scale=scale)],
                settings=settings(adam_epsilon="1", max_grad_norm="1e9", evaluate_every_steps=100),
            )
            shown.append(result.history[-1].loss)
        assert shown[1] < shown[0]
        assert shown[1] < 2  # cross-entropy of three classes, not a hundred times it


class TestBudget:
    @pytest.mark.parametrize(
        ("budget", "steps"),
        [
            (Budget(), 20),
            (Budget(epochs=Decimal("0.5")), 7),
            (Budget(steps=9), 9),
            (Budget(epochs=Decimal(1), steps=100), 13),
            (Budget(epochs=Decimal(10), steps=100), 100),
        ],
        ids=["the task's own epochs", "epochs", "steps", "epochs end first", "steps end first"],
    )
    def test_steps_follow_from(self, budget: Budget, steps: int) -> None:
        assert budget.resolve(rows=100, size=Fraction(8), settings=settings(epochs="1.6")) == steps

    def test_steps_on_text_come_on_top_of_epochs_and_are_part_of_steps(self) -> None:
        share = {"rows": 100, "size": Fraction(8), "settings": settings(), "text": Fraction(3, 10)}
        assert Budget(epochs=Decimal(1)).resolve(**share) == 19  # 13 / 0.7
        assert Budget(steps=13).resolve(**share) == 13

    def test_learning_rate_rises_and_falls_linearly(self, train: Callable[..., FitResult]) -> None:
        seen: list[Progress] = []
        train(on_progress=seen.append, settings=settings(warmup_ratio="0.25", learning_rate="0.009"))
        rates = [progress.learning_rate for progress in seen]
        assert rates[:3] == pytest.approx([0.003, 0.006, 0.009])
        assert rates[3:] == pytest.approx([0.001 * left for left in range(9, 0, -1)])


class TestHandOver:
    def test_next_phase_starts_from_the_same_encoder(self, train: Callable[..., FitResult], encoder: Path) -> None:
        first = train("first").checkpoints["last"].folder
        second = train("second", encoder=first, settings=settings(learning_rate="0"))
        last = second.checkpoints["last"].folder
        assert (last / "model.safetensors").read_bytes() == (first / "model.safetensors").read_bytes()
        assert (last / "heads.safetensors").read_bytes() != (first / "heads.safetensors").read_bytes()
        assert (first / "model.safetensors").read_bytes() != (encoder / "model.safetensors").read_bytes()

    def test_hub_tools_load_what_was_trained(self, train: Callable[..., FitResult]) -> None:
        folder = train().checkpoints["last"].folder
        _, info = AutoModel.from_pretrained(folder, output_loading_info=True)
        assert not info["missing_keys"]
        assert not info["unexpected_keys"]
        assert AutoTokenizer.from_pretrained(folder)("the red house")["input_ids"][0] == 0

    def test_no_path_of_the_machine_is_saved(self, train: Callable[..., FitResult], tmp_path: Path) -> None:
        assert not any(str(tmp_path.parent).encode() in data for data in contents(train()).values())


class TestPrediction:
    def test_rows_come_back_in_order_by_language(self, train: Callable[..., FitResult]) -> None:
        folder = train().checkpoints["last"].folder
        examples = {"de": rows(TaskKind.CLASSIFICATION, 7), "xx": [], "fr": rows(TaskKind.CLASSIFICATION, 30)[9:]}
        found = predict(checkpoint=folder, task="classification", examples=examples, settings=settings())
        assert {language: [row.id for row in found[language]] for language in found} == {
            language: [example.id for example in examples[language]] for language in examples
        }

    def test_batch_mates_change_no_answer(self, train: Callable[..., FitResult]) -> None:
        folder = train().checkpoints["last"].folder
        one, many = (
            predict(
                checkpoint=folder,
                task="span-extraction",
                examples={"en": rows(TaskKind.SPAN_EXTRACTION)},
                settings=settings(batch_size=size),
            )
            for size in (1, 32)
        )
        assert one == many

    def test_unknown_task_is_refused_with_the_known_ones(self, train: Callable[..., FitResult]) -> None:
        folder = train().checkpoints["last"].folder
        with pytest.raises(UserError, match="no head for task 'xnli', only for classification, span"):
            predict(checkpoint=folder, task="xnli", examples={}, settings=settings())

    def test_encoder_without_heads_is_refused(self, encoder: Path) -> None:
        with pytest.raises(UserError, match=r"no heads\.json"):
            predict(checkpoint=encoder, task="xnli", examples={}, settings=settings())


class TestRetrieval:
    def test_equal_sentences_find_each_other(self, encoder: Path) -> None:
        examples = {"de": rows(TaskKind.RETRIEVAL), "fr": rows(TaskKind.RETRIEVAL, 3), "xx": []}
        found = retrieve(checkpoint=encoder, examples=examples, retrieval=RetrievalSettings(), settings=settings())
        assert {language: len(found[language]) for language in found} == {"de": 32, "fr": 3, "xx": 0}
        assert all(row.gold == row.prediction == int(row.id) for row in found["de"])

    @pytest.mark.parametrize("pooling", Pooling)
    def test_vectors_are_those_of_the_paper(self, encoder: Path, pooling: Pooling) -> None:
        """By hand: layer 1 of 2, and the mean over all tokens with the special ones, or the first token."""
        examples = rows(TaskKind.RETRIEVAL, 6)
        model, tokenizer = AutoModel.from_pretrained(encoder).eval(), AutoTokenizer.from_pretrained(encoder)
        with torch.inference_mode():
            states = [
                model(**tokenizer(text, return_tensors="pt"), output_hidden_states=True).hidden_states[1][0]
                for text in [*(e.english for e in examples), *(e.text[:9] for e in examples)]
            ]
        vectors = normalize(torch.stack([s.mean(dim=0) if pooling is Pooling.MEAN else s[0] for s in states]))
        products = vectors[:6] @ vectors[6:].T
        shortened = [type(e)(id=e.id, text=e.text[:9], english=e.english) for e in examples]
        found = retrieve(
            checkpoint=encoder,
            examples={"de": shortened},
            retrieval=RetrievalSettings(layer=1, pooling=pooling),
            settings=settings(),
        )
        reached = torch.stack([products[row.gold, row.prediction] for row in found["de"]])
        torch.testing.assert_close(reached, products.amax(dim=1), atol=1e-6, rtol=0)  # some are as near as others

    def test_layer_is_in_proportion_to_the_papers_14_of_24(self) -> None:
        assert [pooled_layer(None, layers=layers) for layers in (2, 12, 24, 36)] == [1, 7, 14, 21]
        assert pooled_layer(3, layers=12) == 3

    def test_text_longer_than_the_encoder_takes_is_refused(self, encoder: Path) -> None:
        long = settings(max_length=128)
        with pytest.raises(UserError, match="takes at most 64 tokens"):
            retrieve(checkpoint=encoder, examples={}, retrieval=RetrievalSettings(), settings=long)

    def test_layer_that_is_not_there_is_refused(self) -> None:
        with pytest.raises(UserError, match="layer 13 is above the encoder's 12 layers"):
            pooled_layer(13, layers=12)


class TestFailures:
    def test_diverging_loss_names_step_and_rate(self, train: Callable[..., FitResult]) -> None:
        wild = settings(learning_rate="1e38", max_grad_norm="1e30")
        with pytest.raises(DivergenceError, match=r"step \d+ of .* at learning rate"):
            train(settings=wild, budget=Budget(steps=50))

    def test_loss_that_explodes_ends_the_run(self, train: Callable[..., FitResult]) -> None:
        """Tasks that are learnt at once, then a rate that throws the weights far away."""
        easy = settings(learning_rate="30", max_grad_norm="1e30", warmup_ratio="1", evaluate_every_steps=2)
        with pytest.raises(DivergenceError, match=r"the mean loss is .* after .* at the first look"):
            train(tasks=[task(TaskKind.CLASSIFICATION)], settings=easy, budget=Budget(steps=60))

    def test_memory_that_runs_out_says_what_to_lower(self) -> None:
        with pytest.raises(OutOfMemoryError, match="lower batchSize"), memory_of(torch.device("cpu"), settings()):
            torch.empty(1 << 60)

    def test_other_errors_of_torch_stay_themselves(self) -> None:
        with pytest.raises(RuntimeError, match="shape"), memory_of(torch.device("cpu"), settings()):
            torch.empty(2).view(3)

    def test_bfloat16_trains(self, train: Callable[..., FitResult]) -> None:
        result = train(settings=settings(precision=Precision.BFLOAT16))
        stored = load_file(result.checkpoints["last"].folder / "model.safetensors")
        assert {tensor.dtype for tensor in stored.values()} == {torch.float32}

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"tasks": []}, "needs tasks of different names"),
            ({"tasks": [task(TaskKind.TAGGING)] * 2}, "needs tasks of different names"),
            ({"tasks": [task(TaskKind.TAGGING, train=[])]}, "has no training rows"),
            ({"tasks": [replace(task(TaskKind.TAGGING), kind=TaskKind.RETRIEVAL)]}, "kind retrieval is not trained"),
            ({"tasks": [task(TaskKind.INTENT_AND_SLOTS, labels=["a"])]}, "has 2 label sets"),
            ({"settings": settings(max_length=65)}, "takes at most 64 tokens"),
        ],
        ids=["no task", "a task twice", "no rows", "retrieval", "labels of a parse", "too long"],
    )
    def test_what_cannot_be_trained_is_refused(
        self, train: Callable[..., FitResult], changes: dict[str, Any], message: str
    ) -> None:
        with pytest.raises(UserError, match=message):
            train(**changes)


class TestFolders:
    def test_failed_write_leaves_the_old_folder(self, tmp_path: Path) -> None:
        with replacing(tmp_path / "a") as draft:
            (draft / "file").write_text("old")
        with pytest.raises(FileNotFoundError), replacing(tmp_path / "a") as draft:
            (draft / "missing" / "file").write_text("new")
        assert [file.relative_to(tmp_path).as_posix() for file in tmp_path.rglob("*")] == ["a", "a/file"]
        assert (tmp_path / "a" / "file").read_text() == "old"


class TestMining:
    def bitext(self, name: str, numbers: range) -> list[BitextSentence]:
        """Odd sentences have a translation (themselves); the even ones differ."""
        texts = [f"{' '.join(words(Random(f'{name}{number}')))} {number}" for number in numbers]
        foreign = [
            BitextSentence(id=f"de-{n}", text=text, english=False, translations=(f"en-{n}",) * (n % 2))
            for n, text in zip(numbers, texts, strict=True)
        ]
        english = [
            BitextSentence(id=f"en-{n}", text=text if n % 2 else f"{text} {text}", english=True, translations=())
            for n, text in zip(numbers, texts, strict=True)
        ]
        return [*foreign, *reversed(english)]

    def test_pairs_are_found_and_the_threshold_of_dev_holds_for_test(self, encoder: Path) -> None:
        dev, test = {"de": self.bitext("dev", range(30))}, {"de": self.bitext("test", range(50))}
        options = {"checkpoint": encoder, "retrieval": RetrievalSettings(), "settings": settings()}
        mined = mine(dev=dev, test=test, **options)["de"]
        assert [row.id for row in mined.test] == [example.id for example in test["de"]]
        assert score(TaskKind.BITEXT_MINING, *columns(mined.dev))["f1"] > 90
        assert score(TaskKind.BITEXT_MINING, *columns(mined.test))["f1"] > 80
        found = [row.prediction for row in mined.test if row.prediction]
        assert min(pair["score"] for pair in found) >= mined.threshold > 0
        assert len({pair["id"] for pair in found}) == len(found)
        everything = mine(dev=test, test=test, **options)["de"]
        assert score(TaskKind.BITEXT_MINING, *columns(everything.test)) == score(
            TaskKind.BITEXT_MINING, *columns(everything.dev)
        )

    def test_nothing_to_mine_is_no_error(self, encoder: Path) -> None:
        options = {"checkpoint": encoder, "retrieval": RetrievalSettings(), "settings": settings()}
        assert mine(dev={"de": []}, test={"de": []}, **options) == {"de": Mined(0.0, [], [])}


def columns(rows: Sequence[PredictionRow]) -> tuple[list[Any], list[Any]]:
    return [row.gold for row in rows], [row.prediction for row in rows]
