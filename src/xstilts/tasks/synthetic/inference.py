"""Natural language inference: MNLI, SNLI, ANLI and XNLI, with labels that follow from slots of clauses.

Hypotheses are drawn first and premises are made to fit the label, so that a hypothesis alone says nothing about its
label. As in SNLI and MNLI, both sentences are taken to describe one event: two days, places or colours exclude each
other. Different agents or patients do not; "Anna saw Olga" leaves open whether Olga saw Anna.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from random import Random

from xstilts.tasks.synthetic import lexicon
from xstilts.tasks.synthetic.grammar import Clause, Order, statement, text
from xstilts.tasks.synthetic.languages import ENGLISH, Language
from xstilts.tasks.synthetic.lexicon import PEOPLE, THINGS, Concept
from xstilts.tasks.synthetic.vocabulary import Vocabulary
from xstilts.tasks.synthetic.writing import write_json_lines, write_tsv

LABELS = ("entailment", "neutral", "contradiction")
DETAILS = ("modifier", "manner", "place", "time")
SLOTS = tuple(field.name for field in fields(Clause) if field.name not in ("negated", "quantifier"))
NEGATED_HYPOTHESES = 0.15

_PARSES = ("sentence1_binary_parse", "sentence2_binary_parse", "sentence1_parse", "sentence2_parse")
_ANNOTATORS = ("label1", "label2", "label3", "label4", "label5")
_MNLI_COLUMNS = ("index", "promptID", "pairID", "genre", *_PARSES, "sentence1", "sentence2")
_XNLI_COLUMNS = (
    *("language", "gold_label", *_PARSES, "sentence1", "sentence2", "promptID", "pairID", "genre"),
    *(*_ANNOTATORS, "sentence1_tokenized", "sentence2_tokenized", "match"),
)


@dataclass(frozen=True, slots=True)
class Pair:
    """Premise, hypothesis, each with its word order, and the label."""

    premise: Clause
    hypothesis: Clause
    orders: tuple[Order, Order]
    label: str

    @property
    def sentences(self) -> tuple[Clause, Clause]:
        """Meanings: no two splits share one, in whatever order."""
        return self.premise, self.hypothesis

    def texts(self, language: Language) -> tuple[str, str]:
        """Premise and hypothesis in a language."""
        first, second = (
            text(statement([(clause, order)], language), language)
            for clause, order in zip(self.sentences, self.orders, strict=True)
        )
        return first, second


def relation(premise: Clause, hypothesis: Clause) -> str:
    """The label of a pair: monotonicity over slots, with polarity."""
    if not premise.negated and not hypothesis.negated:
        return _positive_relation(premise, hypothesis)
    if premise.negated and hypothesis.negated:
        return "entailment" if _implies(hypothesis, premise) else "neutral"
    positive, negative = (hypothesis, premise) if premise.negated else (premise, hypothesis)
    return "contradiction" if _implies(positive, negative) else "neutral"


def draw_pair(random: Random, vocabulary: Vocabulary, label: str) -> Pair:
    """A pair with the given label."""
    hypothesis = _draw_hypothesis(random, vocabulary)
    while True:
        premise = _draw_premise(random, vocabulary, hypothesis, label)
        if premise != hypothesis and relation(premise, hypothesis) == label:
            break
    orders = vocabulary.order(random, premise), vocabulary.order(random, hypothesis)
    return Pair(premise, hypothesis, orders, label)


def details_of(clause: Clause) -> tuple[str, ...]:
    """The optional slots that suit a clause: a person has neither colour nor size."""
    person = clause.patient is None or clause.patient.section in PEOPLE
    return DETAILS[1:] if person else DETAILS


def write_mnli(path: Path, pairs: Sequence[Pair], language: Language = ENGLISH, *, num_annotators: int) -> None:
    """GLUE's unquoted TSV: one annotator a pair in train, five in dev. A translation has the same ids and labels."""
    lines: list[Sequence[str]] = [(*_MNLI_COLUMNS, *_ANNOTATORS[:num_annotators], "gold_label")]
    for index, pair in enumerate(pairs):
        identity = [str(index), str(index), f"{index}{pair.label[0]}", "synthetic", "", "", "", ""]
        lines.append([*identity, *pair.texts(language), *[pair.label] * (num_annotators + 1)])
    write_tsv(path, lines)


def write_snli(path: Path, pairs: Sequence[Pair]) -> None:
    """SNLI's JSON lines, without parses."""
    write_json_lines(path, (_snli_line(index, pair) for index, pair in enumerate(pairs)))


def _snli_line(index: int, pair: Pair) -> dict[str, object]:
    first, second = pair.texts(ENGLISH)
    return {
        "annotator_labels": [pair.label],
        "captionID": f"{index}.jpg#0",
        "gold_label": pair.label,
        "pairID": f"{index}.jpg#0r1{pair.label[0]}",
        "sentence1": first,
        "sentence2": second,
    }


def write_anli(path: Path, pairs: Sequence[Pair], *, prefix: str) -> None:
    """ANLI's JSON lines; `prefix` begins the ids."""
    write_json_lines(path, (_anli_line(f"{prefix}-{index}", pair) for index, pair in enumerate(pairs)))


def _anli_line(uid: str, pair: Pair) -> dict[str, object]:
    context, hypothesis = pair.texts(ENGLISH)
    return {
        "uid": uid,
        "context": context,
        "hypothesis": hypothesis,
        "label": pair.label[0],
        "model_label": LABELS[LABELS.index(pair.label) - 1][0],
        "emturk": False,
        "genre": "synthetic",
        "reason": "",
        "tag": "",
    }


