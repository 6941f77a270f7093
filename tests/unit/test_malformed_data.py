"""What an import refuses because reading it would change the data without a word, and what it says of it."""

import json
import logging
import re
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyarrow import Table
from pyarrow.parquet import write_table

from xstilts.core.errors import UserError
from xstilts.tasks import datasets
from xstilts.tasks.examples import Answer, Classification

MNLI = {"pairID": "1", "sentence1": "a", "sentence2": "b", "gold_label": "neutral"}
COSMOS = ("id", "context", "question", "answer0", "answer1", "answer2", "answer3", "label")


def write(root: Path, files: dict[str, str | bytes]) -> Path:
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    return root


def rows(name: str, root: Path, split: str = "train", language: str = "en") -> list:
    found = datasets.scan(name, root).find(split, language)
    assert found is not None
    return list(datasets.read_split(found, [root / file.path for file in found.files]))


def squad(*questions: dict, context: str = "Paris is big.") -> str:
    return json.dumps({"data": [{"title": "t", "paragraphs": [{"context": context, "qas": questions}]}]})


def question(answers: list[dict], **more: object) -> dict:
    return {"id": "q1", "question": "Which?", "answers": answers} | more


ANSWER = {"text": "Paris", "answer_start": 0}
BLANKS = [{"text": "", "answer_start": -1}, {"text": "", "answer_start": 0}]


class TestText:
    """No UTF-8 text holds half of a surrogate pair: tokenizers and stores fail on it much later, naming no row."""

    HALF = "\\ud83d"

    @pytest.mark.parametrize(
        ("name", "file", "text", "place"),
        [
            ("squad_v1", "train-v1.1.json", squad(question([ANSWER]), context="Paris HALF"),
             "data[0].paragraphs[0].context"),
            ("squad_v1", "train-v1.1.json", squad(question([ANSWER], id="qHALF")), "data[0].paragraphs[0].qas[0].id"),
            ("mnli", "multinli_1.0_train.jsonl", json.dumps(MNLI | {"sentence2": "HALF"}), "line 1, sentence2"),
            ("mtop", "mtop/train.json",
             json.dumps([{"id": "HALF", "mr": {"slot_intent": {"en": "[IN:A a ]"}}, "question": {"en": "a"}}]),
             "top level[0].id"),
            ("mtop", "en/train.txt", "1\tIN:A\t\ta\td\ten\t[IN:A_B [SL:C a ] ]\t" + json.dumps({"tokens": ["HALF"]}),
             "line 1, tokens, tokens[0]"),
        ],
        ids=["context", "id of a question", "JSON lines", "JSON list", "JSON in a column"],
    )  # fmt: skip
    def test_half_a_surrogate_pair_is_refused_by_place(self, name, file, text, place, tmp_path):
        write(tmp_path, {file: text.replace("HALF", self.HALF)})
        with pytest.raises(UserError, match=re.escape(place) + ".*half of a surrogate pair"):
            datasets.scan(name, tmp_path)

    def test_a_whole_pair_is_one_character(self, tmp_path):
        write(tmp_path, {"multinli_1.0_train.jsonl": json.dumps(MNLI | {"sentence1": "\U0001f600"})})
        assert rows("mnli", tmp_path)[0].first == "\U0001f600"

    @pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "latin-1"])
    @pytest.mark.parametrize(
        ("name", "file", "text"),
        [
            ("xnli", "dev-fr.tsv", "été\tb\tneutral\n"),
            ("cosmosqa", "train.csv", ",".join(COSMOS) + "\n1,été,q,a,b,c,d,0\n"),
        ],
    )
    def test_another_encoding_is_refused_by_line(self, name, file, text, encoding, tmp_path):
        write(tmp_path, {file: text.encode(encoding)})
        with pytest.raises(UserError, match=rf"{file}, line \d: .*save the file as UTF-8"):
            datasets.scan(name, tmp_path)

    def test_a_parquet_column_that_is_no_utf8_is_refused(self, tmp_path):
        import pyarrow

        bad = pyarrow.Array.from_buffers(
            pyarrow.string(), 1, [None, pyarrow.py_buffer(b"\0\0\0\0\1\0\0\0"), pyarrow.py_buffer(b"\xff")]
        )
        (tmp_path / "glue/qqp").mkdir(parents=True)
        table = Table.from_arrays([bad, pyarrow.array(["b"]), pyarrow.array([0])], ["question1", "question2", "label"])
        write_table(table, tmp_path / "glue/qqp/train-0.parquet")
        with pytest.raises(UserError, match=r"train-0.parquet: not readable as Parquet"):
            datasets.scan("qqp", tmp_path)


