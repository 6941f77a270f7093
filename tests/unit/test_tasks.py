"""The whole registry against one contract; every reader on rows written by hand in upstream's exact form."""

import json
import logging
import subprocess
import sys
from pathlib import Path

import pytest
from pyarrow import Table
from pyarrow.parquet import write_table

from xstilts.core.catalogue import TaskKind
from xstilts.core.errors import UserError
from xstilts.tasks import datasets, registry
from xstilts.tasks.examples import (
    Answer,
    BitextSentence,
    Classification,
    IntentAndSlots,
    MultipleChoice,
    Retrieval,
    SemanticParse,
    SpanExtraction,
    Tagging,
)
from xstilts.tasks.gold import gold, gold_in_any_language, is_labelled

METRICS = {
    TaskKind.CLASSIFICATION: {"accuracy"},
    TaskKind.BITEXT_MINING: {"f1"},
    TaskKind.MULTIPLE_CHOICE: {"accuracy"},
    TaskKind.SPAN_EXTRACTION: {"score"},
    TaskKind.TAGGING: {"f1", "accuracy"},
    TaskKind.INTENT_AND_SLOTS: {"exact_match"},
    TaskKind.SEMANTIC_PARSING: {"exact_match"},
    TaskKind.RETRIEVAL: {"accuracy", "f1"},
}


def write(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode())
    return root


def examples(name: str, root: Path, split: str, language: str = "en", **files: str):
    manifest = datasets.scan(name, root, files or None)
    found = manifest.find(split, language)
    assert found is not None, [f"{s.split}:{s.language}" for s in manifest.splits]
    rows = list(datasets.read_split(found, [root / file.path for file in found.files]))
    assert len(rows) == found.rows
    return rows


def tsv(*rows: tuple[str, ...]) -> str:
    return "".join("\t".join(row) + "\n" for row in rows)


def jsonl(*rows: dict) -> str:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def squad(*questions: dict, context: str = "Tom met Ann.") -> str:
    return json.dumps(
        {"version": "1.1", "data": [{"title": "t", "paragraphs": [{"context": context, "qas": questions}]}]}
    )


def question(identity: str = "q1", text: str = "Ann", start: int = 8) -> dict:
    return {"id": identity, "question": "Who?", "answers": [{"text": text, "answer_start": start}]}


class TestContract:
    @pytest.fixture(params=registry.names())
    def task(self, request):
        return registry.get(request.param)

    def test_name_is_its_key(self, task):
        assert task.spec.name == task.name

    def test_version_counts_from_one(self, task):
        assert task.spec.version >= 1

    def test_every_source_is_a_known_data_set(self, task):
        sources = [source for source in (task.spec.train, task.spec.dev, task.spec.test) if source]
        assert sources
        for source in (*sources, *task.spec.published_rows):
            assert registry.dataset(source.dataset).name == source.dataset

    def test_every_source_is_a_split_that_a_layout_can_yield(self, task):
        for source in (task.spec.train, task.spec.dev, task.spec.test):
            layouts = registry.dataset(source.dataset).layouts if source else ()
            yielded = {split for layout in layouts for split in (*layout.splits.values(), layout.split)}
            assert not layouts or source.split in yielded

    def test_what_is_trained_can_select_a_checkpoint(self, task):
        assert (task.spec.train is None) == (task.kind in {TaskKind.RETRIEVAL, TaskKind.BITEXT_MINING})
        assert (task.spec.dev is None) == (task.kind is TaskKind.RETRIEVAL)

    def test_metric_belongs_to_the_kind(self, task):
        assert task.spec.metric in METRICS[task.kind]

    def test_languages_are_distinct(self, task):
        assert len(set(task.spec.languages)) == len(task.spec.languages) > 0

    def test_only_targets_have_several_languages(self, task):
        assert task.spec.test or task.spec.languages == ("en",)

    def test_labels_are_fixed_where_the_kind_has_a_closed_set(self, task):
        assert task.spec.labels or task.kind is not TaskKind.CLASSIFICATION
        assert len(set(task.spec.labels or ())) == len(task.spec.labels or ())

    def test_licence_reference_and_description_are_given(self, task):
        assert all((task.spec.licence, task.spec.reference, task.spec.description))

    def test_published_rows_are_positive(self, task):
        assert all(rows > 0 for rows in task.spec.published_rows.values())

    def test_published_rows_are_those_of_other_tasks_made_of_the_same_split(self, task):
        assert all(registry.published_rows(source) == rows for source, rows in task.spec.published_rows.items())

    def test_answer_rules_exist(self, task):
        parse = task.kind is TaskKind.SEMANTIC_PARSING
        assert task.rules in ({"top", "sparql"} if parse else {"squad", "squad_v2", "mlqa"})


class TestDatasetContract:
    @pytest.fixture(params=sorted(registry.datasets()))
    def dataset(self, request):
        return registry.dataset(request.param)

    def test_licence_is_given(self, dataset):
        assert dataset.licence

    def test_layout_names_are_distinct(self, dataset):
        names = [layout.name for layout in dataset.layouts]
        assert len(set(names)) == len(names)

    def test_no_file_is_a_user_error_that_shows_the_patterns(self, dataset, tmp_path):
        with pytest.raises(UserError) as caught:
            datasets.scan(dataset.name, tmp_path)
        expected = dataset.layouts[0].patterns[0] if dataset.layouts else "has no reader"
        assert expected in str(caught.value)

    def test_no_folder_is_a_user_error(self, dataset, tmp_path):
        with pytest.raises(UserError, match=r"no such folder|has no reader"):
            datasets.scan(dataset.name, tmp_path / "absent")


class TestRegistry:
    def test_the_nine_intermediate_tasks_are_there(self):
        nine = {"anli_plus", "mnli", "qqp", "squad_v2", "squad_v1", "hellaswag", "ccg", "cosmosqa", "commonsenseqa"}
        assert nine <= set(registry.names())

    def test_the_nine_targets_of_xtreme_have_its_number_of_languages(self):
        counts = {
            "xnli": 15, "pawsx": 7, "udpos": 33, "panx": 40, "xquad": 11, "mlqa": 7, "tydiqa": 9, "bucc2018": 4,
            "tatoeba": 36,
        }  # fmt: skip
        assert {name: len(registry.get(name).spec.languages) for name in counts} == counts

    def test_a_misspelt_task_is_answered_with_a_suggestion_and_the_list(self):
        with pytest.raises(UserError, match=r"unknown task 'xnil'; did you mean 'xnli'.*Known: .*xsid"):
            registry.get("xnil")

    def test_an_unknown_data_set_is_answered_with_the_list(self):
        with pytest.raises(UserError, match=r"unknown data set 'zzz'\. Known: .*mnli"):
            registry.dataset("zzz")

    def test_it_imports_no_heavy_library(self):
        code = "import sys; from xstilts.tasks import registry; registry.names(); print(*sys.modules)"
        loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
        assert not {"torch", "pandas", "transformers", "datasets", "numpy"} & set(loaded)

    def test_an_entry_point_adds_a_task_and_a_data_set(self, tmp_path):
        write(
            tmp_path,
            {
                "mine.py": (
                    "from xstilts.core.catalogue import TaskKind, TaskSpec\n"
                    "from xstilts.tasks.definitions import Dataset, Task\n"
                    "TASK = Task(spec=TaskSpec(name='mine', version=1, kind=TaskKind.TAGGING, description=''),"
                    " stratum=str)\n"
                    "DATASET = Dataset(name='mine', licence='none')\n"
                ),
                "mine-1.dist-info/METADATA": "Metadata-Version: 2.1\nName: mine\nVersion: 1\n",
                "mine-1.dist-info/entry_points.txt": (
                    "[xstilts.tasks]\nmine = mine:TASK\n[xstilts.datasets]\nmine = mine:DATASET\n"
                ),
            },
        )
        code = (
            f"import sys; sys.path.insert(0, {str(tmp_path)!r});"
            "from xstilts.tasks import registry; print(registry.get('mine').name, registry.dataset('mine').licence)"
        )
        found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert found.stdout == "mine none\n"


