"""Data sets by name, from a hub on this machine into a store, in the columns that the hub's data sets have."""

import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import datasets as hf
import pytest
from datasets import ClassLabel, Features, List, Value

from cluster.http_servers import serving
from cluster.hub import Files, Hub, Repository
from xstilts.core.errors import ExitCode
from xstilts.store import ObjectStore, open_store
from xstilts.store.datasets import fetch_split, load_dataset
from xstilts.tasks import registry
from xstilts.tasks.anli_plus import CorpusPair
from xstilts.tasks.datasets import read_split
from xstilts.tasks.examples import (
    Answer,
    Classification,
    Example,
    IntentAndSlots,
    MultipleChoice,
    Retrieval,
    SpanExtraction,
    Tagging,
)

COMMIT, CONVERSION = "a" * 40, "b" * 40
SCRIPT = {"script.py": b"", "README.md": b""}
LAST = "-00000-of-00001.parquet"

TEXT, INT, TEXTS = Value("string"), Value("int32"), List(Value("string"))
NLI = ClassLabel(names=["entailment", "neutral", "contradiction"])
PAIR = {"premise": TEXT, "hypothesis": TEXT, "label": NLI}
GLUE_MNLI = {**PAIR, "idx": INT}
ANLI = {"uid": TEXT, **PAIR, "reason": TEXT}
QQP = {"question1": TEXT, "question2": TEXT, "label": ClassLabel(names=["not_duplicate", "duplicate"]), "idx": INT}
PAWS = {"id": INT, "sentence1": TEXT, "sentence2": TEXT, "label": ClassLabel(names=["0", "1"])}
SQUAD = {
    "id": TEXT,
    "title": TEXT,
    "context": TEXT,
    "question": TEXT,
    "answers": {"text": TEXTS, "answer_start": List(INT)},
}
HELLASWAG = {
    "ind": INT, "activity_label": TEXT, "ctx_a": TEXT, "ctx_b": TEXT, "ctx": TEXT, "endings": TEXTS, "source_id": TEXT,
    "split": TEXT, "split_type": TEXT, "label": TEXT,
}  # fmt: skip
COSMOSQA = {"id": TEXT, "context": TEXT, "question": TEXT, **{f"answer{n}": TEXT for n in range(4)}, "label": INT}
COMMONSENSEQA = {
    "id": TEXT, "question": TEXT, "question_concept": TEXT, "choices": {"label": TEXTS, "text": TEXTS}, "answerKey": TEXT,
}  # fmt: skip
UPOS = [
    "ADJ",
    "ADP",
    "ADV",
    "AUX",
    "CCONJ",
    "DET",
    "INTJ",
    "NOUN",
    "NUM",
    "PART",
    "PRON",
    "PROPN",
    "PUNCT",
    "SCONJ",
    "SYM",
    "VERB",
    "X",
]
UDPOS = {"tokens": TEXTS, "pos_tags": List(ClassLabel(names=UPOS))}
NAMES = ["O", "B-PER", "I-PER", "B-ORG", "I-ORG", "B-LOC", "I-LOC"]
PANX = {"tokens": TEXTS, "ner_tags": List(ClassLabel(names=NAMES)), "langs": TEXTS}
TATOEBA = {"source_sentence": TEXT, "target_sentence": TEXT, "source_lang": TEXT, "target_lang": TEXT}
MASSIVE = {
    "id": TEXT, "locale": TEXT, "partition": TEXT, "scenario": ClassLabel(names=["alarm", "play"]),
    "intent": ClassLabel(names=["alarm_set", "play_music"]), "utt": TEXT, "annot_utt": TEXT,
}  # fmt: skip

Row = Mapping[str, Any]


def pair(label: int, premise: str = "Tom ran.", hypothesis: str = "Tom moved.", **more: Any) -> Row:
    return {"premise": premise, "hypothesis": hypothesis, "label": label, **more}


def asked(text: str = "Ann", start: int = 8, identity: str = "q1") -> Row:
    answers = {"text": [text], "answer_start": [start]} if text else {"text": [], "answer_start": []}
    return {"id": identity, "title": "t", "context": "Tom met Ann.", "question": "Who?", "answers": answers}


HELLASWAG_ROW = {
    "ind": 4, "activity_label": "Roof", "ctx_a": "A man sits.", "ctx_b": "he", "ctx": "A man sits. he",
    "endings": ["sleeps.", ", tired, sleeps."], "source_id": "a~1", "split": "train", "split_type": "indomain", "label": "1",
}  # fmt: skip
COSMOSQA_ROW = {
    "id": "c1",
    "context": "He left .",
    "question": "Why ?",
    **{f"answer{n}": f"a{n}" for n in range(4)},
    "label": 3,
}
COMMONSENSEQA_ROW = {
    "id": "q", "question": "Where?", "question_concept": "x", "answerKey": "B",
    "choices": {"label": ["A", "B", "C"], "text": ["here", "there", "nowhere"]},
}  # fmt: skip
MASSIVE_ROW = {
    "id": "1", "locale": "de-DE", "partition": "test", "scenario": 1, "intent": 1, "utt": "spiel ABBA", "annot_utt": "spiel [artist : ABBA]",
}  # fmt: skip