class TestJson:
    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("[" * 100_000, "nested too deeply"),
            ('{"data": ' + "[" * 3000 + "]" * 3000 + "}", "nested too deeply"),
            ('{"data": ' + "9" * 5000 + "}", "not JSON"),
            ('{"data": [], "data": []}', "key 'data' is given twice"),
        ],
        ids=["open brackets", "deep brackets", "a number of 5,000 digits", "a key twice"],
    )
    def test_what_python_cannot_read_or_would_drop_is_refused(self, text, message, tmp_path):
        write(tmp_path, {"train-v1.1.json": text})
        with pytest.raises(UserError, match=rf"train-v1.1.json, top level: .*{message}"):
            datasets.scan("squad_v1", tmp_path)

    @pytest.mark.parametrize("label", [["neutral"], {"a": 1}, True, 1.5])
    def test_a_label_of_another_type_is_refused(self, label, tmp_path):
        write(tmp_path, {"multinli_1.0_train.jsonl": json.dumps(MNLI | {"gold_label": label})})
        with pytest.raises(UserError, match=r"line 1: gold_label is .*expected"):
            datasets.scan("mnli", tmp_path)

    @pytest.mark.parametrize("number", ["1_0", " 1", "\u0663", "1" * 30, "0x1"])
    def test_a_number_has_ascii_digits_alone(self, number, tmp_path):
        row = {"ind": number, "ctx_a": "a", "ctx_b": "b", "endings": ["c", "d"], "label": 0}
        write(tmp_path, {"hellaswag_train.jsonl": json.dumps(row)})
        with pytest.raises(UserError, match=r"line 1: ind is .*expected a whole number"):
            datasets.scan("hellaswag", tmp_path)

    def test_an_ending_that_is_no_text_is_not_written_out_as_one(self, tmp_path):
        row = {"ind": 1, "ctx_a": "a", "ctx_b": "b", "endings": ["c", None], "label": 0}
        write(tmp_path, {"hellaswag_train.jsonl": json.dumps(row)})
        with pytest.raises(UserError, match=r"line 1: endings is .*expected a list of texts"):
            datasets.scan("hellaswag", tmp_path)

    def test_choices_with_one_letter_twice_have_no_right_one(self, tmp_path):
        choices = [{"label": "A", "text": "x"}, {"label": "A", "text": "y"}]
        row = {"id": "1", "question": {"stem": "s", "choices": choices}, "answerKey": "A"}
        write(tmp_path, {"train_rand_split.jsonl": json.dumps(row)})
        with pytest.raises(UserError, match="line 1: answerKey is 'A'; expected one of choices with different letters"):
            datasets.scan("commonsenseqa", tmp_path)

    def test_an_id_of_two_lines_is_refused(self, tmp_path):
        write(tmp_path, {"multinli_1.0_train.jsonl": json.dumps(MNLI | {"pairID": "1\n2"})})
        with pytest.raises(UserError, match=r"row 1 has the id '1.n2', which is not one line"):
            datasets.scan("mnli", tmp_path)