class TestInference:
    TRAIN = (
        "index", "promptID", "pairID", "genre", "sentence1_binary_parse", "sentence2_binary_parse", "sentence1_parse",
        "sentence2_parse", "sentence1", "sentence2", "label1", "gold_label",
    )  # fmt: skip

    def row(self, number: int, first: str, second: str, label: str) -> tuple[str, ...]:
        return (str(number), "31193", f"31193{number}", "slate", "", "", "", "", first, second, label, label)

    def test_glue_tsv_keeps_quotes_and_drops_rows_without_majority(self, tmp_path):
        text = tsv(self.TRAIN, self.row(0, 'He said "no', "No.", "neutral"), self.row(1, "A.", "B.", "-"))
        write(tmp_path, {"MNLI/train.tsv": text})
        assert examples("mnli", tmp_path, "train") == [
            Classification(id="311930", first='He said "no', second="No.", label="neutral")
        ]

    def test_the_root_may_be_the_folder_of_the_files_itself(self, tmp_path):
        write(tmp_path, {"MNLI/train.tsv": tsv(self.TRAIN, self.row(0, "A.", "B.", "entailment"))})
        assert len(examples("mnli", tmp_path / "MNLI", "train")) == 1

    def test_matched_and_mismatched_dev_are_two_splits(self, tmp_path):
        text = tsv(self.TRAIN, self.row(0, "A.", "B.", "entailment"))
        write(tmp_path, {"MNLI/dev_matched.tsv": text, "MNLI/dev_mismatched.tsv": text})
        assert [split.split for split in datasets.scan("mnli", tmp_path).splits] == ["dev", "dev_mismatched"]

    def test_translated_training_data_has_its_own_label_word(self, tmp_path):
        text = tsv(("premise", "hypo", "label"), ("Eins .", "Zwei .", "contradictory"))
        write(tmp_path, {"XNLI-MT-1.0/multinli/multinli.train.de.tsv": text})
        assert [row.label for row in examples("mnli", tmp_path, "train", "de")] == ["contradiction"]

    def test_snli_jsonl(self, tmp_path):
        row = {"gold_label": "entailment", "pairID": "p", "sentence1": "a", "sentence2": "b", "captionID": "c"}
        write(tmp_path, {"snli_1.0_train.jsonl": jsonl(row, {**row, "gold_label": "-"})})
        assert examples("snli", tmp_path, "train") == [
            Classification(id="p", first="a", second="b", label="entailment")
        ]

    def test_anli_joins_its_rounds(self, tmp_path):
        row = {"uid": "u1", "context": "a", "hypothesis": "b", "label": "c", "model_label": "n"}
        write(tmp_path, {"R1/dev.jsonl": jsonl(row), "R2/dev.jsonl": jsonl({**row, "uid": "u2", "label": "e"})})
        assert [(row.id, row.label) for row in examples("anli", tmp_path, "dev")] == [
            ("u1", "contradiction"),
            ("u2", "entailment"),
        ]

    @pytest.mark.parametrize("form", ["tsv", "jsonl"])
    def test_xnli_picks_a_language_out_of_the_common_file(self, form, tmp_path):
        rows = [
            {"language": "de", "gold_label": "neutral", "sentence1": "a", "sentence2": "b", "pairID": "1"},
            {"language": "th", "gold_label": "entailment", "sentence1": "ก\u2028", "sentence2": "ข", "pairID": "1"},
        ]
        text = jsonl(*rows) if form == "jsonl" else tsv(tuple(rows[0]), *(tuple(row.values()) for row in rows))
        write(tmp_path, {f"XNLI-1.0/xnli.test.{form}": text})
        assert examples("xnli", tmp_path, "test", "th") == [
            Classification(id="1", first="ก\u2028", second="ข", label="entailment")
        ]

    def test_languages_of_a_common_file_have_digests_of_their_own(self, tmp_path):
        row = {"gold_label": "neutral", "sentence1": "a", "sentence2": "b", "pairID": "1"}
        write(tmp_path, {"xnli.dev.jsonl": jsonl({"language": "de", **row}, {"language": "fr", **row})})
        first, second = datasets.scan("xnli", tmp_path).splits
        assert first.digest != second.digest

    def test_xtreme_form_with_byte_order_mark_and_crlf(self, tmp_path):
        write(tmp_path, {"dev-de.tsv": "\ufeffEins.\tZwei.\tneutral\r\nDrei.\tVier.\tentailment\r\n\r\n"})
        assert [(row.first, row.label) for row in examples("xnli", tmp_path, "dev", "de")] == [
            ("Eins.", "neutral"),
            ("Drei.", "entailment"),
        ]

    def test_unicode_is_left_as_it_is(self, tmp_path):
        decomposed = "cafe\u0301 \u200cx\u00a0"
        write(tmp_path, {"dev-fr.tsv": f"{decomposed}\tb\tneutral\n"})
        assert examples("xnli", tmp_path, "dev", "fr")[0].first == decomposed

    def test_americasnli(self, tmp_path):
        text = tsv(("id", "language", "premise", "hypothesis", "label"), ("7", "gn", "a", "b", "neutral"))
        write(tmp_path, {"test/gn.tsv": text})
        assert examples("americasnli", tmp_path, "test", "gn")[0].id == "7"


