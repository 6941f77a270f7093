"""MTOP and MCWQ: their files by hand in upstream's exact form, pointers, and the scores of parses by a slow oracle."""

import json
import random
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from xstilts.core.catalogue import TaskKind
from xstilts.core.errors import UserError
from xstilts.core.trees import read_tree, with_pointers
from xstilts.metrics import degenerate, score
from xstilts.tasks import datasets, registry
from xstilts.tasks.examples import SemanticParse, spelled

KEYS = {"exact_match", "tree_match", "intent_accuracy", "slot_f1", "bracket_f1", "template_match", "well_formed"}

MTOP = {
    "en": (
        "2",
        "IN:CREATE_REMINDER",
        "10:16:SL:PERSON_REMINDED,20:41:SL:TODO",
        "remind my mother to message Mike at 7pm",
        "reminder",
        "en_XX",
        "[IN:CREATE_REMINDER [SL:PERSON_REMINDED [IN:GET_CONTACT [SL:CONTACT_RELATED my ]"
        " [SL:TYPE_RELATION mother ] ] ] [SL:TODO [IN:SEND_MESSAGE [SL:RECIPIENT Mike ] ] ]"
        " [SL:DATE_TIME at 7 pm ] ]",
        ["remind", "my", "mother", "to", "message", "Mike", "at", "7", "pm"],
    ),
    "th": (
        "3",
        "IN:CREATE_CALL",
        "5:16:SL:CONTACT",
        "โทรหาคามิลลาทางวอตส์แอปป์",
        "calling",
        "th_XX",
        "[IN:CREATE_CALL [SL:CONTACT คา มิ ล ลา ] [SL:NAME_APP วอตส์ แอ ปป์ ] ]",
        ["โทร", "หา", "คา", "มิ", "ล", "ลา", "ทาง", "วอตส์", "แอ", "ปป์"],
    ),
    "hi": (
        "4",
        "IN:GET_EVENT",
        "5:21:SL:DATE_TIME",
        "मुझे गुरुवार रात के लिए एंकरेज में शो दिखाएं",
        "event",
        "hi_XX",
        "[IN:GET_EVENT [SL:CATEGORY_EVENT शो ] [SL:LOCATION एंकरेज ] [SL:DATE_TIME गुरुवार रात के लिए ] ]",
        ["मुझे", "गुरुवार", "रात", "के", "लिए", "एंकरेज", "में", "शो", "दिखाएं"],
    ),
}


def write_tsv(path: Path, *rows: tuple) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = []
    for row in rows:
        tokens = {"tokens": row[-1], "tokenSpans": [{"start": 0, "length": len(token)} for token in row[-1]]}
        lines.append("\t".join((*row[:-1], json.dumps(tokens, ensure_ascii=False))) + "\n")
    path.write_text("".join(lines), encoding="utf-8")


def write_json(path: Path, value: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, ensure_ascii=False), encoding="utf-8")


def rows_of(name: str, root: Path, split: str, language: str, files: dict | None = None) -> list[SemanticParse]:
    found = datasets.scan(name, root, files).find(split, language)
    assert found is not None
    return list(datasets.read_split(found, [root / file.path for file in found.files]))


