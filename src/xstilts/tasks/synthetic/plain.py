"""Text without labels: lines for tokenizers and masked-language-model pretraining, and Tatoeba's parallel sentences.

Languages share what real corpora share: digits, punctuation, names and borrowed words. Lines keep to a topic: a passage
goes on about the people, things and places of its first statement, a session about what was asked first. A share of the
lines is code switched, with English as the other language: constituents of a statement, in the word order of the line's
own language, or whole requests. So translations of one another occur in the same contexts and near each other, from
which a tiny encoder aligns languages soon; no line pairs a sentence with its translation.
"""

from collections.abc import Callable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from random import Random
from typing import TypeVar

from xstilts.tasks.synthetic.grammar import Clause, Sentence, Switch, Token, question, statement, text
from xstilts.tasks.synthetic.languages import ENGLISH, Language
from xstilts.tasks.synthetic.reading import ANSWERS, draw_fact
from xstilts.tasks.synthetic.tagging import Assertion, draw_clause
from xstilts.tasks.synthetic.utterances import Request, draw_request
from xstilts.tasks.synthetic.vocabulary import Vocabulary
from xstilts.tasks.synthetic.writing import write_lines

Meaning = TypeVar("Meaning", Clause, Request)

SWITCHED_CONSTITUENTS = 0.5
"""Chance of each constituent of a code-switched line to come from another language."""
KEPT_CONSTITUENTS = 0.6
"""Chance of each constituent of a statement to come again in the next one of a passage."""
CONSTITUENTS = ("agent", "verb", "patient", "modifier", "manner", "place", "time")


@dataclass(frozen=True, kw_only=True, slots=True)
class Narrator:
    """Draws lines of one language."""

    random: Random
    vocabulary: Vocabulary
    language: Language
    others: Sequence[Language]
    """Languages to switch to: English, and all others in English text."""
    code_switching: float
    """Share of code-switched lines among those that can be."""
    held_out: AbstractSet[object]
    """Meanings that must not be told: those of evaluation rows."""

    def line(self) -> str:
        """A statement, two of them about the same, a question, or two requests for the same."""
        kind = self.random.choices(("statement", "passage", "question", "session"), (10, 40, 5, 45))[0]
        match kind:
            case "question":
                return text(self._question(), self.language)
            case "session":
                return self._session()
            case _:
                return text(self._statements(2 if kind == "passage" else 1), self.language)

    def _question(self) -> Sentence:
        """A question about a fact, without its answer."""
        fact = draw_fact(self.random, self.vocabulary)
        return question(fact, self.random.choice(tuple(ANSWERS)), self.language)

    def _session(self) -> str:
        """Two requests of one intent in different words, with the same fillers where both have the slot."""
        first, second = self._requests()
        spoken = self.random.choice(self.others) if self._switches() else self.language
        return f"{text(first.tokens(self.language), self.language)} {text(second.tokens(spoken), spoken)}"

    def _requests(self) -> tuple[Request, Request]:
        while True:
            first = draw_request(self.random, self.vocabulary)
            second = draw_request(self.random, self.vocabulary, like=first).filled_as(first)
            if self.held_out.isdisjoint((first, second)):
                return first, second

    def _statements(self, num_sentences: int) -> list[Token]:
        clause = self._told(lambda: draw_clause(self.random, self.vocabulary))
        tokens: list[Token] = []
        for _ in range(num_sentences):
            order = self.vocabulary.order(self.random, clause)
            tokens += statement([(clause, order)], self.language, switch=self._switch())
            clause = self._told(partial(self._next, clause))
        return tokens

    def _next(self, clause: Clause) -> Clause:
        """Goes on about the same: some constituents are exchanged for others of their kind."""
        said = {slot: concept for slot in CONSTITUENTS if (concept := getattr(clause, slot))}
        changed = [slot for slot in said if self.random.random() >= KEPT_CONSTITUENTS]
        return clause.with_slots({slot: self.vocabulary.pick(self.random, said[slot].section) for slot in changed})

    def _told(self, draw: Callable[[], Meaning]) -> Meaning:
        """The first draw that no evaluation row means."""
        while (meaning := draw()) in self.held_out:
            pass
        return meaning

    def _switches(self) -> bool:
        return bool(self.others) and self.random.random() < self.code_switching

    def _switch(self) -> Switch:
        if not self._switches():
            return {}
        switched = [slot for slot in CONSTITUENTS if self.random.random() < SWITCHED_CONSTITUENTS]
        return {slot: self.random.choice(self.others) for slot in switched}


def write_text(path: Path, narrator: Narrator, num_lines: int) -> None:
    """Plain text, one line each; lines may recur."""
    write_lines(path, (narrator.line() for _ in range(num_lines)))


def write_bucc(folder: Path, split: str, meanings: Sequence[Assertion], language: Language) -> None:
    """BUCC's two corpora and their gold pairs: two thirds of the meanings in either language, a third in both.

    The English sentences stand in the order of their words, so that places tell nothing.
    """
    third = len(meanings) // 3
    foreign = {f"{language.code}-{number:09d}": meaning for number, meaning in enumerate(meanings[: 2 * third], 1)}
    ordered = sorted(meanings[third:], key=lambda meaning: meaning.tokens(ENGLISH))
    english = {f"{ENGLISH.code}-{number:09d}": meaning for number, meaning in enumerate(ordered, 1)}
    name = f"{language.code}-{ENGLISH.code}.{split}"
    for side, sentences in ((language, foreign), (ENGLISH, english)):
        lines = (f"{identity}\t{text(meaning.tokens(side), side)}" for identity, meaning in sentences.items())
        write_lines(folder / f"{name}.{side.code}", lines)
    ids = {meaning: identity for identity, meaning in english.items()}
    pairs = (f"{identity}\t{ids[meaning]}" for identity, meaning in foreign.items() if meaning in ids)
    write_lines(folder / f"{name}.gold", pairs)


def write_tatoeba(folder: Path, pairs: Sequence[Assertion], language: Language) -> None:
    """Tatoeba's two aligned files, as LASER publishes them."""
    for side in (language, ENGLISH):
        path = folder / f"tatoeba.{language.iso3}-{ENGLISH.iso3}.{side.iso3}"
        write_lines(path, (text(pair.tokens(side), side) for pair in pairs))