class TestTranslations:
    """Training data in other languages: upstream's names, and the names of the English files with the language."""

    def english(self, first: str, second: str) -> str:
        rows = TestInference()
        return tsv(TestInference.TRAIN, rows.row(0, first, second, "neutral"), rows.row(1, second, first, "-"))

    def test_own_mnli_has_the_ids_and_rows_of_the_english_one(self, tmp_path):
        write(tmp_path, {"MNLI/train.tsv": self.english("A.", "B."), "MNLI/train.de.tsv": self.english("Ä.", "B.")})
        english, german = (examples("mnli", tmp_path, "train", language) for language in ("en", "de"))
        assert (
            [(row.id, row.label) for row in english]
            == [(row.id, row.label) for row in german]
            == [("311930", "neutral")]
        )
        assert german[0].first == "Ä."

    def test_own_mnli_as_json_lines(self, tmp_path):
        row = {"gold_label": "neutral", "pairID": "p", "sentence1": "a", "sentence2": "b"}
        write(tmp_path, {"multinli_1.0_train.sw.jsonl": jsonl(row, {**row, "gold_label": "-"})})
        assert [row.id for row in examples("mnli", tmp_path, "train", "sw")] == ["p"]

    def test_mnli_of_xtreme_has_the_english_pair_in_front_and_a_label_word_of_its_own(self, tmp_path):
        text = tsv(("A.", "B.", "Eins.", "Zwei.", "contradictory"), ("A.", "B.", "Drei.", "Vier.", "neutral"))
        write(tmp_path, {"XNLI/translate-train/en-de-translated.tsv": text})
        assert examples("mnli", tmp_path, "train", "de") == [
            Classification(id="", first="Eins.", second="Zwei.", label="contradiction"),
            Classification(id="", first="Drei.", second="Vier.", label="neutral"),
        ]

    def test_mnli_of_the_hubs_xnli_stands_beside_the_english_one_of_its_glue(self, tmp_path):
        for name, premise in (("glue/mnli", "One."), ("xnli/de", "Eins."), ("xnli/en", "One .")):
            (tmp_path / name).mkdir(parents=True)
            rows = [{"premise": premise, "hypothesis": "b", "label": 2}]
            write_table(Table.from_pylist(rows), tmp_path / name / "train-00000-of-00001.parquet")
        english, german = (examples("mnli", tmp_path, "train", language)[0] for language in ("en", "de"))
        assert (english.first, german.first, german.label) == ("One.", "Eins.", "contradiction")

    def test_own_qqp_drops_the_rows_that_the_english_one_drops(self, tmp_path):
        header = ("id", "qid1", "qid2", "question1", "question2", "is_duplicate")
        torn = (("2", "3", "4", "torn"), ("rest", "c?", "0"))
        files = {f"QQP/train{of}.tsv": tsv(header, ("1", "2", "3", "a?", "b?", "1"), *torn) for of in ("", ".ru")}
        write(tmp_path, files)
        assert examples("qqp", tmp_path, "train", "ru") == examples("qqp", tmp_path, "train")

    def test_own_hellaswag(self, tmp_path):
        german = {**HELLASWAG, "ctx_a": "Ein Mann sitzt.", "ctx_b": "er", "endings": ["schläft.", ", müde, schläft."]}
        write(tmp_path, {"hellaswag_train.jsonl": jsonl(HELLASWAG), "hellaswag_train.de.jsonl": jsonl(german)})
        (row,) = examples("hellaswag", tmp_path, "train", "de")
        assert row == MultipleChoice(
            id="4", prompt="Ein Mann sitzt.", choices=("er schläft.", "er, müde, schläft."), label=1
        )
        assert [row.id for row in examples("hellaswag", tmp_path, "train")] == ["4"]

    @pytest.mark.parametrize(
        ("name", "file"),
        [
            ("squad_v1", "train-v1.1.de.json"),
            ("squad_v1", "SQuAD/translate-train/squad.translate.train.en-de.json"),
            ("squad_v2", "train-v2.0.de.json"),
        ],
    )
    def test_squad(self, name, file, tmp_path):
        write(tmp_path, {file: squad(question(), context="Tom sah Ann.")})
        (row,) = examples(name, tmp_path, "train", "de")
        assert (row.id, row.answers) == ("q1", (Answer("Ann", 8),))

    def test_a_part_of_a_name_is_no_language(self, tmp_path):
        write(tmp_path, {"dev-v2.0.dev-part.json": squad(question()), "dev-v2.0.json": squad(question())})
        assert [split.language for split in datasets.scan("squad_v2", tmp_path).splits] == ["en"]

    def test_pawsx_as_published_has_the_ids_of_the_english_rows(self, tmp_path):
        text = tsv(("id", "sentence1", "sentence2", "label"), ("1", "a", "b", "0"), ("2", "NS", "c", "1"))
        write(tmp_path, {"x-final/en/train.tsv": text, "x-final/de/translated_train.tsv": text})
        assert examples("pawsx", tmp_path, "train", "de") == examples("pawsx", tmp_path, "train")


class TestAnliPlus:
    PAIR = {"pairID": "1", "sentence1": "a", "sentence2": "b", "gold_label": "neutral"}  # noqa: RUF012
    ANLI = {"uid": "1", "context": "a", "hypothesis": "b", "label": "n"}  # noqa: RUF012

    def corpora(self, split: str = "train") -> dict[str, str]:
        return {
            f"snli_1.0/snli_1.0_{split}.jsonl": jsonl(self.PAIR, {**self.PAIR, "gold_label": "-"}),
            **{f"anli_v1.0/R{number}/{split}.jsonl": jsonl(self.ANLI) for number in (1, 2, 3)},
        }

    MNLI = {  # noqa: RUF012
        "jsonl": ("multinli_1.0_{}.jsonl", jsonl(PAIR)),
        "glue": ("MNLI/{}.tsv", tsv(tuple(PAIR), tuple(PAIR.values()))),
    }

    @pytest.mark.parametrize("form", MNLI)
    @pytest.mark.parametrize(("split", "mnli"), [("train", "train"), ("dev", "dev_matched")])
    def test_five_files_are_read_together_with_ids_of_their_corpus(self, form, split, mnli, tmp_path):
        name, text = self.MNLI[form]
        write(tmp_path, {**self.corpora(split), name.format(mnli): text})
        rows = examples("anli_plus", tmp_path, split)
        assert [row.id for row in rows] == ["snli/1", "mnli/1", "anli-r1/1", "anli-r2/1", "anli-r3/1"]
        assert {(row.first, row.second, row.label) for row in rows} == {("a", "b", "neutral")}
        task = registry.get("anli_plus")
        assert [task.stratum(row) for row in rows] == [f"{id_.split('/')[0]}, neutral" for id_ in (r.id for r in rows)]

    def test_a_repeated_id_keeps_its_corpus(self, tmp_path):
        name, _ = self.MNLI["jsonl"]
        write(tmp_path, {**self.corpora(), name.format("train"): jsonl(self.PAIR, self.PAIR)})
        repeated = examples("anli_plus", tmp_path, "train")[2]
        assert (repeated.id, registry.get("anli_plus").stratum(repeated)) == ("", "mnli, neutral")

    def test_a_missing_corpus_is_an_error_that_names_all_files(self, tmp_path):
        write(tmp_path, self.corpora())
        with pytest.raises(UserError, match=r"a companion file is missing; expected all of .*multinli_1.0_train.jsonl"):
            datasets.scan("anli_plus", tmp_path)


class TestParaphrase:
    def test_original_form_keeps_failed_translations(self, tmp_path):
        text = tsv(("id", "sentence1", "sentence2", "label"), ("1", "NS", "Zwei.", "0"), ("2", "Drei.", "Drei.", "1"))
        write(tmp_path, {"x-final/de/test_2k.tsv": text, "x-final/de/translated_train.tsv": text})
        assert [(row.first, row.label) for row in examples("pawsx", tmp_path, "test", "de")] == [
            ("NS", "0"),
            ("Drei.", "1"),
        ]
        assert len(examples("pawsx", tmp_path, "train", "de")) == 2

    def test_xtreme_form_keeps_doubled_quotes(self, tmp_path):
        write(tmp_path, {"dev-es.tsv": '"""Uno"" y."\tDos.\t1\n'})
        assert examples("pawsx", tmp_path, "dev", "es")[0].first == '"""Uno"" y."'

    def test_qqp_drops_torn_rows(self, tmp_path):
        header = ("id", "qid1", "qid2", "question1", "question2", "is_duplicate")
        text = tsv(header, ("1", "2", "3", "a?", "b?", "1"), ("2", "3", "4", "torn"), ("rest", "c?", "0"))
        write(tmp_path, {"QQP/train.tsv": text})
        assert examples("qqp", tmp_path, "train") == [Classification(id="1", first="a?", second="b?", label="1")]