class TestMtop:
    @pytest.mark.parametrize("language", sorted(MTOP))
    def test_own_files(self, tmp_path, language):
        write_tsv(tmp_path / f"mtop/{language}/eval.txt", MTOP[language])
        (row,) = rows_of("mtop", tmp_path, "dev", language)
        identity, *_, tree, tokens = MTOP[language]
        assert (row.id, row.words) == (identity, tuple(tokens))
        assert spelled(row.words, row.parse) == tree
        leaves = [token for token in tree.split() if token != "]" and not token.startswith("[")]
        assert [row.words[place] for place in row.parse if isinstance(place, int)] == leaves

    def test_a_broken_tree_names_its_line(self, tmp_path):
        good, bad = MTOP["en"], list(MTOP["en"])
        bad[6] = "[IN:CREATE_REMINDER [SL:TODO call ]"
        write_tsv(tmp_path / "en/train.txt", good, tuple(bad))
        with pytest.raises(UserError, match="line 2: decoupled form"):
            datasets.scan("mtop", tmp_path)

    @pytest.mark.parametrize("tokens", ["{}", "not JSON", '{"tokens": [1]}', '{"tokens": []}', "[]"])
    def test_bad_tokens_name_their_line(self, tmp_path, tokens):
        (tmp_path / "en").mkdir()
        (tmp_path / "en/train.txt").write_text("\t".join((*MTOP["en"][:-1], tokens)) + "\n", encoding="utf-8")
        with pytest.raises(UserError, match=r"line 1[:,] tokens"):
            datasets.scan("mtop", tmp_path)

    def test_xsemplrs_file_holds_all_languages_and_may_stand_for_any_split(self, tmp_path):
        trees = {"en": "[IN:CREATE_CALL [SL:CONTACT Ann ] ]", "hi": "[IN:CREATE_CALL [SL:CONTACT एन ] ]"}
        questions = {"en": "call Ann", "hi": "एन को कॉल करें"}
        write_json(tmp_path / "dev.json", [{"id": "7", "mr": {"slot_intent": trees}, "question": questions}])
        files = {"train:en": "dev.json", "test:hi": "dev.json"}
        assert rows_of("mtop", tmp_path, "train", "en", files) == [
            SemanticParse(id="7", words=("call", "Ann"), parse=("[IN:CREATE_CALL", "[SL:CONTACT", 1, "]", "]"))
        ]
        assert rows_of("mtop", tmp_path, "test", "hi", files)[0].parse[2] == 0

    def test_xsemplrs_files_are_found_by_their_folder(self, tmp_path):
        row = {"id": "7", "mr": {"slot_intent": {"en": "[IN:STOP ]"}}, "question": {"en": "stop"}}
        write_json(tmp_path / "mtop/dev.json", [row])
        assert [(split.split, split.language) for split in datasets.scan("mtop", tmp_path).splits] == [("dev", "en")]


ASK = "ASK WHERE {\n?x0 wdt:P749 M0 .\n?x0 wdt:P26 M1 .\nFILTER ( ?x0 != M1 )\n}"
SELECT = "SELECT DISTINCT ?x0 WHERE { M1 wdt:P750|wdt:P272 ?x0 . ?x0 wdt:P112 M0 }"


class TestMcwq:
    ROWS = (
        {
            "questionPatternModEntities": "Did M0 's child marry M1",
            "questionPatternModEntities_he": "האם הילד של M0, התחתן עם ו-M1",
            "questionPatternModEntities_kn": "M0 ಅವರ ಮಗು M1ಅನ್ನು ಮದುವೆಯಾಗಿದೆಯೇ",
            "questionPatternModEntities_zh": "M0的孩子嫁给M1吗？",
            "sparqlPatternModEntities": ASK,
        },
        {
            "questionPatternModEntities": "Which distributor of M1 did M0 found",
            "questionPatternModEntities_he": "איזה מפיץ",
            "questionPatternModEntities_kn": "M0 M1",
            "questionPatternModEntities_zh": "M1 M0",
            "sparqlPatternModEntities": SELECT,
        },
    )

    @pytest.fixture(params=["mcd1", "mcd2", "mcd3", "random_split"])
    def published(self, request, tmp_path):
        write_json(tmp_path / "mcwq/dataset.json", self.ROWS)
        places = {"trainIdxs": [1], "devIdxs": [0], "testIdxs": [0, 1]}
        write_json(tmp_path / f"mcwq/splits/{request.param}.json", places)
        name = {"mcd1": "mcwq", "random_split": "mcwq_random"}.get(request.param, f"mcwq_{request.param}")
        return name, tmp_path

    @pytest.mark.parametrize("language", ["en", "he", "kn", "zh"])
    def test_own_files(self, published, language):
        name, root = published
        row, other = rows_of(name, root, "test", language)
        assert (row.id, other.id) == ("0", "1")
        assert spelled(row.words, row.parse) == " ".join(ASK.split())
        assert spelled(other.words, other.parse) == SELECT
        assert {row.words[place] for place in row.parse if isinstance(place, int)} == {"M0", "M1"}
        assert [row.id for row in rows_of(name, root, "train", language)] == ["1"]

    def test_a_placeholder_that_the_translation_lost_stays_a_text(self, published):
        name, root = published
        assert "M0" in rows_of(name, root, "train", "he")[0].parse

    def test_a_place_out_of_range_is_an_error(self, tmp_path):
        write_json(tmp_path / "dataset.json", self.ROWS)
        write_json(tmp_path / "split/mcd1.json", {"trainIdxs": [2], "devIdxs": [], "testIdxs": []})
        with pytest.raises(UserError, match="trainIdxs has 2; expected places from 0 to 1"):
            datasets.scan("mcwq", tmp_path)

    def test_xsemplrs_files(self, tmp_path):
        question = {"en": "Which distributor of M1 did M0 found", "zh": "M0 M1"}
        write_json(tmp_path / "mcwq/mcd3/test.json", [{"mr": {"sparql": SELECT}, "question": question}])
        (row,) = rows_of("mcwq_mcd3", tmp_path, "test", "en")
        assert row.parse[5:8] == (3, "wdt:P750|wdt:P272", "?x0")
        assert len(rows_of("mcwq_mcd3", tmp_path, "test", "zh")) == 1


