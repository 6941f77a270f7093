"""Synthetic corpora: formats, right labels, no short cuts, no leaks, and real differences between languages."""

import re
import unicodedata
from collections import Counter, defaultdict
from dataclasses import replace
from pathlib import Path

import pytest
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression

from xstilts.core.errors import UserError
from xstilts.core.manifests import Split
from xstilts.tasks import datasets, registry
from xstilts.tasks.examples import (
    Classification,
    Example,
    IntentAndSlots,
    MultipleChoice,
    SemanticParse,
    SpanExtraction,
    Tagging,
)
from xstilts.tasks.gold import gold
from xstilts.tasks.synthetic import LANGUAGES, RECORD, ROWS, synthesize
from xstilts.tasks.synthetic.draws import distinct_rows, stream
from xstilts.tasks.synthetic.grammar import Clause, Order, question, statement, text
from xstilts.tasks.synthetic.inference import LABELS, draw_pair, relation
from xstilts.tasks.synthetic.lexicon import Concept, load
from xstilts.tasks.synthetic.utterances import Request
from xstilts.tasks.synthetic.vocabulary import Vocabulary, disjoint, whole

SMALL = dict.fromkeys(ROWS, 24)
SCRIPTS = {"en": "LATIN", "ru": "CYRILLIC", "hi": "DEVANAGARI", "zh": "CJK", "ar": "ARABIC"}
SPLITS = {
    "mnli": {"train": ["en", "de"], "dev": ["en"]},
    "snli": {"train": ["en"], "dev": ["en"]},
    "anli": {"train": ["en"], "dev": ["en"]},
    "anli_plus": {"train": ["en"], "dev": ["en"]},
    "qqp": {"train": ["en"], "dev": ["en"]},
    "xnli": {"dev": list(LANGUAGES), "test": list(LANGUAGES)},
    "pawsx": {"train": ["en"], "dev": list(LANGUAGES), "test": list(LANGUAGES)},
    "squad_v1": {"train": ["en"], "dev": ["en"]},
    "xquad": {"test": list(LANGUAGES)},
    "squad_v2": {"train": ["en"], "dev": ["en"]},
    "hellaswag": {"train": ["en", "de"], "dev": ["en"]},
    "cosmosqa": {"train": ["en"], "dev": ["en"]},
    "commonsenseqa": {"train": ["en"], "dev": ["en"]},
    "ccg": {"train": ["en"], "dev": ["en"]},
    "udpos": {"train": ["en"], "dev": ["en"], "test": list(LANGUAGES)},
    "xsid": {"train": ["en"], "dev": ["en"], "test": list(LANGUAGES)},
    "mtop": {"train": ["en"], "dev": ["en"], "test": ["de", "en", "es", "hi"]},
    "tatoeba": {"test": [code for code in LANGUAGES if code != "en"]},
    "bucc2018": {split: [code for code in LANGUAGES if code != "en"] for split in ("dev", "test")},
}