class TestTables:
    @pytest.mark.parametrize("surplus", ["", ",x"], ids=["too few", "too many"])
    def test_a_csv_row_of_another_width_is_refused(self, surplus, tmp_path):
        text = ",".join(COSMOS) + "\n" + ("1,c,q,a,b,c,d,0" + surplus if surplus else "1,c,q,a,b,c,d") + "\n"
        write(tmp_path, {"train.csv": text})
        with pytest.raises(UserError, match=r"train.csv, line 2: \d comma-separated fields; expected 8"):
            datasets.scan("cosmosqa", tmp_path)

    def test_a_csv_field_keeps_its_line_ends(self, tmp_path):
        write(tmp_path, {"train.csv": ",".join(COSMOS) + '\r\n1,"c\r\nd",q,a,b,c,d,0\r\n'})
        assert rows("cosmosqa", tmp_path)[0].prompt == "c\r\nd q"

    def test_a_column_that_the_header_has_twice_is_refused(self, tmp_path):
        header = "\t".join(("pairID", "sentence1", "sentence2", "gold_label", "gold_label"))
        write(tmp_path, {"MNLI/train.tsv": f"{header}\n1\ta\tb\tneutral\tentailment\n"})
        with pytest.raises(UserError, match="line 1: the header has gold_label twice"):
            datasets.scan("mnli", tmp_path)

    def test_torn_rows_that_are_left_out_are_counted(self, tmp_path, caplog):
        text = "id\tquestion1\tquestion2\tis_duplicate\n1\ta\tb\t0\n2\ttorn\n by a line break\tc\t1\n"
        write(tmp_path, {"QQP/train.tsv": text})
        with caplog.at_level(logging.WARNING):
            assert rows("qqp", tmp_path) == [Classification(id="1", first="a", second="b", label="0")]
        assert "left out 2 lines that have not the 4 columns of the header, the first of them line 3" in caplog.text

    @pytest.mark.parametrize("form", ["tsv", "jsonl"])
    def test_a_row_of_a_language_that_nobody_picks_is_refused(self, form, tmp_path):
        row = {"language": "DE", "gold_label": "neutral", "sentence1": "a", "sentence2": "b", "pairID": "1"}
        text = json.dumps(row) if form == "jsonl" else "\t".join(row) + "\n" + "\t".join(row.values())
        write(tmp_path, {f"xnli.dev.{form}": text})
        with pytest.raises(UserError, match=r"language is 'DE'; expected one of ar, bg"):
            datasets.scan("xnli", tmp_path)

    def test_a_split_whose_first_row_alone_is_blank_is_no_test_set_without_gold(self, tmp_path):
        write(tmp_path, {"dev-de.tsv": "a\tb\t\n" + "a\tb\tneutral\n" * 3})
        with pytest.raises(UserError, match="row 1 has a blank label, and other rows have one"):
            datasets.scan("xnli", tmp_path)