words = st.sampled_from(["Ann", "7", "pm", "คา", "मुझे", "的", "«", "M0"])
slot_labels = st.sampled_from(["[SL:CONTACT", "[SL:TODO", "[SL:weather/attribute"])
intent_labels = st.sampled_from(["[IN:CALL", "[IN:GET_EVENT"])


def bracketed(labels, content):
    return st.builds(lambda label, inside: " ".join([label, *inside, "]"]), labels, st.lists(content, max_size=3))


trees = st.recursive(
    bracketed(intent_labels, bracketed(slot_labels, words)),
    lambda intents: bracketed(intent_labels, bracketed(slot_labels, intents | words)),
    max_leaves=6,
)


@given(trees, st.randoms(use_true_random=False), st.lists(words, max_size=4))
def test_trees_come_back_from_pointers(text, order, others):
    tree = read_tree(text)
    assert tree is not None
    assert " ".join(tree.tokens) == text
    leaves = [token for token in tree.tokens if token != "]" and not token.startswith("[")]
    sentence = leaves + others
    order.shuffle(sentence)
    parse = with_pointers(tree, sentence)
    assert spelled(sentence, parse) == text
    places = [token for token in parse if isinstance(token, int)]
    assert len(places) == len(leaves), "every leaf is a word"


def test_a_run_is_copied_from_where_it_stands_together():
    tree = read_tree("[IN:SEND [SL:A at 7 ] [SL:B 7 ] [SL:C new at ] ]")
    assert tree is not None
    sentence = ["7", "things", "at", "7", "at"]
    assert with_pointers(tree, sentence) == (
        "[IN:SEND", "[SL:A", 2, 3, "]", "[SL:B", 0, "]", "[SL:C", "new", 4, "]", "]"
    )  # fmt: skip


def test_a_second_copy_of_a_word_is_taken_for_a_second_leaf():
    tree = read_tree("[IN:SEND [SL:A Ann ] [SL:B Ann ] [SL:C Ann ] ]")
    assert tree is not None
    assert [token for token in with_pointers(tree, ["Ann", "to", "Ann"]) if isinstance(token, int)] == [0, 2, 0]


INVALID = [
    "",
    "   ",
    "Ann",
    "]",
    "[",
    "[ ]",
    "[IN:",
    "[IN:CALL",
    "IN:CALL ]",
    "[IN:CALL ] ]",
    "[IN:CALL ] Ann",
    "[IN:CALL ] [IN:CALL ]",
    "[IN:CALL Ann ]",
    "[SL:CONTACT Ann ]",
    "[IN:CALL [SL:CONTACT [SL:TODO Ann ] ] ]",
    "[IN:CALL [IN:CALL ] ]",
    "[IN:CALL [Ann ] ]",
    "[IN:CALL [SL:CONTACT Ann ]",
    "[IN:" * 5000,
    "[IN:CALL [SL:TODO " * 5000,
    "]" * 5000,
]


@pytest.mark.parametrize("text", INVALID, ids=lambda text: text[:30])
@pytest.mark.parametrize("rules", ["top", "sparql"])
def test_what_is_no_parse_scores_nothing(text, rules):
    gold = {"top": "[IN:CALL [SL:CONTACT Ann ] ]", "sparql": ASK}[rules]
    scores = score(TaskKind.SEMANTIC_PARSING, [gold], [text], rules=rules)
    assert scores == dict.fromkeys(KEYS, 0.0)


def test_deep_trees_are_read():
    depth = 3000
    text = "[IN:CALL [SL:TODO " * depth + "Ann" + " ] ]" * depth
    tree = read_tree(text)
    assert tree is not None
    assert len(tree.brackets) == 2 * depth