class TestQuestionAnswering:
    def test_squad_v1(self, tmp_path):
        write(tmp_path, {"train-v1.1.json": squad(question())})
        assert examples("squad_v1", tmp_path, "train") == [
            SpanExtraction(id="q1", question="Who?", context="Tom met Ann.", answers=(Answer("Ann", 8),))
        ]

    def test_squad_v2_has_questions_without_answer(self, tmp_path):
        impossible = {"id": "q2", "question": "Why?", "answers": [], "is_impossible": True, "plausible_answers": []}
        write(tmp_path, {"dev-v2.0.json": squad({**question(), "is_impossible": False}, impossible)})
        assert [len(row.answers) for row in examples("squad_v2", tmp_path, "dev")] == [1, 0]

    def test_positions_count_code_points(self, tmp_path):
        write(tmp_path, {"xquad.th.json": squad(question(text="แอน", start=4), context="😀ก้ แอน")})
        assert examples("xquad", tmp_path, "test", "th")[0].answers == (Answer("แอน", 4),)

    def test_an_answer_elsewhere_names_question_and_text(self, tmp_path):
        write(tmp_path, {"train-v1.1.json": squad(question(), question("q2", start=4))})
        with pytest.raises(UserError, match=r"data\[0\]\.paragraphs\[0\]\.qas\[1\]\.answers\[0\].*is 4.*'Ann'.*'met'"):
            datasets.scan("squad_v1", tmp_path)

    def test_mlqa_takes_questions_in_the_language_of_the_context(self, tmp_path):
        pair = "test/test-context-{}-question-{}.json"
        write(tmp_path, {pair.format("de", "de"): squad(question()), pair.format("de", "en"): squad(question())})
        splits = datasets.scan("mlqa", tmp_path).splits
        assert [(split.language, split.files[0].path) for split in splits] == [("de", pair.format("de", "de"))]

    def test_tydiqa_in_xtremes_files_repeats_ids(self, tmp_path):
        name = "tydiqa-goldp-v1.1-train/tydiqa.goldp.en.train.json"
        write(tmp_path, {name: squad(question("0"), question("0"), question("1"))})
        assert [row.id for row in examples("tydiqa", tmp_path, "train")] == ["0", "", "1"]

    def test_tydiqa_as_published_is_split_by_the_ids(self, tmp_path):
        text = squad(question("finnish--1-0"), question("telugu-2-1"), question("finnish-3-0"))
        write(tmp_path, {"tydiqa-goldp-v1.1-train.json": text})
        assert [row.id for row in examples("tydiqa", tmp_path, "train", "fi")] == ["finnish--1-0", "finnish-3-0"]

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("[]", "not a JSON object"),
            ("{", "not JSON"),
            ('{"data": 1}', "data is 1; expected a list"),
            ('{"data": [1]}', r"data\[0\]: 1 is not a JSON object"),
            ('{"data": [{"paragraphs": [{"qas": [{}]}]}]}', "context is missing; expected text"),
        ],
    )
    def test_bad_json_is_located(self, text, message, tmp_path):
        write(tmp_path, {"dev-v1.1.json": text})
        with pytest.raises(UserError, match=message):
            datasets.scan("squad_v1", tmp_path)


HELLASWAG = {
    "ind": 4, "activity_label": "Roof", "ctx_a": "A man sits.", "ctx_b": "he", "ctx": "A man sits. he",
    "split": "train", "split_type": "indomain", "label": 1, "source_id": "activitynet~v_1",
    "endings": ["sleeps.", ", being tired, sleeps."],
}  # fmt: skip


class TestCommonsense:
    def test_hellaswag_repeats_the_broken_sentence_in_each_choice(self, tmp_path):
        write(tmp_path, {"hellaswag_train.jsonl": jsonl(HELLASWAG)})
        assert examples("hellaswag", tmp_path, "train") == [
            MultipleChoice(id="4", prompt="A man sits.", choices=("he sleeps.", "he, being tired, sleeps."), label=1)
        ]

    def test_wikihow_has_no_broken_sentence(self, tmp_path):
        row = {**HELLASWAG, "ctx_a": "[header] How to [title] Sit.", "ctx_b": "", "endings": ["Sit. ", "Lie. "]}
        write(tmp_path, {"hellaswag_val.jsonl": jsonl(row)})
        example = examples("hellaswag", tmp_path, "dev")[0]
        assert example.choices == ("Sit. ", "Lie. ")
        assert registry.get("hellaswag").stratum(example) == "wikihow, choice 1"

    @pytest.mark.parametrize("label", [2, -1, "x", 1.5, True])
    def test_a_label_without_choice_is_an_error(self, label, tmp_path):
        write(tmp_path, {"hellaswag_train.jsonl": jsonl(HELLASWAG, {**HELLASWAG, "label": label})})
        with pytest.raises(UserError, match=rf"hellaswag_train.jsonl, line 2: label is {label!r}; expected"):
            datasets.scan("hellaswag", tmp_path)

    def test_cosmosqa_csv_with_crlf_quotes_and_line_ends_in_fields(self, tmp_path):
        header = "id,context,question,answer0,answer1,answer2,answer3,label\r\n"
        write(tmp_path, {"train.csv": header + 'a##1,"He said ""hi"",\nthen left .",Why ?,w,x,y,"z, z",3\r\n'})
        assert examples("cosmosqa", tmp_path, "train") == [
            MultipleChoice(
                id="a##1", prompt='He said "hi",\nthen left . Why ?', choices=("w", "x", "y", "z, z"), label=3
            )
        ]

    def test_commonsenseqa(self, tmp_path):
        choices = [{"label": letter, "text": letter.lower()} for letter in "ABCDE"]
        question = {"question_concept": "x", "choices": choices, "stem": "Where?"}
        write(tmp_path, {"train_rand_split.jsonl": jsonl({"answerKey": "C", "id": "1", "question": question})})
        assert examples("commonsenseqa", tmp_path, "train") == [
            MultipleChoice(id="1", prompt="Where?", choices=("a", "b", "c", "d", "e"), label=2)
        ]

    def test_commonsenseqa_flattened_by_the_hub_says_what_is_expected(self, tmp_path):
        write(tmp_path, {"train_rand_split.jsonl": jsonl({"answerKey": "C", "id": "1", "question": "Where?"})})
        with pytest.raises(UserError, match="question is 'Where\\?'; expected an object with stem and choices"):
            datasets.scan("commonsenseqa", tmp_path)


