"""From meaning to text: clauses (who did what to whom, how, where, when) and their linearisation in each language."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, NamedTuple

from xstilts.tasks.synthetic import lexicon
from xstilts.tasks.synthetic.languages import Language
from xstilts.tasks.synthetic.lexicon import PEOPLE, Concept


class Order(StrEnum):
    """Which constituent opens a statement."""

    PLAIN = "plain"
    TIME_FIRST = "time-first"
    PLACE_FIRST = "place-first"


@dataclass(frozen=True, kw_only=True, slots=True)
class Clause:
    """One event, the same in every language. `modifier` belongs to the patient, `quantifier` to the agent."""

    agent: Concept
    verb: Concept
    patient: Concept | None = None
    modifier: Concept | None = None
    manner: Concept | None = None
    place: Concept | None = None
    time: Concept | None = None
    negated: bool = False
    quantifier: Concept | None = None

    def with_slots(self, slots: Mapping[str, Concept | None]) -> "Clause":
        """The clause with other fillers of some slots."""
        changes: dict[str, Any] = dict(slots)
        return replace(self, **changes)


class Token(NamedTuple):
    """One word of a sentence. `slot` is the field of the clause that it comes from, empty for grammar's own words."""

    text: str
    tag: str
    slot: str = ""


Sentence = tuple[Token, ...]
Switch = Mapping[str, Language]
"""Code switching: the fields of the clause whose words come from another language."""

OPENING, PUNCTUATION = "¿", frozenset(".?।。？؟,")
FIRST_IDEOGRAPH = "\u2e80"


def statement(clauses: Iterable[tuple[Clause, Order]], language: Language, *, switch: Switch | None = None) -> Sentence:
    """One sentence that asserts all clauses, joined by `and`."""
    tokens: list[Token] = []
    for clause, order in clauses:
        if tokens:
            tokens.append(Token(language.conjunction, "CCONJ"))
        tokens.extend(_fill(_pattern(language, order), clause, language, switch or {}))
    return _finish(tokens, language, language.stop)


def question(clause: Clause, interrogative: str, language: Language) -> Sentence:
    """The question that `interrogative` (who, what, where, when) asks about a clause."""
    tokens = _fill(language.questions[interrogative], clause, language, {})
    return _finish(list(tokens), language, language.question_mark)


def text(tokens: Sequence[Token], language: Language) -> str:
    """Raw text of one sentence or of several in a row."""
    return spell(tokens, language)[0]


def spell(tokens: Sequence[Token], language: Language) -> tuple[str, list[int]]:
    """Raw text, and where each token starts in it, in code points."""
    written, starts = "", []
    for token in tokens:
        written += _gap(written, token.text, language)
        starts.append(len(written))
        written += token.text
    return written, starts


def noun_phrase(noun: list[Token], modifier: list[Token], language: Language) -> list[Token]:
    """Article, adjective and noun in the order of the language."""
    article = [token for token in noun if token.tag == "DET"]
    head = [token for token in noun if token.tag != "DET"]
    return article + (modifier + head if language.adjective_first else head + modifier)


def answer(tokens: Sequence[Token], slots: Iterable[str]) -> tuple[int, int]:
    """First and last token of the words of `slots`, without adpositions at either end."""
    wanted = set(slots)
    found = [i for i, token in enumerate(tokens) if token.slot in wanted and token.tag != "ADP"]
    return found[0], found[-1]


def _pattern(language: Language, order: Order) -> str:
    patterns = {Order.TIME_FIRST: language.time_first, Order.PLACE_FIRST: language.place_first}
    return patterns.get(order, language.plain)


def _fill(pattern: str, clause: Clause, language: Language, switch: Switch) -> Iterator[Token]:
    for item in pattern.split():
        match item:
            case "S":
                yield from _subject(clause, language, switch)
            case "O":
                yield from _object(clause, language, switch)
            case "V" | "B":
                yield from _words(clause, "verb", language, switch, bare=clause.negated or item == "B")
            case "M":
                yield from _words(clause, "manner", language, switch)
            case "P":
                yield from _words(clause, "place", language, switch)
            case "T":
                yield from _words(clause, "time", language, switch)
            case "N":
                yield from _function_words(language.negation if clause.negated else "", language)
            case _:
                yield from _function_words(item, language)


def _words(clause: Clause, slot: str, language: Language, switch: Switch, *, bare: bool = False) -> Iterator[Token]:
    concept: Concept | None = getattr(clause, slot)
    if concept is None:
        return
    spoken = switch.get(slot, language)
    words = lexicon.load()
    for word in words.words(concept, spoken, negated=bare):
        yield Token(word, words.tag(word, concept, spoken), slot)


def _function_words(words: str, language: Language) -> Iterator[Token]:
    """Words of the grammar; those that no tag is given for ask a question."""
    for word in words.split():
        unknown = "PUNCT" if word == OPENING else "PRON"
        yield Token(word, lexicon.function_tags(language.code).get(word, unknown))


def _subject(clause: Clause, language: Language, switch: Switch) -> Iterator[Token]:
    noun = list(_words(clause, "agent", language, switch))
    quantifier = list(_words(clause, "quantifier", language, switch))
    yield from quantifier + [token for token in noun if token.tag != "DET"] if quantifier else noun
    if clause.patient is not None:
        yield from _function_words(language.subject_marker, language)


def _object(clause: Clause, language: Language, switch: Switch) -> Iterator[Token]:
    if clause.patient is None:
        return
    if clause.patient.section in PEOPLE:
        yield from _function_words(language.person_marker, language)
    noun = list(_words(clause, "patient", language, switch))
    modifier = list(_words(clause, "modifier", language, switch))
    yield from noun_phrase(noun, modifier, switch.get("patient", language))
    yield from _function_words(language.object_marker, language)


def _finish(tokens: list[Token], language: Language, mark: str) -> Sentence:
    first = 1 if tokens[0].text == OPENING else 0
    tokens[first] = tokens[first]._replace(text=capitalised(tokens[first].text, language))
    return (*tokens, Token(mark, "PUNCT"))


def capitalised(word: str, language: Language) -> str:
    """The word with its first letter in upper case, where the script has case."""
    upper = "İ" if language.code == "tr" and word[0] == "i" else word[0].upper()
    return upper + word[1:]


def _gap(before: str, word: str, language: Language) -> str:
    """The space between text and the next word, if one belongs there."""
    if not before or word in PUNCTUATION or before.endswith(OPENING):
        return ""
    if language.spaces:
        return " "
    both_alphabetic = before[-1].isalnum() and word[0].isalnum()
    return " " if both_alphabetic and max(before[-1], word[0]) < FIRST_IDEOGRAPH else ""