@given(st.lists(st.tuples(trees, st.text() | trees), min_size=1))
@example([("[IN:CALL ]", "\x00")])
def test_scores_of_anything_are_percentages(pairs):
    gold, predictions = zip(*pairs, strict=True)
    for rows in (gold, predictions):
        scores = score(TaskKind.SEMANTIC_PARSING, gold, rows, rules="top")
        assert scores.keys() == KEYS
        assert all(0 <= value <= 100 for value in scores.values())
    assert set(score(TaskKind.SEMANTIC_PARSING, gold, gold, rules="top").values()) == {100.0}
    assert degenerate(TaskKind.SEMANTIC_PARSING, gold, gold, rules="top") is None


@given(st.lists(st.tuples(trees, trees), min_size=1), st.integers())
def test_the_order_of_rows_does_not_count(pairs, seed):
    shuffled = random.Random(seed).sample(pairs, len(pairs))
    one, other = (
        score(TaskKind.SEMANTIC_PARSING, *map(list, zip(*rows, strict=True)), rules="top") for rows in (pairs, shuffled)
    )
    assert one == pytest.approx(other)


def nested(tokens):
    """The slow restatement: lists of a label and what it holds, by recursion; the rest of the tokens."""
    label, children, rest = tokens[0], [], tokens[1:]
    while rest[0] != "]":
        if rest[0].startswith("["):
            child, rest = nested(rest)
        else:
            child, rest = rest[0], rest[1:]
        children.append(child)
    return [label, *children], rest[1:]


def leaves_of(tree):
    return [leaf for child in tree[1:] for leaf in (leaves_of(child) if isinstance(child, list) else [child])]


def subtrees(tree):
    yield tree
    for child in tree[1:]:
        if isinstance(child, list):
            yield from subtrees(child)


def f1_by_matching(gold, predictions):
    """Each predicted item strikes out an equal gold one."""
    right = 0
    for wanted, found in zip(gold, predictions, strict=True):
        open_items = list(wanted)
        for item in found:
            if item in open_items:
                open_items.remove(item)
                right += 1
    total = sum(map(len, gold)) + sum(map(len, predictions))
    if not total:
        return 100
    precision = right / max(1, sum(map(len, predictions)))
    recall = right / max(1, sum(map(len, gold)))
    return 100 * 2 * precision * recall / (precision + recall) if right else 0


@settings(deadline=None)
@given(st.lists(st.tuples(trees, trees | st.sampled_from(INVALID[:18])), min_size=1, max_size=6))
def test_f1_of_slots_and_brackets_by_a_slow_restatement(pairs):
    def items(text, *, slots):
        if text in INVALID:
            return []
        found = list(subtrees(nested(text.split())[0]))
        if slots:
            return [repr(tree) for tree in found if tree[0].startswith("[SL:")]
        return [(tree[0], leaves_of(tree)) for tree in found]

    gold, predictions = zip(*pairs, strict=True)
    scores = score(TaskKind.SEMANTIC_PARSING, gold, predictions, rules="top")
    for metric, slots in (("slot_f1", True), ("bracket_f1", False)):
        expected = f1_by_matching(*([items(text, slots=slots) for text in side] for side in (gold, predictions)))
        assert scores[metric] == pytest.approx(expected)


@pytest.mark.parametrize(
    ("prediction", "expected"),
    [
        ("[IN:CALL  [SL:A x ]\n[SL:B y ] ]", "exact_match tree_match intent_accuracy template_match well_formed"),
        ("[IN:CALL[SL:A x][SL:B y]]", "tree_match intent_accuracy template_match well_formed"),
        ("[IN:CALL [SL:B y ] [SL:A x ] ]", "intent_accuracy well_formed"),
        ("[IN:CALL [SL:A x ] [SL:B z ] ]", "intent_accuracy template_match well_formed"),
        ("[IN:NEVER [SL:A x ] [SL:B y ] ]", "well_formed"),
    ],
)
def test_what_each_metric_looks_at(prediction, expected):
    scores = score(TaskKind.SEMANTIC_PARSING, ["[IN:CALL [SL:A x ] [SL:B y ] ]"], [prediction], rules="top")
    assert {metric for metric, value in scores.items() if value == 100 and not metric.endswith("f1")} == set(
        expected.split()
    )