class TestTagging:
    CONLLU = (
        "# sent_id = s1\n# text = vámonos al #1 mar\n"
        "1-2\tvámonos\t_\t_\t_\t_\t_\t_\t_\t_\n"
        "1\tvamos\tir\tVERB\t_\t_\t0\troot\t_\t_\n"
        "2\tnos\tnosotros\tPRON\t_\t_\t1\tobj\t_\t_\n"
        "2.1\telided\t_\tVERB\t_\t_\t_\t_\t_\t_\n"
        "3\t#1\t#1\tNUM\t_\t_\t1\tobl\t_\t_\n"
        "4\tmar\tmar\t_\t_\t_\t1\tobl\t_\t_\n\n"
        "# sent_id = s2\n1\t_\t_\tNOUN\t_\t_\t0\troot\t_\t_\n\n"
        "# sent_id = s3\n1\tmar\tmar\tNOUN\t_\t_\t0\troot\t_\t_\n"
    )

    @pytest.mark.parametrize("end", ["\n", "\r\n"], ids=["LF", "CRLF"])
    def test_conllu_keeps_words_and_skips_ranges_empty_nodes_and_blanks(self, end, tmp_path):
        write(tmp_path, {"UD_Spanish-GSD/es_gsd-ud-test.conllu": self.CONLLU.replace("\n", end)})
        assert examples("udpos", tmp_path, "test", "es") == [
            Tagging(id="s1", words=("vamos", "nos", "#1"), tags=("VERB", "PRON", "NUM")),
            Tagging(id="s3", words=("mar",), tags=("NOUN",)),
        ]

    def test_treebanks_of_a_language_are_joined(self, tmp_path):
        sentence = "1\tja\tja\tINTJ\t_\t_\t0\troot\t_\t_\n\n"
        write(tmp_path, {"de_gsd-ud-test.conllu": sentence, "de_pud-ud-test.conllu": sentence})
        assert len(examples("udpos", tmp_path, "test", "de")) == 2

    def test_an_unknown_tag_is_located(self, tmp_path):
        write(tmp_path, {"en_ewt-ud-dev.conllu": "1\tyes\tyes\tUH\t_\t_\t0\troot\t_\t_\n"})
        with pytest.raises(UserError, match=r"en_ewt-ud-dev.conllu, line 1: upos is 'UH'; expected one of ADJ, ADP"):
            datasets.scan("udpos", tmp_path)

    def test_a_line_with_spaces_for_tabs_is_located(self, tmp_path):
        write(tmp_path, {"en_ewt-ud-dev.conllu": "# text = a\n1 a a DET _ _ 0 root _ _\n"})
        with pytest.raises(UserError, match="line 2: 1 tab-separated fields"):
            datasets.scan("udpos", tmp_path)

    def test_xtreme_form_of_parts_of_speech(self, tmp_path):
        write(tmp_path, {"dev-en.tsv": "#\tSYM\n1\tNUM\n\nGo\tVERB\n\n"})
        assert [row.words for row in examples("udpos", tmp_path, "dev")] == [("#", "1"), ("Go",)]

    def test_wikiann_loses_its_language_prefix(self, tmp_path):
        write(tmp_path, {"sw/test": "sw:Msimbo\tB-LOC\nsw:a:b\tO\nsw::\tO\n\n"})
        assert examples("panx", tmp_path, "test", "sw") == [
            Tagging(id="", words=("Msimbo", "a:b", ":"), tags=("B-LOC", "O", "O"))
        ]

    def test_panx_in_xtremes_form(self, tmp_path):
        write(tmp_path, {"train-en.tsv": "R.H.\tB-PER\nSaunders\tI-PER\n\n"})
        assert examples("panx", tmp_path, "train")[0].tags == ("B-PER", "I-PER")

    def test_uner(self, tmp_path):
        write(tmp_path, {"de_pud-ud-test.iob2": "# sent_id = n1\n1\tKori\tB-PER\t-\tx\n2\tkam\tO\t-\tx\n"})
        assert examples("uner", tmp_path, "test", "de") == [
            Tagging(id="n1", words=("Kori", "kam"), tags=("B-PER", "O"))
        ]

    def test_ccg_by_pipes(self, tmp_path):
        write(tmp_path, {"wsj02-21.stagged": "Pierre|NNP|N/N a|b|SYM|N .|.|.\n"})
        assert examples("ccg", tmp_path, "train") == [
            Tagging(id="", words=("Pierre", "a|b", "."), tags=("N/N", "N", "."))
        ]

    def test_ccgbank(self, tmp_path):
        text = (
            "ID=wsj_0001.1 PARSER=GOLD NUMPARSE=1\n"
            "(<T S[dcl] 0 2> (<T NP 0 1> (<L N NNP NNP Vinken N>) ) (<L S[dcl]\\NP VBZ VBZ is S[dcl]\\NP_1>) )\n"
        )
        write(tmp_path, {"data/AUTO/02/wsj_0201.auto": text, "data/AUTO/24/wsj_2400.auto": text})
        assert examples("ccg", tmp_path, "train") == [
            Tagging(id="wsj_0001.1", words=("Vinken", "is"), tags=("N", "S[dcl]\\NP"))
        ]

    def test_ccgbank_with_brackets_punctuation_and_sentences_of_any_length(self, tmp_path):
        leaves = "(<L , , , , ,>) (<L NP[nb]/N DT DT the NP[nb]_5/N_5>) (<L N NN NN -LRB- N>) " * 400
        derivation = f"ID=wsj_0001.2 PARSER=GOLD NUMPARSE=1\n(<T S[dcl] 0 1> {leaves})\n"
        write(
            tmp_path, {"AUTO/00/wsj_0001.auto": derivation, "AUTO/00/wsj_0002.auto": derivation.replace("1.2", "2.1")}
        )
        first, second = examples("ccg", tmp_path, "dev")
        assert first.words == second.words == (",", "the", "-LRB-") * 400
        assert first.tags == (",", "NP[nb]/N", "N") * 400
        assert (first.id, second.id) == ("wsj_0001.2", "wsj_0002.1")

    def test_ccg_by_pipes_with_sentences_of_any_length(self, tmp_path):
        line = " ".join(["is|VBZ|(S[dcl]\\NP)/NP", "1/2|CD|N/N"] * 600)
        write(tmp_path, {"wsj00.stagged": f"# a comment\n{line}\n\n{line}\n"})
        rows = examples("ccg", tmp_path, "dev")
        assert [row.tags for row in rows] == [("(S[dcl]\\NP)/NP", "N/N") * 600] * 2
        assert registry.get("ccg").stratum(rows[0]) == "41 words and more"

    @pytest.mark.parametrize(
        ("name", "text", "message"),
        [
            ("wsj00.stagged", "Pierre|NNP N\n", "line 1: 'Pierre|NNP N' is not a line of"),
            ("AUTO/00/wsj_0001.auto", "ID=a\n(<T S>)\n", "line 2: .* has no leaves"),
        ],
    )
    def test_other_ccg_forms_are_refused(self, name, text, message, tmp_path):
        write(tmp_path, {name: text})
        with pytest.raises(UserError, match=message):
            datasets.scan("ccg", tmp_path)


GO = '{"tokenizations": [{"tokens": ["go"], "tokenSpans": [{"start": 0, "length": 2}]}]}'