class TestQuestions:
    @pytest.mark.parametrize(
        ("name", "file"),
        [
            ("squad_v1", "train-v1.1.json"),
            ("squad_v1", "squad.translate.train.en-de.json"),
            ("xquad", "xquad.de.json"),
            ("mlqa", "test-context-de-question-de.json"),
            ("tydiqa", "tydiqa.goldp.en.train.json"),
        ],
    )
    def test_a_question_that_lost_its_answers_is_not_unanswerable(self, name, file, tmp_path):
        write(tmp_path, {file: squad(question([ANSWER]), question([], id="q2"))})
        with pytest.raises(UserError, match=r"data\[0\].paragraphs\[0\].qas\[1\]: answers is \[\]; expected an answer"):
            datasets.scan(name, tmp_path)

    def test_a_question_that_lost_its_answers_in_parquet_is_not_unanswerable(self, tmp_path):
        answers = [{"text": ["a"], "answer_start": [0]}, {"text": [], "answer_start": []}]
        table = [{"id": str(i), "question": "q", "context": "a", "answers": each} for i, each in enumerate(answers)]
        for name in ("squad/plain_text", "squad_v2/squad_v2"):
            (tmp_path / name).mkdir(parents=True)
            write_table(Table.from_pylist(table), tmp_path / name / "train-0.parquet")
        with pytest.raises(UserError, match=r"row 2, answers: text is \[\]; expected an answer"):
            datasets.scan("squad_v1", tmp_path)
        assert [row.answers for row in rows("squad_v2", tmp_path)] == [(Answer("a", 0),), ()]

    @pytest.mark.parametrize("blank", BLANKS)
    def test_impossible_with_a_blank_answer_is_unanswerable(self, blank, tmp_path):
        questions = (question([ANSWER], is_impossible=False), question([blank], id="q2", is_impossible=True))
        write(tmp_path, {"train-v2.0.json": squad(*questions)})
        assert [row.answers for row in rows("squad_v2", tmp_path)] == [(Answer("Paris", 0),), ()]

    @pytest.mark.parametrize(
        ("bad", "message"),
        [
            (question([BLANKS[0]]), 'a question without answer has "answers": []'),
            (question([ANSWER], is_impossible=True), "expected [], as is_impossible is true"),
            (question([], is_impossible=False), "expected an answer, as is_impossible is false"),
            (question([], is_impossible="no"), "is_impossible is 'no'; expected true or false"),
        ],
        ids=["blank", "an answer to the impossible", "none to the possible", "no truth value"],
    )
    def test_what_contradicts_itself_is_refused_with_the_way_out(self, bad, message, tmp_path):
        write(tmp_path, {"train-v2.0.json": squad(question([ANSWER], id="q0"), bad)})
        with pytest.raises(UserError, match=r"qas\[1\]: .*" + re.escape(message)):
            datasets.scan("squad_v2", tmp_path)


class TestTags:
    @pytest.mark.parametrize(
        ("text", "line"),
        [("12:30\tO\nParis\tB-LOC\n", 1), ("en:at\tO\nRe:Zero\tO\n", 2), ("en:at\tO\n\nde:um\tO\n", 3)],
        ids=["no prefixes", "one without", "one of another language"],
    )
    def test_wikiann_without_the_language_of_its_file_is_refused_by_line(self, text, line, tmp_path):
        write(tmp_path, {"en/train": text})
        with pytest.raises(UserError, match=f"line {line}: token is .*expected the prefix en: of WikiANN"):
            datasets.scan("panx", tmp_path)

    @pytest.mark.parametrize("file", ["ar/train", "ar-train"])
    def test_a_token_that_is_empty_without_its_prefix_stays_a_word(self, file, tmp_path):
        write(tmp_path, {file: "ar:\tO\nar:x\tB-LOC\n"})
        assert rows("panx", tmp_path, language="ar")[0].words == ("", "x")

    def test_a_word_without_a_number_is_refused(self, tmp_path):
        write(tmp_path, {"en_ewt-ud-dev.conllu": "x\ta\ta\tDET\t_\t_\t0\troot\t_\t_\n"})
        with pytest.raises(UserError, match="line 1: id is 'x'; expected the number of a word"):
            datasets.scan("udpos", tmp_path)

    def test_a_ccg_sentence_may_begin_with_a_hash(self, tmp_path):
        write(tmp_path, {"wsj00.stagged": "# a comment\n#|#|N/N 5|CD|N\n"})
        assert rows("ccg", tmp_path, "dev")[0].words == ("#", "5")

    def test_a_ccg_leaf_of_another_form_is_refused(self, tmp_path):
        write(tmp_path, {"AUTO/00/wsj_0001.auto": "ID=a\n(<L N NN NN word N>) (<L N NN word N>)\n"})
        with pytest.raises(UserError, match=r"line 2: .*has no leaves such as .*or others"):
            datasets.scan("ccg", tmp_path)