def test_f1_of_a_half_right_tree():
    gold, prediction = "[IN:CALL [SL:A x ] [SL:B y ] ]", "[IN:CALL [SL:A x ] [SL:B z ] [SL:A x ] ]"
    scores = score(TaskKind.SEMANTIC_PARSING, [gold], [prediction], rules="top")
    assert scores["slot_f1"] == pytest.approx(100 * 2 / 5)
    assert scores["bracket_f1"] == pytest.approx(100 * 2 / 7), "the root covers other words"


@pytest.mark.parametrize(
    ("prediction", "right"),
    [
        ("ASK WHERE { ?x0 wdt:P26 M1 . FILTER ( ?x0 != M1 ) . ?x0 wdt:P749 M0 }", {"tree_match", "template_match"}),
        ("ASK WHERE{?x0 wdt:P749 M0 . ?x0 wdt:P26 M1 . FILTER(?x0 != M1) .}", {"tree_match", "template_match"}),
        ("ASK WHERE { ?x0 wdt:P749 M1 . ?x0 wdt:P26 M0 . FILTER ( ?x0 != M0 ) }", {"template_match"}),
        ("ASK WHERE { ?x0 wdt:P749 M0 . ?x0 wdt:P26 M1 }", set()),
    ],
)
def test_queries_are_compared_as_sets(prediction, right):
    scores = score(TaskKind.SEMANTIC_PARSING, [ASK], [prediction], rules="sparql")
    assert scores["well_formed"] == scores["intent_accuracy"] == 100
    assert scores["exact_match"] == 0
    assert {metric for metric in ("tree_match", "template_match") if scores[metric] == 100} == right


@pytest.mark.parametrize(
    "text",
    [
        "ASK WHERE { }",
        "ASK { ?x0 wdt:P749 M0 }",
        "SELECT WHERE { ?x0 wdt:P749 M0 }",
        "ASK WHERE { ?x0 wdt:P749 }",
        "ASK WHERE { ?x0 wdt:P749 M0 . . ?x0 wdt:P749 M0 }",
        "ASK WHERE { FILTER ( ?x0 != M1 }",
        "ASK WHERE { FILTER ( }",
        "ASK WHERE { FILTER }",
        "ASK WHERE { ?x0 { M0 }",
        "ASK WHERE { ?x0 wdt:P749 M0 } }",
        "ASK WHERE { ?x0 wdt:P749 M0 } ASK",
        "DESCRIBE ?x0 WHERE { ?x0 wdt:P749 M0 }",
    ],
)
def test_what_is_no_query_scores_nothing(text):
    assert score(TaskKind.SEMANTIC_PARSING, [SELECT], [text], rules="sparql") == dict.fromkeys(KEYS, 0.0)


@given(st.lists(st.text(alphabet="ASKWHER {}().M0?x"), min_size=1))
def test_no_text_makes_the_scores_of_queries_fail(predictions):
    gold = [ASK] * len(predictions)
    assert all(0 <= v <= 100 for v in score(TaskKind.SEMANTIC_PARSING, gold, predictions, rules="sparql").values())
    assert set(score(TaskKind.SEMANTIC_PARSING, gold, gold, rules="sparql").values()) == {100.0}


def test_a_gold_parse_in_another_language_names_its_row():
    with pytest.raises(UserError, match=r"example 1 \(from 0\): .* is no parse in 'top'"):
        score(TaskKind.SEMANTIC_PARSING, ["[IN:CALL ]", ASK], ["", ""], rules="top")


def test_unknown_rules_name_the_known_ones():
    with pytest.raises(UserError, match="rules: unknown 'squad' for parses; choose 'top' or 'sparql'"):
        score(TaskKind.SEMANTIC_PARSING, ["[IN:CALL ]"], [""])


def test_the_commonest_parse_throughout_is_degenerate():
    gold = ["[IN:CALL ]", "[IN:CALL ]", "[IN:STOP ]"]
    assert "no better than '[IN:CALL ]' throughout" in str(
        degenerate(TaskKind.SEMANTIC_PARSING, gold, ["[IN:CALL ]"] * 3, rules="top")
    )
    better = ["[IN:CALL ]", "[IN:CALL ]", "[IN:STOP [SL:A x ] ]"]
    assert degenerate(TaskKind.SEMANTIC_PARSING, 4 * gold, 4 * better, rules="top") is None


def test_rules_of_the_tasks_are_those_of_their_parses():
    parses = [task for task in registry.tasks().values() if task.kind is TaskKind.SEMANTIC_PARSING]
    assert Counter(task.rules for task in parses) == {"top": 1, "sparql": 4}