class TestParsing:
    def test_xsid(self, tmp_path):
        text = (
            "# id = 2\n# text-en = Do I?\n# text = Muss ich?\n# intent = weather/find\n"
            "1\tMuss\tweather/find\tO\n2\tich\tweather/find\tB-weather/attribute\n3\t#\tweather/find\tOdatetime\n\n"
        )
        write(tmp_path, {"xSID-0.7/de-st.test.conll": text, "xSID-0.7/de.projectedTrain.conll": "never read"})
        assert examples("xsid", tmp_path, "test", "de-st") == [
            IntentAndSlots(
                id="2", words=("Muss", "ich", "#"), slots=("O", "B-weather/attribute", "O"), intent="weather/find"
            )
        ]

    def test_xsid_english_has_no_ids_and_other_comments(self, tmp_path):
        text = "# text: go\n# intent: a\n# slots: 0:2:x\n1\tgo\ta\tB-x\n"
        write(tmp_path, {"en.valid.conll": text})
        assert examples("xsid", tmp_path, "dev")[0].id == ""

    def test_xsid_with_a_foreign_tag_is_located(self, tmp_path):
        write(tmp_path, {"en.valid.conll": "1\tgo\ta\tNoLabel\n"})
        with pytest.raises(UserError, match="line 1: slot is 'NoLabel'; expected O, B-<slot>"):
            datasets.scan("xsid", tmp_path)

    def massive(self, locale: str, annotated: str, partition: str = "test") -> dict:
        return {"id": "1", "locale": locale, "partition": partition, "intent": "alarm_set", "annot_utt": annotated}

    def test_massive(self, tmp_path):
        row = self.massive("de-DE", "weck mich [date : diese woche] um [time : fünf uhr]")
        write(tmp_path, {"1.1/data/de-DE.jsonl": jsonl(row, self.massive("de-DE", "nie", "train"))})
        assert examples("massive", tmp_path, "test", "de") == [
            IntentAndSlots(
                id="1",
                words=("weck", "mich", "diese", "woche", "um", "fünf", "uhr"),
                slots=("O", "O", "B-date", "I-date", "O", "B-time", "I-time"),
                intent="alarm_set",
            )
        ]

    def test_massive_splits_chinese_by_character_but_not_latin_words(self, tmp_path):
        write(tmp_path, {"zh-CN.jsonl": jsonl(self.massive("zh-CN", "播放[artist : taylor 斯威]的歌"))})
        example = examples("massive", tmp_path, "test", "zh")[0]
        assert example.words == ("播", "放", "taylor", "斯", "威", "的", "歌")
        assert example.slots == ("O", "O", "B-artist", "I-artist", "I-artist", "O", "O")

    def test_massive_tells_the_two_chinese_locales_apart(self, tmp_path):
        write(tmp_path, {f"{locale}.jsonl": jsonl(self.massive(locale, "好")) for locale in ("zh-CN", "zh-TW")})
        assert [split.language for split in datasets.scan("massive", tmp_path).splits] == ["zh", "zh-TW"]

    def test_fb_tod_cuts_words_and_slots_by_code_points(self, tmp_path):
        spans = [{"start": 0, "length": 6}, {"start": 7, "length": 2}, {"start": 10, "length": 1}]
        tokens = json.dumps({"tokenizations": [{"tokens": ["remind", "me", "é"], "tokenSpans": spans}]})
        write(tmp_path, {"en/eval-en.tsv": tsv(("reminder/set", "7:11:todo", "Remind me É", "en_XX", tokens))})
        assert examples("fb_tod", tmp_path, "dev") == [
            IntentAndSlots(id="", words=("Remind", "me", "É"), slots=("O", "B-todo", "I-todo"), intent="reminder/set")
        ]

    def test_fb_tod_notices_spans_that_count_bytes(self, tmp_path):
        spans = [{"start": 0, "length": 7}, {"start": 8, "length": 2}]
        tokens = json.dumps({"tokenizations": [{"tokens": ["mañana", "ya"], "tokenSpans": spans}]})
        write(tmp_path, {"es/test-es.tsv": tsv(("reminder/set", "0:6:datetime", "Mañana ya ", "es_XX", tokens))})
        (example,) = examples("fb_tod", tmp_path, "test", "es")
        assert (example.words, example.slots) == (("Mañana", "ya"), ("B-datetime", "O"))

    @pytest.mark.parametrize(
        ("slots", "tokens", "message"),
        [
            ("7-11:todo", GO, "slots is '7-11:todo'; expected start:end:name"),
            ("", "{}", "tokenizations is '{}'"),
            ("", GO.replace('"start": 0', '"start": 9'), "tokenizations is .* expected spans that cut words out"),
        ],
    )
    def test_fb_tod_names_the_bad_column(self, slots, tokens, message, tmp_path):
        write(tmp_path, {"en/eval-en.tsv": tsv(("intent", slots, "Go", "en_XX", tokens))})
        with pytest.raises(UserError, match=f"line 1: {message}"):
            datasets.scan("fb_tod", tmp_path)


class TestRetrieval:
    def test_a_split_is_both_files_and_their_names_do_not_matter(self, tmp_path):
        write(tmp_path, {"v1/tatoeba.tur-eng.tur": "bir\niki\n", "v1/tatoeba.tur-eng.eng": "one\ntwo\n"})
        split = datasets.scan("tatoeba", tmp_path).find("test", "tr")
        assert [file.path for file in split.files] == ["v1/tatoeba.tur-eng.tur", "v1/tatoeba.tur-eng.eng"]
        blobs = [tmp_path / "a", tmp_path / "b"]
        for blob, file in zip(blobs, split.files, strict=True):
            (tmp_path / file.path).rename(blob)
        assert list(datasets.read_split(split, blobs)) == [
            Retrieval(id="", text="bir", english="one"),
            Retrieval(id="", text="iki", english="two"),
        ]

    def test_two_letter_names(self, tmp_path):
        write(tmp_path, {"ar-en.ar": "واحد\n", "ar-en.en": "one\n"})
        assert examples("tatoeba", tmp_path, "test", "ar")[0].english == "one"

    def test_a_missing_side_is_an_error(self, tmp_path):
        write(tmp_path, {"tatoeba.deu-eng.deu": "eins\n"})
        with pytest.raises(UserError, match=r"tatoeba.deu-eng.deu: a companion file is missing.*-eng\.eng"):
            datasets.scan("tatoeba", tmp_path)

    def test_sides_of_different_length_are_an_error(self, tmp_path):
        write(tmp_path, {"tatoeba.deu-eng.deu": "eins\nzwei\n", "tatoeba.deu-eng.eng": "one\n"})
        with pytest.raises(UserError, match=r"has 2 lines, .* has 1"):
            datasets.scan("tatoeba", tmp_path)

    @pytest.mark.parametrize(("sample", "training"), [("sample", "training"), ("dev", "test")], ids=["bucc", "xtreme"])
    @pytest.mark.parametrize(
        ("language", "text"), [("zh", "你好。"), ("de", "Hallo."), ("fr", "Salut."), ("ru", "Привет.")]
    )
    def test_bucc_is_two_corpora_and_their_pairs(self, sample, training, language, text, tmp_path):
        for name in (sample, training):
            write(
                tmp_path,
                {
                    f"{language}-en.{name}.{language}": f"{language}-000000001\t{text}\n{language}-000000002\t{text} \t2\n",
                    f"{language}-en.{name}.en": "en-000000007\tHello.\nen-000000008\tYes.\n",
                    f"{language}-en.{name}.gold": f"{language}-000000001\ten-000000007\n",
                },
            )
        for split in ("dev", "test"):
            assert examples("bucc2018", tmp_path, split, language) == [
                BitextSentence(id=f"{language}-000000001", text=text, english=False, translations=("en-000000007",)),
                BitextSentence(id=f"{language}-000000002", text=f"{text} \t2", english=False, translations=()),
                BitextSentence(id="en-000000007", text="Hello.", english=True, translations=()),
                BitextSentence(id="en-000000008", text="Yes.", english=True, translations=()),
            ]

    @pytest.mark.parametrize(
        ("file", "line", "message"),
        [
            ("de", "Hallo", "expected a new id, a tab and a sentence"),
            ("de", "de-1\tA\nde-1\tB", "line 2: .*expected a new id"),
            ("gold", "de-1 en-1", "expected an id of de-en.dev.de, a tab, and one of de-en.dev.en"),
            ("gold", "de-1\ten-2", "expected an id of"),
        ],
    )
    def test_bucc_names_the_bad_line(self, file, line, message, tmp_path):
        files = {"de": "de-1\tHallo", "en": "en-1\tHello", "gold": "de-1\ten-1"} | {file: line}
        write(tmp_path, {f"de-en.dev.{side}": f"{text}\n" for side, text in files.items()})
        with pytest.raises(UserError, match=message):
            datasets.scan("bucc2018", tmp_path)

    def test_a_bitext_without_gold_is_left_out_and_the_others_are_read(self, tmp_path, caplog):
        write(tmp_path, {"de-en.test.de": "de-1\tHallo\n", "de-en.test.en": "en-1\tHello\n"})
        with pytest.raises(UserError, match="no split of 'bucc2018' has usable labels"):
            datasets.scan("bucc2018", tmp_path)
        write(
            tmp_path,
            {
                f"de-en.dev.{end}": text
                for end, text in {"de": "de-1\tJa\n", "en": "en-1\tYes\n", "gold": "de-1\ten-1\n"}.items()
            },
        )
        assert [split.split for split in datasets.scan("bucc2018", tmp_path).splits] == ["dev"]
        assert "test:de (bucc-without-gold) left out" in caplog.text

    def test_a_gold_pair_that_is_written_twice_counts_once(self, tmp_path):
        write(
            tmp_path,
            {
                f"de-en.dev.{end}": text
                for end, text in {"de": "de-1\tJa\n", "en": "en-1\tYes\n", "gold": "de-1\ten-1\nde-1\ten-1\n"}.items()
            },
        )
        assert examples("bucc2018", tmp_path, "dev", "de")[0].translations == ("en-1",)

    def test_an_english_side_that_xtreme_sorted_is_refused(self, tmp_path):
        numbers = [f"{number:02}\n" for number in range(20)]
        write(tmp_path, {"de-en.de": "".join(reversed(numbers)), "de-en.en": "".join(numbers)})
        with pytest.raises(UserError, match="alphabetical order"):
            datasets.scan("tatoeba", tmp_path)