class TestSlots:
    def massive(self, annotated: str, utterance: str = "wake me at five am", **more: str) -> str:
        row = {"id": "1", "locale": "en-US", "partition": "train", "intent": "i"}
        return json.dumps(row | {"utt": utterance, "annot_utt": annotated} | more)

    @pytest.mark.parametrize(
        "annotated",
        [
            "wake me at [time : five am",
            "wake me at time : five am]",
            "wake me at [time five am]",
            "wake me at [time : [hour : five] am]",
            "wake me at five am [time : ]",
            "wake me at [time : five]",
        ],
    )
    def test_brackets_that_do_not_fit_are_refused_by_line(self, annotated, tmp_path):
        write(tmp_path, {"en-US.jsonl": self.massive("ok", "ok") + "\n" + self.massive(annotated)})
        with pytest.raises(UserError, match=r"en-US.jsonl, line 2: annot_utt is"):
            datasets.scan("massive", tmp_path)

    @pytest.mark.parametrize(
        ("annotated", "utterance", "words"),
        [
            ("what's [person : mary]'s birthday", "what's mary's birthday", ["what's", "mary", "'s", "birthday"]),
            ("weather [date : tomorrow]?", "weather tomorrow?", ["weather", "tomorrow", "?"]),
            ("wake me up ([time : five am])", "wake me up (five am)", ["wake", "me", "up", "(", "five", "am", ")"]),
        ],
    )
    def test_a_word_may_go_on_behind_the_bracket_of_its_slot(self, annotated, utterance, words, tmp_path):
        write(tmp_path, {"en-US.jsonl": self.massive(annotated, utterance)})
        assert list(rows("massive", tmp_path)[0].words) == words

    def test_a_partition_that_nobody_reads_is_refused_but_that_of_the_contest(self, tmp_path):
        write(tmp_path, {"en-US.jsonl": self.massive("ok", "ok") + "\n" + self.massive("", partition="MMNLU-22")})
        assert len(rows("massive", tmp_path)) == 1
        write(tmp_path, {"en-US.jsonl": self.massive("ok", "ok", partition="valid")})
        with pytest.raises(UserError, match="line 1: partition is 'valid'; expected one of train, dev, test"):
            datasets.scan("massive", tmp_path)

    def test_a_slot_outside_of_all_words_is_refused(self, tmp_path):
        tokens = json.dumps({"tokenizations": [{"tokens": ["go"], "tokenSpans": [{"start": 0, "length": 2}]}]})
        write(tmp_path, {"en/eval-en.tsv": f"intent\t5:9:place\tGo\ten_XX\t{tokens}\n"})
        with pytest.raises(UserError, match="line 1: slots is '5:9:place'; expected spans with a word"):
            datasets.scan("fb_tod", tmp_path)

    def test_a_row_with_surplus_columns_is_refused(self, tmp_path):
        write(tmp_path, {"en/eval-en.tsv": "intent\t\tGo\ten_XX\t{}\tmore\n"})
        with pytest.raises(UserError, match="line 1: 6 tab-separated fields"):
            datasets.scan("fb_tod", tmp_path)


