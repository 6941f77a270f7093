"""Span extraction: SQuAD 1.1 and 2.0 (English), XQuAD (all languages): passages of facts, a question about one.

Agents, patients, places and times of a passage are all different, so that a question has one answer.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random

from xstilts.tasks.synthetic.grammar import Clause, Order, answer, question, spell, statement, text
from xstilts.tasks.synthetic.languages import ENGLISH, Language
from xstilts.tasks.synthetic.vocabulary import Vocabulary
from xstilts.tasks.synthetic.writing import write_json_lines

ANSWERS = {"who": ("agent",), "what": ("patient", "modifier"), "where": ("place",), "when": ("time",)}
"""Interrogative to the fields of the clause that answer it."""


@dataclass(frozen=True, slots=True)
class Passage:
    """Facts with their word orders, and which of them is asked about, by which interrogative."""

    facts: tuple[tuple[Clause, Order], ...]
    asked: int
    interrogative: str

    @property
    def sentences(self) -> list[Clause]:
        """The facts."""
        return [clause for clause, _ in self.facts]

    def question(self, language: Language) -> str:
        """The question, in a language."""
        return text(question(self.facts[self.asked][0], self.interrogative, language), language)

    def context(self, language: Language) -> tuple[str, str, int]:
        """The passage in a language, its span that answers, and where that starts, in code points."""
        tokens = [statement([fact], language) for fact in self.facts]
        before = sum(map(len, tokens[: self.asked]))
        first, last = (before + i for i in answer(tokens[self.asked], ANSWERS[self.interrogative]))
        flat = [token for sentence in tokens for token in sentence]
        written, starts = spell(flat, language)
        return written, written[starts[first] : starts[last] + len(flat[last].text)], starts[first]

    def evasion(self, language: Language) -> str:
        """The passage without the fact that is asked about: the others do not answer for it."""
        tokens = [statement([fact], language) for i, fact in enumerate(self.facts) if i != self.asked]
        return text([token for sentence in tokens for token in sentence], language)


def draw_passage(random: Random, vocabulary: Vocabulary) -> Passage:
    """Three to five facts in random order; a question about one."""
    facts: list[Clause] = []
    wanted = random.choice((3, 3, 4, 5))
    while len(facts) < wanted:
        clause = draw_fact(random, vocabulary)
        if all(_distinct(clause, other) for other in facts):
            facts.append(clause)
    ordered = tuple((clause, vocabulary.order(random, clause)) for clause in facts)
    return Passage(ordered, random.randrange(wanted), random.choice(tuple(ANSWERS)))


def draw_fact(random: Random, vocabulary: Vocabulary) -> Clause:
    """A transitive event with its place and time."""
    clause = vocabulary.event(random)
    place, time = vocabulary.detail(random, "place"), vocabulary.detail(random, "time")
    return replace(clause, place=place, time=time)


def write_squad(path: Path, passages: Iterable[Passage], language: Language) -> None:
    """SQuAD's JSON, one paragraph and one question an article."""
    articles = [_article(index, passage, language) for index, passage in enumerate(passages)]
    write_json_lines(path, [{"data": articles, "version": "1.1"}])


def write_squad_2(path: Path, passages: Iterable[Passage]) -> None:
    """SQuAD 2.0's JSON; every third passage leaves out the fact that its question is about."""
    articles = [_article(i, passage, ENGLISH, answerable=i % 3 != 0) for i, passage in enumerate(passages)]
    write_json_lines(path, [{"data": articles, "version": "v2.0"}])


def _article(index: int, passage: Passage, language: Language, *, answerable: bool | None = None) -> dict[str, object]:
    context, span, start = passage.context(language)
    # SQuAD's ids are 24 hex digits; the same id stands for the same row in every language, as in XQuAD.
    asked: dict[str, object] = {"id": f"{index:024x}", "question": passage.question(language)}
    asked["answers"] = [{"answer_start": start, "text": span}]
    if answerable is not None:
        asked["is_impossible"] = not answerable
    if answerable is False:
        context, asked["answers"] = passage.evasion(language), []
    return {"title": f"Synthetic_{index}", "paragraphs": [{"context": context, "qas": [asked]}]}


def _distinct(one: Clause, other: Clause) -> bool:
    """No participant, place or time in common: then every question has one answer."""
    people = {one.agent, one.patient}.isdisjoint({other.agent, other.patient})
    return people and one.place != other.place and one.time != other.time