def write_xnli(path: Path, pairs: Sequence[Pair], languages: Sequence[Language]) -> None:
    """XNLI's TSV of 19 columns: every language in turn, the same pairs in the same order."""
    lines: list[Sequence[str]] = [_XNLI_COLUMNS]
    for language in languages:
        for index, pair in enumerate(pairs, start=1):
            texts = pair.texts(language)
            identity = [str(index), str(index), "synthetic", *[pair.label] * 5]
            lines.append([language.code, pair.label, "", "", "", "", *texts, *identity, *texts, "True"])
    write_tsv(path, lines)


def _positive_relation(premise: Clause, hypothesis: Clause) -> str:
    if _implies(premise, hypothesis):
        return "entailment"
    words = lexicon.load()
    mismatched = [(a, b) for a, b in _filled(premise, hypothesis) if a is None or not _is_a(a, b)]
    excluded = [a is not None and words.exclusive(a, b) for a, b in mismatched]
    return "contradiction" if all(excluded) else "neutral"


def _implies(specific: Clause, general: Clause) -> bool:
    """Whether one event, whatever its polarity, is a case of the other."""
    return all(a is not None and _is_a(a, b) for a, b in _filled(specific, general))


def _filled(specific: Clause, general: Clause) -> list[tuple[Concept | None, Concept]]:
    """What `specific` says of each slot that `general` fills."""
    return [(getattr(specific, slot), getattr(general, slot)) for slot in SLOTS if getattr(general, slot)]


def _is_a(specific: Concept, general: Concept) -> bool:
    return general in (specific, specific.hypernym)


def _draw_hypothesis(random: Random, vocabulary: Vocabulary) -> Clause:
    """One or two details, so that there is something to leave open and something to add."""
    clause = vocabulary.event(random)
    slots = random.sample(details_of(clause), random.choice((1, 1, 2)))
    clause = clause.with_slots({slot: vocabulary.detail(random, slot) for slot in slots})
    if clause.patient and clause.patient.hypernym and random.random() < 0.25:
        clause = replace(clause, patient=clause.patient.hypernym)
    return replace(clause, negated=random.random() < NEGATED_HYPOTHESES)


def _draw_premise(random: Random, vocabulary: Vocabulary, hypothesis: Clause, label: str) -> Clause:
    """A premise that probably has the label; `relation` has the last word."""
    if hypothesis.negated:
        return _premise_of_negation(random, vocabulary, hypothesis, label)
    specific = _narrowed(random, vocabulary, hypothesis)
    flip = random.random() < 0.15
    match label:
        case "entailment":
            return specific
        case "contradiction":
            negation = replace(_widened(random, hypothesis), negated=True)
            return negation if flip else _contrasted(random, vocabulary, specific, hypothesis)
        case _:
            return replace(specific, negated=True) if flip else _loosened(random, specific, hypothesis)


def _premise_of_negation(random: Random, vocabulary: Vocabulary, hypothesis: Clause, label: str) -> Clause:
    specific = _narrowed(random, vocabulary, hypothesis)
    match label:
        case "entailment":
            return _widened(random, hypothesis)
        case "contradiction":
            return replace(specific, negated=False)
        case _:
            return random.choice((specific, replace(_loosened(random, specific, hypothesis), negated=False)))


def _narrowed(random: Random, vocabulary: Vocabulary, clause: Clause) -> Clause:
    """The clause with one or two more details, and an instance in place of a hypernym."""
    patient = clause.patient
    if patient and patient.hypernym is None and patient.section in (*THINGS, "animal", "profession"):
        instances = [concept for concept in vocabulary.concepts[patient.section] if concept.hypernym == patient]
        patient = random.choice(instances or [patient])
    free = [slot for slot in details_of(clause) if getattr(clause, slot) is None]
    added = random.sample(free, min(len(free), random.choice((1, 2))))
    return clause.with_slots({"patient": patient} | {slot: vocabulary.detail(random, slot) for slot in added})


def _widened(random: Random, clause: Clause) -> Clause:
    """The clause without one of its details."""
    return clause.with_slots({random.choice([slot for slot in DETAILS if getattr(clause, slot)]): None})


def _contrasted(random: Random, vocabulary: Vocabulary, specific: Clause, hypothesis: Clause) -> Clause:
    """The specific clause with one slot of the hypothesis turned into its opposite."""
    contrasts = {
        slot: vocabulary.opposites(getattr(hypothesis, slot))
        for slot in ("verb", *DETAILS)
        if getattr(hypothesis, slot)
    }
    slot = random.choice([slot for slot, opposites in contrasts.items() if opposites])
    return specific.with_slots({slot: random.choice(contrasts[slot])})


def _loosened(random: Random, specific: Clause, hypothesis: Clause) -> Clause:
    """The specific clause without something that the hypothesis says."""
    chance = random.random()
    if specific.patient and specific.patient.section in PEOPLE and chance < 0.6:
        return replace(specific, agent=specific.patient, patient=specific.agent)
    if hypothesis.patient and hypothesis.patient.hypernym and chance < 0.3:
        return replace(specific, patient=hypothesis.patient.hypernym)
    said = [slot for slot in DETAILS if getattr(hypothesis, slot)]
    return specific.with_slots({random.choice(said): None})