class TestFinding:
    """Which files are taken is said, or refused: never a fixture or another data set's by chance."""

    ROW = "a\tb\tneutral\n"
    HEADER = "pairID\tsentence1\tsentence2\tgold_label\n1\ta\tb\tneutral\n"

    @pytest.mark.parametrize(
        ("name", "files"),
        [
            ("mnli", {"fixtures/MNLI/train.tsv": HEADER, "MNLI/train.tsv": HEADER}),
            ("mnli", {"fixtures/MNLI/train.tsv": HEADER, "multinli_1.0_train.jsonl": f"{json.dumps(MNLI)}\n" * 2}),
            ("xnli", {"xnli/dev-de.tsv": ROW, "pawsx/dev-de.tsv": "a\tb\t1\n"}),
            ("xnli", {"fixtures/xnli.dev.jsonl": json.dumps(MNLI | {"language": "de"}), "dev-de.tsv": ROW * 3}),
            ("udpos", {f"{folder}/en_ewt-ud-dev.conllu": "1\ta\ta\tDET\t_\t_\t0\troot\t_\t_\n" for folder in "ab"}),
            ("tatoeba", {f"{folder}/de-en.{side}": "a\n" for folder in "ab" for side in ("de", "en")}),
            ("ccg", {f"{folder}/AUTO/00/wsj_0001.auto": "ID=a\n(<L N NN NN word N>)\n" for folder in "ab"}),
        ],
        ids=["one name in two folders", "a fixture in another layout", "another data set's", "a fixture with one row",
             "a treebank twice", "companions twice", "sections twice"],
    )  # fmt: skip
    def test_files_of_two_places_for_one_split_are_refused_naming_both(self, name, files, tmp_path):
        write(tmp_path, files)
        with pytest.raises(UserError, match=r"both .* and .* have a name of it") as caught:
            datasets.scan(name, tmp_path)
        assert sum(str(tmp_path / file) in str(caught.value) for file in files) == 2

    def test_folders_whose_names_begin_with_an_underscore_are_not_searched(self, tmp_path):
        write(tmp_path, {"_fixtures/MNLI/train.tsv": self.HEADER, "MNLI/train.tsv": self.HEADER + self.HEADER[-14:]})
        (split,) = datasets.scan("mnli", tmp_path).splits
        assert [file.path for file in split.files] == ["MNLI/train.tsv"]
        (fixture,) = datasets.scan("mnli", tmp_path / "_fixtures").splits
        assert fixture.rows == 1
        (named,) = datasets.scan("mnli", tmp_path, {"train:en": "_fixtures/MNLI/train.tsv"}).splits
        assert named.rows == 1

    def test_a_fixture_alone_is_no_data_set(self, tmp_path):
        write(tmp_path, {"_fixtures/MNLI/train.tsv": self.HEADER})
        with pytest.raises(UserError, match="mnli"):
            datasets.scan("mnli", tmp_path)

    def test_the_file_that_a_person_names_is_taken(self, tmp_path):
        write(tmp_path, {"a/dev-de.tsv": self.ROW, "b/dev-de.tsv": self.ROW * 2})
        (split,) = datasets.scan("xnli", tmp_path, {"dev:de": "b/dev-de.tsv"}).splits
        assert (split.rows, [file.path for file in split.files]) == (2, ["b/dev-de.tsv"])

    def test_two_names_of_one_split_in_one_folder_are_refused(self, tmp_path):
        text = "id\tsentence1\tsentence2\tlabel\n1\ta\tb\t0\n"
        write(tmp_path, {"de/train.tsv": text, "de/translated_train.tsv": text})
        with pytest.raises(UserError, match=r"pawsx train:de: both .*train.tsv and .*translated_train.tsv"):
            datasets.scan("pawsx", tmp_path)

    def test_other_treebanks_of_a_language_are_joined(self, tmp_path):
        text = "1\ta\ta\tDET\t_\t_\t0\troot\t_\t_\n"
        write(tmp_path, {"UD-A/en_a-ud-dev.conllu": text, "UD-B/en_b-ud-dev.conllu": text})
        assert len(rows("udpos", tmp_path, "dev")) == 2

    def test_the_same_rows_in_another_layout_are_no_rival(self, tmp_path):
        write(tmp_path, {"a/xnli.dev.jsonl": json.dumps(MNLI | {"language": "de"}), "b/dev-de.tsv": self.ROW})
        assert [split.layout for split in datasets.scan("xnli", tmp_path).splits] == ["jsonl-de"]

    def test_hidden_folders_are_not_searched(self, tmp_path):
        write(tmp_path, {"dev-de.tsv": self.ROW, ".cache/dev-de.tsv": self.ROW, "__MACOSX/dev-de.tsv": "no text"})
        assert [file.path for split in datasets.scan("xnli", tmp_path).splits for file in split.files] == ["dev-de.tsv"]