class Writer:
    """Parquet files as the hub's own library writes them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(self, features: Mapping[str, Any], *rows: Row) -> bytes:
        path = self.folder / "file.parquet"
        hf.Dataset.from_list([dict(row) for row in rows], features=Features(features)).to_parquet(path)
        return path.read_bytes()


def repositories(parquet: Writer) -> Iterator[Repository]:
    mnli = {
        f"mnli/train{LAST}": parquet(GLUE_MNLI, pair(0, idx=0), pair(2, "A \u2028 b.", idx=1)),
        f"mnli/validation_matched{LAST}": parquet(GLUE_MNLI, pair(1, idx=0)),
        f"mnli/validation_mismatched{LAST}": parquet(GLUE_MNLI, pair(1, idx=0)),
        f"mnli/test_matched{LAST}": parquet(GLUE_MNLI, pair(-1, idx=0)),
        f"sst2/train{LAST}": b"another task",
    }
    qqp = {
        f"qqp/{split}{LAST}": parquet(QQP, {"question1": "a?", "question2": "b?", "label": 1, "idx": 0})
        for split in ("train", "validation")
    }
    yield main("nyu-mll/glue", mnli | qqp)
    snli = parquet(PAIR, pair(0), pair(-1), pair(1))
    yield main("stanfordnlp/snli", {f"plain_text/{split}{LAST}": snli for split in ("train", "validation", "test")})
    yield main(
        "facebook/anli",
        {
            f"plain_text/{split}_r{number}{LAST}": parquet(ANLI, pair(2, uid=f"u{number}", reason=""))
            for split in ("train", "dev", "test")
            for number in (1, 2, 3)
        },
    )
    squad = parquet(SQUAD, asked())
    yield main("rajpurkar/squad", {f"plain_text/{split}{LAST}": squad for split in ("train", "validation")})
    squad_2 = parquet(SQUAD, asked(), asked("", identity="q2"))
    yield main("rajpurkar/squad_v2", {f"squad_v2/{split}{LAST}": squad_2 for split in ("train", "validation")})
    yield main(
        "Rowan/hellaswag",
        {
            **{f"data/{split}{LAST}": parquet(HELLASWAG, HELLASWAG_ROW) for split in ("train", "validation")},
            f"data/test{LAST}": parquet(HELLASWAG, {**HELLASWAG_ROW, "label": ""}),
        },
    )
    yield converted("allenai/cosmos_qa", {f"default/{split}/0000.parquet": parquet(COSMOSQA, COSMOSQA_ROW) for split in ("train", "validation", "test")})  # fmt: skip
    yield main("tau/commonsense_qa", {f"data/{split}{LAST}": parquet(COMMONSENSEQA, COMMONSENSEQA_ROW) for split in ("train", "validation", "test")})  # fmt: skip
    xnli = parquet(PAIR, pair(2, "Tom lief."))
    yield main("facebook/xnli", {f"{folder}/{split}{LAST}": xnli for folder in ("de", "all_languages") for split in ("train", "validation", "test")})  # fmt: skip
    paws = parquet(PAWS, {"id": 7, "sentence1": "a", "sentence2": "b", "label": 1})
    yield main("google-research-datasets/paws-x", {f"{language}/{split}{LAST}": paws for language in ("en", "ko") for split in ("train", "validation", "test")})  # fmt: skip
    yield main("google/xquad", {f"xquad.th/validation{LAST}": squad})
    yield converted("facebook/mlqa", {f"mlqa.{pair}/{split}/0000.parquet": squad for pair in ("de.de", "de.en") for split in ("validation", "test")})  # fmt: skip
    tydiqa = parquet(SQUAD, asked(identity="finnish-1-0"), asked(identity="english-2-0"))
    yield main("google-research-datasets/tydiqa", {f"secondary_task/{split}{LAST}": tydiqa for split in ("train", "validation")})  # fmt: skip
    yield main(
        "google/xtreme",
        {
            f"udpos.German/test{LAST}": parquet(UDPOS, {"tokens": ["Geh", "!"], "pos_tags": [15, 12]}),
            f"udpos.Arabic/test{LAST}": parquet(UDPOS, {"tokens": ["x"], "pos_tags": [16]}),
            f"PAN-X.de/test{LAST}": parquet(
                PANX, {"tokens": ["Ann", "Lee", "geht"], "ner_tags": [1, 2, 0], "langs": ["de"] * 3}
            ),
            f"PAN-X.ace/test{LAST}": b"not one of the target languages",
            f"tatoeba.deu/validation{LAST}": parquet(
                TATOEBA,
                {"source_sentence": "Eins.\n", "target_sentence": "One.\n", "source_lang": "deu", "target_lang": "eng"},
            ),
        },
    )
    yield converted("AmazonScience/massive", {"de-DE/test/0000.parquet": parquet(MASSIVE, MASSIVE_ROW)})


def main(name: str, files: Files) -> Repository:
    return Repository("datasets", name, {COMMIT: {"README.md": b"", **files}}, {"main": COMMIT})


def converted(name: str, files: Files) -> Repository:
    """One that is published as a script, which the hub has run."""
    return Repository(
        "datasets", name, {COMMIT: SCRIPT, CONVERSION: files}, {"main": COMMIT, "refs/convert/parquet": CONVERSION}
    )


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    with serving(Hub(*repositories(Writer(tmp_path_factory.mktemp("parquet"))))) as hub:
        yield hub


def run_import(hub: Hub, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [
        sys.executable,
        "-m",
        "xstilts.cli",
        "data",
        "import",
        *arguments,
        "--hub",
        "--store",
        str(folder / "store"),
    ]
    return subprocess.run(command, env=hub.environment(folder / "hub"), capture_output=True, text=True, check=False)


class Imported:
    """All data sets that the hub has, and what the command printed."""

    def __init__(self, hub: Hub, folder: Path) -> None:
        self.folder = folder
        self.names = [name for name, dataset in registry.datasets().items() if dataset.hub]
        self.answer = run_import(hub, folder, *self.names)
        assert self.answer.returncode == 0, self.answer.stderr
        self.store: ObjectStore = open_store(str(folder / "store"))
        self.downloaded = set(hub.downloaded)

    def examples(self, name: str) -> dict[str, Sequence[Example]]:
        manifest = load_dataset(self.store, name)
        assert manifest is not None
        return {
            f"{split.split}:{split.language}": list(
                read_split(split, fetch_split(self.store, split, self.folder / "read" / split.digest))
            )
            for split in manifest.splits
        }


@pytest.fixture(scope="module")
def imported(hub: Hub, tmp_path_factory: pytest.TempPathFactory) -> Imported:
    return Imported(hub, tmp_path_factory.mktemp("imported"))


def classified(label: str, first: str = "Tom ran.", second: str = "Tom moved.", identity: str = "") -> Classification:
    return Classification(id=identity, first=first, second=second, label=label)


def of_corpus(corpus: str, label: str, first: str = "Tom ran.", identity: str = "") -> CorpusPair:
    return CorpusPair(id=identity, first=first, second="Tom moved.", label=label, corpus=corpus)


ANN = SpanExtraction(id="q1", question="Who?", context="Tom met Ann.", answers=(Answer("Ann", 8),))
SQUAD_2_ROWS = [ANN, SpanExtraction(id="q2", question="Who?", context="Tom met Ann.", answers=())]
SNLI_ROWS = [classified("entailment"), classified("neutral")]
ANLI_ROWS = [classified("contradiction", identity=f"u{number}") for number in (1, 2, 3)]
ANLI_PLUS_ROWS = [of_corpus(f"anli-r{n}", "contradiction", identity=f"anli-r{n}/u{n}") for n in (1, 2, 3)]
DUPLICATE = classified("1", "a?", "b?")
PARAPHRASE = classified("1", "a", "b", "7")
GERMAN = classified("contradiction", "Tom lief.")
ENDING = MultipleChoice(id="4", prompt="A man sits.", choices=("he sleeps.", "he, tired, sleeps."), label=1)
WHY = MultipleChoice(id="c1", prompt="He left . Why ?", choices=("a0", "a1", "a2", "a3"), label=3)
WHERE = MultipleChoice(id="q", prompt="Where?", choices=("here", "there", "nowhere"), label=1)

EXPECTED: dict[str, dict[str, Sequence[Example]]] = {
    "mnli": {
        "train:en": [classified("entailment"), classified("contradiction", "A \u2028 b.")],
        "dev:en": [classified("neutral")],
        "dev_mismatched:en": [classified("neutral")],
    },
    "qqp": {"train:en": [DUPLICATE], "dev:en": [DUPLICATE]},
    "snli": {"train:en": SNLI_ROWS, "dev:en": SNLI_ROWS, "test:en": SNLI_ROWS},
    "anli": {"train:en": ANLI_ROWS, "dev:en": ANLI_ROWS, "test:en": ANLI_ROWS},
    "anli_plus": {
        "train:en": [
            *(of_corpus("snli", label) for label in ("entailment", "neutral")),
            of_corpus("mnli", "entailment"),
            of_corpus("mnli", "contradiction", "A \u2028 b."),
            *ANLI_PLUS_ROWS,
        ],
        "dev:en": [
            *(of_corpus("snli", label) for label in ("entailment", "neutral")),
            of_corpus("mnli", "neutral"),
            *ANLI_PLUS_ROWS,
        ],
    },
    "squad_v1": {"train:en": [ANN], "dev:en": [ANN]},
    "squad_v2": {f"{split}:en": SQUAD_2_ROWS for split in ("train", "dev")},
    "hellaswag": {"train:en": [ENDING], "dev:en": [ENDING]},
    "cosmosqa": {"train:en": [WHY], "dev:en": [WHY]},
    "commonsenseqa": {"train:en": [WHERE], "dev:en": [WHERE]},
    "xnli": {"dev:de": [GERMAN], "test:de": [GERMAN]},
    "pawsx": {f"{split}:{language}": [PARAPHRASE] for split in ("train", "dev", "test") for language in ("en", "ko")},
    "xquad": {"test:th": [ANN]},
    "mlqa": {"dev:de": [ANN], "test:de": [ANN]},
    "tydiqa": {
        f"{split}:{language}": [
            SpanExtraction(id=identity, question=ANN.question, context=ANN.context, answers=ANN.answers)
        ]
        for split in ("train", "dev")
        for language, identity in (("fi", "finnish-1-0"), ("en", "english-2-0"))
    },
    "udpos": {
        "test:de": [Tagging(id="", words=("Geh", "!"), tags=("VERB", "PUNCT"))],
        "test:ar": [Tagging(id="", words=("x",), tags=("X",))],
    },
    "panx": {"test:de": [Tagging(id="", words=("Ann", "Lee", "geht"), tags=("B-PER", "I-PER", "O"))]},
    "tatoeba": {"test:de": [Retrieval(id="", text="Eins.", english="One.")]},
    "massive": {
        "test:de": [IntentAndSlots(id="1", words=("spiel", "ABBA"), slots=("O", "B-artist"), intent="play_music")]
    },
}


def test_every_data_set_that_the_hub_has_is_expected_here(imported: Imported) -> None:
    assert set(imported.names) == set(EXPECTED)


@pytest.mark.parametrize("name", EXPECTED)
def test_rows_are_read_again_from_the_files_in_the_store(imported: Imported, name: str) -> None:
    assert imported.examples(name) == EXPECTED[name]


def test_the_commit_is_recorded_and_no_other_file_is_taken(imported: Imported) -> None:
    sources = {name: found.source for name in imported.names if (found := load_dataset(imported.store, name))}
    assert sources["mnli"] == f"nyu-mll/glue@{COMMIT}"
    assert sources["cosmosqa"] == f"allenai/cosmos_qa@{CONVERSION}", "main has a script alone"
    assert sources["anli_plus"] == ", ".join(
        f"{name}@{COMMIT}" for name in ("stanfordnlp/snli", "nyu-mll/glue", "facebook/anli")
    )
    assert not {name for name in imported.downloaded if name.startswith(("sst2", "PAN-X.ace", "all_", "mnli/test"))}
    assert f"mnli {load_dataset(imported.store, 'mnli').digest[:12]} from nyu-mll/glue@" in imported.answer.stdout  # type: ignore[union-attr]


def test_a_revision_may_be_named_and_the_same_files_are_the_same_data_set(
    hub: Hub, imported: Imported, tmp_path: Path
) -> None:
    answer = run_import(hub, tmp_path, "squad_v1", "--revision", COMMIT)
    assert answer.returncode == 0, answer.stderr
    again = load_dataset(open_store(str(tmp_path / "store")), "squad_v1")
    assert again == load_dataset(imported.store, "squad_v1")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ("ccg",),
            "no repository of the hub is known for ccg (LDC, bring your own): give its files with --from FOLDER",
        ),
        (("mnli", "--revision", "v9"), "data set 'nyu-mll/glue' has no revision 'v9'"),
        (("cosmosqa", "--revision", COMMIT), "'allenai/cosmos_qa' has no file at"),
        (("anli_plus", "--revision", COMMIT), "stanfordnlp/snli, nyu-mll/glue, facebook/anli, which share no revision"),
        (("mnli", "--from", "folder"), "give either --from FOLDER or --hub"),
        (("mnli", "--file", "train:en=x"), "--file names files of one data set in a folder"),
    ],
    ids=["licensed", "unknown revision", "a script alone", "three repositories", "two sources", "a file"],
)
def test_what_cannot_be_had_is_told(hub: Hub, tmp_path: Path, arguments: tuple[str, ...], message: str) -> None:
    answer = run_import(hub, tmp_path, *arguments)
    assert answer.returncode == ExitCode.INVALID_INPUT
    assert message in answer.stderr