BLANK = {
    "xnli": {"test-de.tsv": "Eins.\tZwei.\n", "dev-de.tsv": "Eins.\tZwei.\tneutral\n"},
    "pawsx": {"test-de.tsv": "Eins.\tZwei.\t\n", "dev-de.tsv": "Eins.\tZwei.\t1\n"},
    "udpos": {"test-de.tsv": "Eins\n.\n", "dev-de.tsv": "Eins\tNUM\n"},
    "panx": {"test-de.tsv": "Ann\n", "dev-de.tsv": "Ann\tB-PER\n"},
    "mlqa": {
        "test-context-de-question-de.json": squad(question(text="", start=0)),
        "dev-context-de-question-de.json": squad(question()),
    },
}


class TestBlankLabels:
    @pytest.mark.parametrize("name", sorted(BLANK))
    def test_a_blank_test_set_is_left_out_with_a_warning(self, name, tmp_path, caplog):
        write(tmp_path, BLANK[name])
        with caplog.at_level(logging.WARNING):
            splits = datasets.scan(name, tmp_path).splits
        assert [split.split for split in splits] == ["dev"]
        assert "test:de" in caplog.text
        assert "blank label" in caplog.text

    def test_one_blank_row_among_labelled_ones_is_an_error(self, tmp_path):
        write(tmp_path, {"dev-de.tsv": "a\tb\tneutral\na\tb\n"})
        with pytest.raises(UserError, match=r"dev-de.tsv: row 2 has a blank label"):
            datasets.scan("xnli", tmp_path)

    def test_placeholders_are_left_out(self, tmp_path, caplog):
        write(tmp_path, {"test-de.tsv": "a\tb\tneutral\n" * 20, "dev-de.tsv": "a\tb\tneutral\n" * 19})
        with caplog.at_level(logging.WARNING):
            splits = datasets.scan("xnli", tmp_path).splits
        assert [split.split for split in splits] == ["dev"]
        assert 'all 20 rows have the label "neutral"' in caplog.text

    def test_a_data_set_of_blanks_alone_is_an_error(self, tmp_path):
        write(tmp_path, {"test-de.tsv": "a\tb\n"})
        with pytest.raises(UserError, match="no split of 'xnli' has usable labels"):
            datasets.scan("xnli", tmp_path)

    def test_a_blank_file_that_the_user_names_is_an_error(self, tmp_path):
        write(tmp_path, {"mine": "a\tb\n"})
        with pytest.raises(UserError, match="xtreme-tsv: mine: row 1 has a blank label"):
            datasets.scan("xnli", tmp_path, {"test:de": "mine"})

    def test_blank_examples_have_no_gold_of_use(self):
        assert not is_labelled(MultipleChoice(id="", prompt="", choices=("a", "b"), label=-1))
        assert not is_labelled(IntentAndSlots(id="", words=("a",), slots=("O",), intent=""))
        assert is_labelled(Retrieval(id="", text="a", english="b"))


class TestNamedFiles:
    ROW = "a\tb\tneutral\n"

    def test_a_named_file_joins_the_discovered_ones(self, tmp_path):
        write(tmp_path, {"dev-en.tsv": self.ROW, "dev-en.rows1-2100.tsv": self.ROW * 2})
        splits = datasets.scan("xnli", tmp_path, {"train:en": "dev-en.rows1-2100.tsv"}).splits
        assert [(split.split, split.rows) for split in splits] == [("dev", 1), ("train", 2)]

    def test_a_named_file_replaces_the_discovered_one(self, tmp_path):
        write(tmp_path, {"dev-en.tsv": self.ROW, "mine": self.ROW * 2})
        (split,) = datasets.scan("xnli", tmp_path, {"dev:en": tmp_path / "mine"}).splits
        assert (split.rows, split.files[0].path) == (2, "mine")

    def test_the_first_layout_that_parses_is_taken(self, tmp_path):
        write(tmp_path, {"mine": tsv(("premise", "hypo", "label"), ("a", "b", "contradictory"))})
        (split,) = datasets.scan("mnli", tmp_path, {"train:fr": "mine"}).splits
        assert split.layout == "translated-tsv"

    def test_the_layout_may_be_named(self, tmp_path):
        write(tmp_path, {"mine": self.ROW})
        (split,) = datasets.scan("xnli", tmp_path, {"dev:fr:xtreme-tsv": "mine"}).splits
        assert (split.language, split.layout) == ("fr", "xtreme-tsv")

    def test_companion_files_are_named_together(self, tmp_path):
        write(tmp_path, {"x": "eins\n", "y": "one\n"})
        (split,) = datasets.scan("tatoeba", tmp_path, {"test:de": ["x", "y"]}).splits
        assert [file.path for file in split.files] == ["x", "y"]

    def test_a_common_file_does_not_pass_for_another_language(self, tmp_path):
        row = {"language": "de", "gold_label": "neutral", "sentence1": "a", "sentence2": "b", "pairID": "1"}
        write(tmp_path, {"mine": jsonl(row)})
        with pytest.raises(UserError, match="jsonl-fr: mine: no rows in fr"):
            datasets.scan("xnli", tmp_path, {"dev:fr": "mine"})

    @pytest.mark.parametrize(
        ("files", "message"),
        [
            ({"train": "mine"}, "'train' is not split:language"),
            ({"dev:de": "absent"}, "absent does not exist"),
            ({"dev:de:csv": "mine"}, "'xnli' has no layout 'csv'; it has tsv-ar"),
            ({"dev:de": "../outside"}, "lies outside of"),
            ({"dev:de": ["mine", "odd"]}, "odd, line 1: 1 tab-separated fields"),
        ],
        ids=["no language", "no file", "no layout", "outside", "no format"],
    )
    def test_a_bad_name_says_why(self, files, message, tmp_path):
        write(tmp_path, {"root/mine": self.ROW, "root/odd": "?\n", "outside": self.ROW})
        with pytest.raises(UserError, match=message):
            datasets.scan("xnli", tmp_path / "root", files)