SOUND = {
    ("mnli", "multinli_1.0_train.jsonl"): json.dumps(MNLI),
    ("xnli", "dev-de.tsv"): "a\tb\tneutral\nc\td\tentailment\n",
    ("qqp", "QQP/train.tsv"): "id\tquestion1\tquestion2\tis_duplicate\n1\ta\tb\t0\n",
    ("squad_v1", "train-v1.1.json"): squad(question([ANSWER])),
    ("squad_v2", "train-v2.0.json"): squad(question([ANSWER]), question([BLANKS[0]], id="q2", is_impossible=True)),
    ("hellaswag", "hellaswag_train.jsonl"): json.dumps(
        {"ind": 1, "ctx_a": "a", "ctx_b": "b", "endings": ["c", "d"], "label": 0}
    ),
    ("cosmosqa", "train.csv"): ",".join(COSMOS) + '\n1,"c, d",q,a,b,c,d,0\n',
    ("commonsenseqa", "train_rand_split.jsonl"): json.dumps(
        {"id": "1", "question": {"stem": "s", "choices": [{"label": "A", "text": "x"}]}, "answerKey": "A"}
    ),
    ("panx", "en/train"): "en:at\tO\nen:Paris\tB-LOC\n\nen:x\tO\n",
    ("udpos", "en_ewt-ud-dev.conllu"): "# sent_id = a\n1\ta\ta\tDET\t_\t_\t0\troot\t_\t_\n",
    ("ccg", "AUTO/00/wsj_0001.auto"): "ID=a\n(<L N NN NN word N>)\n",
    ("ccg", "wsj00.stagged"): "a|DT|N b|NN|N\n",
    ("massive", "en-US.jsonl"): TestSlots().massive("wake me at [time : five am]"),
    ("xsid", "en.valid.conll"): "# id = 1\n1\tgo\ta\tB-x\n",
    ("fb_tod", "en/eval-en.tsv"): "intent\t0:2:x\tGo\ten_XX\t"
    + json.dumps({"tokenizations": [{"tokens": ["go"], "tokenSpans": [{"start": 0, "length": 2}]}]}),
    ("mtop", "en/train.txt"): "1\tIN:A\t\ta\td\ten\t[IN:A_B [SL:C a ] ]\t" + json.dumps({"tokens": ["a"]}),
    ("text", "text/en.txt"): "a line\n",
}
"""A file of each form that its reader takes."""
JUNK = [b"\0", b"\xff", b"\\ud800", b"\t", b"\n", b"\r", b'"', b"[", b"]", b"{}", b"[]", b":", b",", b"|", b"null", b"true",
        b"1e999", b"-1", b"9" * 30, b"<L ", b"#", b"\xe2\x80\xa8", b"\xef\xbb\xbf", b" "]  # fmt: skip
EDITS = st.lists(st.tuples(st.floats(0, 1), st.integers(0, 20), st.sampled_from(JUNK)), min_size=1, max_size=4)


@pytest.mark.parametrize(("name", "file"), SOUND, ids=lambda value: value)
def test_a_sound_file_is_taken(name: str, file: str, tmp_path: Path) -> None:
    write(tmp_path, {file: SOUND[name, file]})
    assert datasets.scan(name, tmp_path).splits


@pytest.mark.parametrize(("name", "file"), SOUND, ids=lambda value: value)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(edits=EDITS)
def test_a_damaged_file_is_read_or_refused_by_its_name(
    name: str, file: str, edits: list[tuple[float, int, bytes]], tmp_path: Path
) -> None:
    data = bytearray(SOUND[name, file].encode())
    for where, dropped, junk in edits:
        start = round(where * len(data))
        data[start : start + dropped] = junk
    write(tmp_path, {file: bytes(data)})
    try:
        outcome = str(datasets.scan(name, tmp_path).splits)
    except UserError as error:
        outcome = str(error)
    assert file.rsplit("/", 1)[-1] in outcome or "log names the reasons" in outcome