@pytest.fixture(scope="module")
def corpora(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Corpora large enough to train a linear model on."""
    out = tmp_path_factory.mktemp("corpora") / "related"
    synthesize(out, seed=1, rows={"mnli/train": 9000, "mnli/dev": 900}, scale=1 / 3)
    return out


def read(root: Path, dataset: str) -> dict[tuple[str, str], list[Example]]:
    """Split and language to its examples, through the readers that studies use."""
    splits: tuple[Split, ...] = datasets.scan(dataset, root).splits
    return {
        (split.split, split.language): list(datasets.read_split(split, [root / file.path for file in split.files]))
        for split in splits
    }


def files(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def concept(section: str, key: str) -> Concept:
    return next(c for c in load().sections[section].concepts if c.key.split("/")[0] == key)


class TestFolder:
    def test_equal_arguments_give_equal_bytes(self, tmp_path: Path) -> None:
        for name in ("one", "two"):
            synthesize(tmp_path / name, seed=3, rows=SMALL)
        assert files(tmp_path / "one") == files(tmp_path / "two")

    def test_another_seed_gives_other_text(self, tmp_path: Path) -> None:
        for seed in (3, 4):
            synthesize(tmp_path / str(seed), seed=seed, rows=SMALL)
        assert (tmp_path / "3/text/hi.txt").read_bytes() != (tmp_path / "4/text/hi.txt").read_bytes()

    def test_the_same_folder_is_left_as_it_is(self, tmp_path: Path) -> None:
        synthesize(tmp_path / "out", rows=SMALL)
        (tmp_path / "out/text/en.txt").write_text("touched")
        synthesize(tmp_path / "out", rows=SMALL)
        assert (tmp_path / "out/text/en.txt").read_text() == "touched"

    def test_other_arguments_are_refused_by_name(self, tmp_path: Path) -> None:
        synthesize(tmp_path / "out", rows=SMALL)
        with pytest.raises(UserError, match=r"other arguments \(related, seed\)"):
            synthesize(tmp_path / "out", rows=SMALL, seed=1, related=False)

    def test_a_foreign_folder_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(UserError, match=RECORD):
            synthesize(tmp_path, rows=SMALL)

    def test_nothing_is_left_of_a_folder_that_cannot_be_finished(self, tmp_path: Path) -> None:
        out = tmp_path / "out"
        out.symlink_to(tmp_path / "nowhere")
        with pytest.raises(UserError, match="out cannot be written"):
            synthesize(out, rows=SMALL)
        assert list(tmp_path.iterdir()) == [out]

    def test_a_grammar_that_runs_out_says_so(self) -> None:
        with pytest.raises(UserError, match=r"xsid/train.*ask for fewer"):
            distinct_rows(lambda position: Request("PlayMusic", position % 3, ()), 4, taken=set(), what="xsid/train")

    def test_double_sizes_fit_into_half_of_the_lexicon(self, tmp_path: Path) -> None:
        rows = SMALL | {split: 2 * size for split, size in ROWS.items() if split.startswith(("xsid", "pawsx"))}
        synthesize(tmp_path / "out", rows=rows, languages=["en"], related=False)
        assert len(read(tmp_path / "out", "xsid")["train", "en"]) == 2 * ROWS["xsid/train"]

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({"languages": ["de", "xx"]}, "languages: unknown xx"),
            ({"rows": {"mnli/trian": 5}}, "rows: unknown mnli/trian"),
            ({"scale": 0.001}, "no rows are left of"),
            ({"code_switching": 1.5}, "code_switching: 1.5"),
        ],
        ids=["unknown language", "unknown split", "too small a scale", "no share"],
    )
    def test_bad_arguments_are_named(self, tmp_path: Path, arguments: dict[str, object], message: str) -> None:
        with pytest.raises(UserError, match=message):
            synthesize(tmp_path / "out", **arguments)  # type: ignore[arg-type]

    def test_chosen_languages_come_with_english(self, tmp_path: Path) -> None:
        synthesize(tmp_path / "out", rows=SMALL, languages=["zh", "ru"])
        assert {path.stem for path in (tmp_path / "out/text").iterdir()} == {"en", "ru", "zh"}


class TestFormats:
    @pytest.mark.parametrize("dataset", SPLITS)
    def test_the_readers_find_every_split_and_language(self, corpora: Path, dataset: str) -> None:
        found = read(corpora, dataset)
        assert found.keys() == {(split, code) for split, codes in SPLITS[dataset].items() for code in codes}
        for split in SPLITS[dataset]:
            assert len({len(rows) for (name, _), rows in found.items() if name == split}) == 1

    def test_trees_are_nested_over_the_words_and_alike_in_every_language(self, corpora: Path) -> None:
        templates: dict[str, list[list[str]]] = {}
        for (split, code), rows in read(corpora, "mtop").items():
            parses = [row.parse for row in rows if isinstance(row, SemanticParse)]
            labels = [[token for token in parse if isinstance(token, str)] for parse in parses]
            assert all(label == "]" or label.startswith("[") for parse in labels for label in parse)
            assert 0.2 < sum(sum(token.startswith("[IN:") for token in p) > 1 for p in labels) / len(labels) < 0.8
            if split == "test":
                templates[code] = labels
        assert all(labels == templates["en"] for labels in templates.values())

    @pytest.mark.parametrize(
        ("dataset", "num_labels"), [("mnli", 3), ("snli", 3), ("anli", 3), ("qqp", 2), ("xnli", 3), ("pawsx", 2)]
    )
    def test_labels_are_balanced_and_the_same_in_every_language(
        self, corpora: Path, dataset: str, num_labels: int
    ) -> None:
        by_split: dict[str, set[tuple[str, ...]]] = {}
        for (split, _), rows in read(corpora, dataset).items():
            labels = tuple(row.label for row in rows if isinstance(row, Classification))
            by_split.setdefault(split, set()).add(labels)
            counts = Counter(labels).values()
            assert len(counts) == num_labels
            assert max(counts) - min(counts) <= 1
        assert all(len(labels) == 1 for labels in by_split.values())

    @pytest.mark.parametrize("dataset", ["squad_v1", "xquad"])
    def test_answers_stand_where_they_say(self, corpora: Path, dataset: str) -> None:
        for rows in read(corpora, dataset).values():
            for row in rows:
                assert isinstance(row, SpanExtraction)
                (answer,) = row.answers
                assert row.context[answer.start : answer.start + len(answer.text)] == answer.text

    def test_the_nine_intermediate_tasks_are_there(self) -> None:
        trained = {name for name, task in registry.tasks().items() if task.spec.train and not task.spec.test}
        assert trained - {"snli", "anli"} == {*SPLITS} & trained - {"snli", "anli"}
        assert len(trained - {"snli", "anli"}) == 9

    def test_a_third_of_the_passages_of_squad_2_does_not_answer(self, corpora: Path) -> None:
        rows = [row for row in read(corpora, "squad_v2")["train", "en"] if isinstance(row, SpanExtraction)]
        assert sum(not row.answers for row in rows) == -(-len(rows) // 3)
        for row in rows:
            assert all(row.context.startswith(answer.text, answer.start) for answer in row.answers)

    @pytest.mark.parametrize(("dataset", "text"), [("mnli", "first"), ("hellaswag", "prompt")])
    def test_translated_training_data_has_the_ids_and_labels_of_the_english_rows(
        self, corpora: Path, dataset: str, text: str
    ) -> None:
        rows = read(corpora, dataset)
        english, german = rows["train", "en"], rows["train", "de"]
        assert [(row.id, gold(row)) for row in german] == [(row.id, gold(row)) for row in english]
        assert sum(getattr(a, text) == getattr(b, text) for a, b in zip(english, german, strict=True)) == 0

    def test_a_translation_is_written_only_in_a_language_that_is_asked_for(self, tmp_path: Path) -> None:
        synthesize(tmp_path / "out", rows=SMALL, languages=["hi"])
        assert read(tmp_path / "out", "mnli").keys() == {("train", "en"), ("dev", "en")}

    def test_anli_plus_has_rows_of_every_corpus(self, corpora: Path) -> None:
        found = read(corpora, "anli_plus")["train", "en"]
        strata = Counter(registry.get("anli_plus").stratum(row).split(", ")[0] for row in found)
        assert strata.keys() == {"snli", "mnli", "anli-r1", "anli-r2", "anli-r3"}
        assert strata.total() == sum(len(read(corpora, name)["train", "en"]) for name in ("snli", "mnli", "anli"))

    def test_supertags_tell_verbs_with_an_object_from_those_without(self, corpora: Path) -> None:
        tags = {tag for row in read(corpora, "ccg")["train", "en"] if isinstance(row, Tagging) for tag in row.tags}
        assert {"(S[dcl]\\NP)/NP", "S[dcl]\\NP", "(S[b]\\NP)/NP", "NP[nb]/N", "N", "."} <= tags

    @pytest.mark.parametrize("dataset", ["cosmosqa", "commonsenseqa"])
    def test_the_right_choice_is_at_any_position_among_different_ones(self, corpora: Path, dataset: str) -> None:
        rows = [row for row in read(corpora, dataset)["train", "en"] if isinstance(row, MultipleChoice)]
        assert all(len(set(row.choices)) == len(row.choices) for row in rows)
        assert len({row.label for row in rows}) >= 3

    def test_slots_are_iob2_and_their_offsets_match_the_text(self, corpora: Path) -> None:
        rows = read(corpora, "xsid")
        tags = {tag for split in rows.values() for row in split if isinstance(row, IntentAndSlots) for tag in row.slots}
        intents = {row.intent for split in rows.values() for row in split if isinstance(row, IntentAndSlots)}
        assert len(intents) >= 6
        assert len({tag[2:] for tag in tags if tag != "O"}) >= 8
        blocks = (corpora / "xsid/en.test.conll").read_text(encoding="utf-8").strip().split("\n\n")
        for block in blocks:
            said, slots = (re.search(f"# {name}(?: =|:) ?(.*)", block)[1] for name in ("text", "slots"))  # type: ignore[index]
            first_words = [line.split("\t")[1] for line in block.splitlines() if "\tB-" in line]
            offsets = [slot.split(":")[:2] for slot in slots.split(",")] if slots else []
            spans = [said[int(start) : int(end)] for start, end in offsets]
            assert [span.split()[0] for span in spans] == first_words

    @pytest.mark.parametrize("code", LANGUAGES)
    def test_a_slot_never_continues_what_did_not_begin(self, corpora: Path, code: str) -> None:
        for row in read(corpora, "xsid")["test", code]:
            assert isinstance(row, IntentAndSlots)
            for before, tag in zip(("O", *row.slots), row.slots, strict=False):
                assert not tag.startswith("I-") or before[2:] == tag[2:]

    def test_every_ending_has_its_own_words_and_positions_do_not_tell(self, corpora: Path) -> None:
        rows = [row for row in read(corpora, "hellaswag")["train", "en"] if isinstance(row, MultipleChoice)]
        assert all(len(set(row.choices)) == 4 for row in rows)
        assert max(Counter(row.label for row in rows).values()) < 0.35 * len(rows)

    def test_english_has_words_whose_tag_depends_on_position(self, corpora: Path) -> None:
        tags: dict[str, set[str]] = {}
        for row in read(corpora, "udpos")["train", "en"]:
            assert isinstance(row, Tagging)
            for word, tag in zip(row.words, row.tags, strict=True):
                tags.setdefault(word, set()).add(tag)
        assert {"watch", "cook", "dance", "play", "paint", "orange"} <= {
            word for word, seen in tags.items() if len(seen) > 1
        }


class TestShortCuts:
    def test_the_hypothesis_alone_says_little_about_the_label(self, corpora: Path) -> None:
        rows = read(corpora, "mnli")
        vectorizer = CountVectorizer(ngram_range=(1, 2))
        texts = {split: [row.second for row in rows[split, "en"]] for split in ("train", "dev")}  # type: ignore[attr-defined]
        labels = {split: [row.label for row in rows[split, "en"]] for split in ("train", "dev")}  # type: ignore[attr-defined]
        model = LogisticRegression(max_iter=300, C=0.1).fit(vectorizer.fit_transform(texts["train"]), labels["train"])
        assert model.score(vectorizer.transform(texts["dev"]), labels["dev"]) <= 1 / 3 + 0.10

    @pytest.mark.parametrize("code", LANGUAGES)
    def test_rewordings_have_the_same_words_whatever_their_label(self, corpora: Path, code: str) -> None:
        for row in read(corpora, "pawsx")["test", code]:
            assert isinstance(row, Classification)
            bags = [Counter(side.casefold() if code == "zh" else words(side)) for side in (row.first, row.second)]
            assert bags[0] == bags[1]
            assert row.first != row.second

    @pytest.mark.parametrize("dataset", SPLITS)
    def test_no_sentence_is_in_two_splits(self, corpora: Path, dataset: str) -> None:
        splits = read(corpora, dataset)
        told = {
            split: {s for row in rows for s in sentences(row)} for (split, code), rows in splits.items() if code == "en"
        }
        for split, mine in told.items():
            assert all(mine.isdisjoint(others) for name, others in told.items() if name != split)

    def test_target_rows_are_not_in_intermediate_training_data_of_the_same_task(self, corpora: Path) -> None:
        for intermediate, target in (("mnli", "xnli"), ("squad_v1", "xquad")):
            trained = {s for rows in read(corpora, intermediate).values() for row in rows for s in sentences(row)}
            assert trained.isdisjoint(s for row in read(corpora, target)["test", "en"] for s in sentences(row))

    @pytest.mark.parametrize("code", ["de", "ru"])
    def test_words_shared_with_english_tell_few_tags(self, corpora: Path, code: str) -> None:
        """The demo's first target: punctuation, digits, names and a few words alike, by their most frequent tag."""
        rows = read(corpora, "udpos")
        seen: defaultdict[str, Counter[str]] = defaultdict(Counter)
        for row in rows["train", "en"]:
            assert isinstance(row, Tagging)
            for word, tag in zip(row.words, row.tags, strict=True):
                seen[word.casefold()][tag] += 1
        majority = sum(seen.values(), Counter()).most_common(1)[0][0]
        told = [
            (seen[word.casefold()].most_common(1) or [(majority, 0)])[0][0] == tag
            for row in rows["test", code]
            if isinstance(row, Tagging)
            for word, tag in zip(row.words, row.tags, strict=True)
        ]
        assert sum(told) / len(told) < 0.42

    @pytest.mark.parametrize("code", ["de", "ru"])
    def test_words_shared_with_english_tell_few_intents(self, corpora: Path, code: str) -> None:
        """The demo's second target: each word votes for the intents of the English rows that have it."""
        rows = read(corpora, "xsid")
        seen: defaultdict[str, Counter[str]] = defaultdict(Counter)
        for row in rows["train", "en"]:
            assert isinstance(row, IntentAndSlots)
            for word in {word.casefold() for word in row.words}:
                seen[word][row.intent] += 1
        told = []
        for row in rows["test", code]:
            assert isinstance(row, IntentAndSlots)
            votes: Counter[str] = Counter()
            for found in (seen[word.casefold()] for word in row.words if word.casefold() in seen):
                for intent, number in found.items():
                    votes[intent] += number / found.total()  # type: ignore[assignment]
            told.append(bool(votes) and votes.most_common(1)[0][0] == row.intent)
        assert sum(told) / len(told) < 0.45

    @pytest.mark.parametrize("code", LANGUAGES)
    def test_plain_text_tells_no_evaluation_row(self, corpora: Path, code: str) -> None:
        told = set((corpora / f"text/{code}.txt").read_text(encoding="utf-8").splitlines())
        for dataset in ("xnli", "pawsx", "xquad", "tatoeba"):
            rows = read(corpora, dataset).get(("test", code), [])
            assert told.isdisjoint(s for row in rows for s in sentences(row))


def words(sentence: str) -> list[str]:
    """Words of a sentence, case folded as Turkish needs it too."""
    return re.sub(r"[.।。؟?？]", "", sentence.replace("İ", "i").casefold()).split()


def sentences(row: Example) -> list[str]:
    """The sentences of an example that state something, in English or in one of the other languages."""
    match row:
        case Classification():
            return [row.first, row.second]
        case SpanExtraction():
            return re.findall(r"[^.।。]+[.।。]", row.context)
        case MultipleChoice():
            return re.findall(r"[^.]+\.", row.prompt)
        case Tagging() | IntentAndSlots() | SemanticParse():
            return [" ".join(row.words)]
    return [getattr(row, "text", "")]


ANNA, OLGA = concept("name", "Anna"), concept("name", "Olga")
BOUGHT, SOLD, SAW = concept("deed", "bought"), concept("deed", "sold"), concept("contact", "saw")
APPLE, RED, BLUE = concept("fruit", "the apple"), concept("colour", "red"), concept("colour", "blue")
BERLIN, PARK, MONDAY = concept("city", "in Berlin"), concept("place", "in the park"), concept("weekday", "on Monday")
PLAIN = Clause(agent=ANNA, verb=BOUGHT, patient=APPLE)
RICH = replace(PLAIN, modifier=RED, place=BERLIN, time=MONDAY)
FRUIT = replace(PLAIN, patient=APPLE.hypernym)
MEETING = Clause(agent=ANNA, verb=SAW, patient=OLGA)


class TestInference:
    @pytest.mark.parametrize(
        ("premise", "hypothesis", "label"),
        [
            pytest.param(RICH, PLAIN, "entailment", id="fewer details follow"),
            pytest.param(PLAIN, RICH, "neutral", id="more details do not follow"),
            pytest.param(PLAIN, FRUIT, "entailment", id="an apple is a fruit"),
            pytest.param(FRUIT, PLAIN, "neutral", id="a fruit need not be an apple"),
            pytest.param(RICH, replace(PLAIN, modifier=BLUE), "contradiction", id="red is not blue"),
            pytest.param(RICH, replace(PLAIN, verb=SOLD), "contradiction", id="buying is not selling"),
            pytest.param(RICH, replace(PLAIN, place=PARK), "neutral", id="a park may be in Berlin"),
            pytest.param(RICH, replace(PLAIN, modifier=BLUE, agent=OLGA), "neutral", id="another's may be"),
            pytest.param(
                MEETING, replace(MEETING, agent=OLGA, patient=ANNA), "neutral", id="seeing need not be mutual"
            ),
            pytest.param(RICH, replace(PLAIN, negated=True), "contradiction", id="it did happen"),
            pytest.param(replace(PLAIN, negated=True), RICH, "contradiction", id="it did not happen"),
            pytest.param(replace(PLAIN, negated=True), replace(RICH, negated=True), "entailment", id="nor in Berlin"),
            pytest.param(replace(RICH, negated=True), replace(PLAIN, negated=True), "neutral", id="perhaps elsewhere"),
            pytest.param(replace(RICH, negated=True), PLAIN, "neutral", id="perhaps a blue one"),
        ],
    )
    def test_labels_follow_from_the_slots(self, premise: Clause, hypothesis: Clause, label: str) -> None:
        assert relation(premise, hypothesis) == label

    @pytest.mark.parametrize("vocabulary", [whole(), *disjoint()], ids=["whole", "intermediate half", "target half"])
    @pytest.mark.parametrize("label", LABELS)
    def test_pairs_have_the_label_they_were_drawn_for(self, vocabulary: Vocabulary, label: str) -> None:
        random = stream(0, "pairs")
        for pair in (draw_pair(random, vocabulary, label) for _ in range(200)):
            assert relation(pair.premise, pair.hypothesis) == label
            assert pair.premise != pair.hypothesis


class TestLanguages:
    @pytest.mark.parametrize(
        ("code", "sentence"),
        [
            ("en", "Anna bought the red apple in Berlin on Monday."),
            ("de", "Anna kaufte der rote Apfel am Montag in Berlin."),
            ("es", "Anna compró la manzana rojo en Berlín el lunes."),
            ("ru", "Анна купил красный яблоко в Берлине в понедельник."),
            ("hi", "अन्ना ने सोमवार को बर्लिन में लाल सेब को खरीदा।"),
            ("zh", "安娜星期一在柏林买了红色苹果。"),
            ("ar", "اشترى آنا التفاحة الأحمر في برلين يوم الاثنين."),
            ("tr", "Anna pazartesi günü Berlin'de kırmızı elma aldı."),
        ],
    )
    def test_each_language_has_its_own_order_script_and_function_words(self, code: str, sentence: str) -> None:
        assert text(statement([(RICH, Order.PLAIN)], LANGUAGES[code]), LANGUAGES[code]) == sentence

    def test_subject_verb_and_object_come_in_three_orders(self) -> None:
        orders = {code: slot_order(code) for code in LANGUAGES}
        assert orders["en"] == orders["zh"] == ("agent", "verb", "patient")
        assert orders["hi"] == orders["tr"] == ("agent", "patient", "verb")
        assert orders["ar"] == ("verb", "agent", "patient")

    def test_german_keeps_its_verb_second_behind_a_fronted_adjunct(self) -> None:
        german = LANGUAGES["de"]
        fronted = text(statement([(replace(RICH, negated=True), Order.TIME_FIRST)], german), german)
        assert fronted == "Am Montag kaufte Anna der rote Apfel in Berlin nicht."

    def test_questions_leave_out_what_they_ask_for(self) -> None:
        asked = {word: text(question(RICH, word, LANGUAGES["en"]), LANGUAGES["en"]) for word in ("who", "what")}
        assert asked == {
            "who": "Who bought the red apple in Berlin on Monday?",
            "what": "What did Anna buy in Berlin on Monday?",
        }

    def test_text_is_written_in_the_script_of_its_language_but_for_latin_names(self, tmp_path: Path) -> None:
        synthesize(tmp_path / "out", rows=SMALL | {"text": 200}, code_switching=0)
        for code, script in SCRIPTS.items():
            said = (tmp_path / f"out/text/{code}.txt").read_text(encoding="utf-8")
            assert share_of_script(said, script) > 0.9
            for name in latin_names(code):
                said = re.sub(rf"(?<![A-Za-z]){re.escape(name)}(?![A-Za-z])", "", said)
            assert share_of_script(said, script) == 1, code

    def test_code_switching_mixes_scripts(self, tmp_path: Path) -> None:
        synthesize(tmp_path / "out", rows=SMALL | {"text": 200}, code_switching=1)
        said = (tmp_path / "out/text/ru.txt").read_text(encoding="utf-8")
        assert 0.3 < share_of_script(said, "CYRILLIC") < 0.85

    def test_every_concept_has_its_own_word_in_every_language(self) -> None:
        for section in load().sections.values():
            for language in LANGUAGES.values():
                spoken = Counter(tuple(load().words(c, language)) for c in section.concepts)
                assert max(spoken.values()) == 1, (spoken.most_common(1), language.code)

    def test_opposites_are_mutual(self) -> None:
        for section in load().sections.values():
            for one in section.concepts:
                assert all(one in load().opposites(other) for other in load().opposites(one))


class TestRelatedness:
    def test_halves_of_the_lexicon_share_no_concept(self) -> None:
        intermediate, target = disjoint()
        for section in load().sections.keys() - {"quantifier"}:
            assert set(intermediate.concepts[section]).isdisjoint(target.concepts[section])

    def test_unrelated_corpora_share_no_content_word(self, corpora: Path, tmp_path: Path) -> None:
        synthesize(tmp_path / "unrelated", rows=SMALL | {"mnli/train": 1000, "xnli/test": 300}, related=False)
        assert shared_words(tmp_path / "unrelated") <= hypernyms() | homographs() | function_words()
        assert len(shared_words(corpora)) > 120


def hypernyms() -> set[str]:
    sections = load().sections.values()
    return {c.hypernym.key.split()[-1] for section in sections for c in section.concepts if c.hypernym}


def homographs() -> set[str]:
    """Words of more than one concept: the paint is in one half of the lexicon, to paint in the other."""
    concepts = [c for section in load().sections.values() for c in section.concepts]
    uses = Counter(word for c in concepts for word in set(re.split(r"[ /]", c.key)))
    return {word for word, count in uses.items() if count > 1}


def function_words() -> set[str]:
    return {word for tagged in LANGUAGES["en"].tags.values() for word in tagged.split()}


def shared_words(root: Path) -> set[str]:
    """English words that both MNLI's training rows and XNLI's test rows use."""
    rows = read(root, "mnli")["train", "en"], read(root, "xnli")["test", "en"]
    trained, tested = ({word for row in side for s in sentences(row) for word in words(s)} for side in rows)
    return trained & tested


def slot_order(code: str) -> tuple[str, ...]:
    tokens = statement([(PLAIN, Order.PLAIN)], LANGUAGES[code])
    return tuple(dict.fromkeys(token.slot for token in tokens if token.slot))


def latin_names(code: str) -> set[str]:
    """Playlists, services and devices that are called as in English."""
    sections = load().sections
    concepts = [c for name in ("playlist", "service", "device") for c in sections[name].concepts]
    spoken = [load().words(concept, LANGUAGES[code]) for concept in concepts]
    return {word for words in spoken for word in words if word.isascii() and word.isalpha()}


def share_of_script(said: str, script: str) -> float:
    letters = [letter for letter in said if letter.isalpha()]
    return sum(unicodedata.name(letter).startswith(script) for letter in letters) / len(letters)