class TestReading:
    def test_bytes_that_are_not_utf8_are_located(self, tmp_path):
        (tmp_path / "dev-de.tsv").write_bytes(b"a\tb\tneutral\n\xe9\tb\tneutral\n")
        with pytest.raises(UserError, match=r"dev-de.tsv, line 2: byte 0 is not UTF-8"):
            datasets.scan("xnli", tmp_path)

    def test_a_header_without_the_columns_says_which(self, tmp_path):
        write(tmp_path, {"MNLI/train.tsv": "index\tsentence1\n0\ta\n"})
        with pytest.raises(UserError, match="lacks pairID, sentence2, gold_label"):
            datasets.scan("mnli", tmp_path)

    def test_a_label_outside_of_the_set_is_located(self, tmp_path):
        write(tmp_path, {"dev-de.tsv": "a\tb\tneutral\na\tb\tmaybe\n"})
        with pytest.raises(UserError, match="line 2: label is 'maybe'; expected one of entailment, neutral"):
            datasets.scan("xnli", tmp_path)

    def test_the_digest_follows_the_bytes(self, tmp_path):
        write(tmp_path, {"dev-de.tsv": "a\tb\tneutral\n"})
        before = datasets.scan("xnli", tmp_path)
        assert datasets.scan("xnli", tmp_path) == before
        write(tmp_path, {"dev-de.tsv": "a\tc\tneutral\n"})
        assert datasets.scan("xnli", tmp_path).digest != before.digest

    def test_parquet_is_read_in_batches_whatever_its_size(self, tmp_path):
        rows = [{"question1": str(i), "question2": "b?", "label": i % 2} for i in range(3000)]
        (tmp_path / "glue/qqp").mkdir(parents=True)
        write_table(Table.from_pylist(rows), tmp_path / "glue/qqp/train-00000-of-00001.parquet")
        assert [row.first for row in examples("qqp", tmp_path, "train")] == [str(i) for i in range(3000)]

    @pytest.mark.parametrize(
        ("row", "message"),
        [
            ({"question1": "a?", "label": 0}, "lacks the columns question2; it has question1, label"),
            ({"question1": "a?", "question2": "b?", "label": 2}, "row 1: label is 2; expected one of 0, 1"),
            ({"question1": "a?", "question2": None, "label": 1}, "row 1: question2 is None; expected text"),
        ],
        ids=["a column is missing", "a foreign label", "no text"],
    )
    def test_bad_parquet_is_located(self, row, message, tmp_path):
        (tmp_path / "glue/qqp/train").mkdir(parents=True)
        write_table(Table.from_pylist([row]), tmp_path / "glue/qqp/train/0000.parquet")
        with pytest.raises(UserError, match=rf"0000.parquet.*{message}"):
            datasets.scan("qqp", tmp_path)

    def test_a_file_that_is_no_parquet_is_told(self, tmp_path):
        write(tmp_path, {"glue/qqp/train-0.parquet": "PAR1, or so it says"})
        with pytest.raises(UserError, match=r"train-0.parquet: not readable as Parquet: .*magic bytes"):
            datasets.scan("qqp", tmp_path)

    def test_numbers_without_names_are_refused(self, tmp_path):
        (tmp_path / "massive/de-DE/test").mkdir(parents=True)
        row = {"id": "1", "locale": "de-DE", "intent": 0, "annot_utt": "geh"}
        write_table(Table.from_pylist([row]), tmp_path / "massive/de-DE/test/0000.parquet")
        with pytest.raises(UserError, match="its metadata does not name the classes of intent"):
            datasets.scan("massive", tmp_path)

    def test_a_layout_of_another_version_is_refused(self, tmp_path):
        write(tmp_path, {"dev-de.tsv": "a\tb\tneutral\n"})
        (split,) = datasets.scan("xnli", tmp_path).splits
        with pytest.raises(UserError, match="no layout 'old'; import it again"):
            datasets.read_split(split.model_copy(update={"layout": "old"}), [tmp_path / "dev-de.tsv"])

    def test_paths_must_match_the_files(self, tmp_path):
        write(tmp_path, {"dev-de.tsv": "a\tb\tneutral\n"})
        (split,) = datasets.scan("xnli", tmp_path).splits
        with pytest.raises(UserError, match="0 paths for 1 files"):
            datasets.read_split(split, [])


@pytest.mark.parametrize(
    ("name", "example", "stratum", "form", "in_any_language"),
    [
        ("mnli", Classification(id="", first="", second="", label="neutral"), "neutral", "neutral", "neutral"),
        (
            "squad_v2",
            SpanExtraction(id="", question="", context="", answers=(Answer("two words", 0),)),
            "answer of 2-3 words",
            ["two words"],
            "answerable",
        ),
        ("squad_v2", SpanExtraction(id="", question="", context="", answers=()), "unanswerable", [], "unanswerable"),
        ("cosmosqa", MultipleChoice(id="", prompt="", choices=("a", "b"), label=1), "choice 1", 1, 1),
        ("udpos", Tagging(id="", words=("a",) * 41, tags=("X",) * 41), "41 words and more", ["X"] * 41, None),
        ("udpos", Tagging(id="", words=("a",) * 10, tags=("X",) * 10), "1-10 words", ["X"] * 10, None),
        (
            "xsid",
            IntentAndSlots(id="", words=("a",), slots=("O",), intent="go"),
            "go",
            {"intent": "go", "slots": ["O"]},
            "go",
        ),
        (
            "mtop",
            SemanticParse(id="", words=("in", "Rome"), parse=("[IN:GET_WEATHER", "[SL:LOCATION", 1, "]", "]")),
            "IN:GET_WEATHER",
            "[IN:GET_WEATHER [SL:LOCATION Rome ] ]",
            "IN:GET_WEATHER",
        ),
        (
            "mcwq",
            SemanticParse(id="", words=("Did", "M0"), parse=("ASK", "WHERE", "{", 1, "wdt:P1", "M1", "}")),
            "ASK",
            "ASK WHERE { M0 wdt:P1 M1 }",
            None,
        ),
        ("tatoeba", Retrieval(id="", text="a", english="b"), "all", None, None),
    ],
)
def test_stratum_and_gold_form_of_each_kind(name, example, stratum, form, in_any_language):
    assert registry.get(name).stratum(example) == stratum
    assert gold(example) == form
    assert gold_in_any_language(example) == in_any_language
