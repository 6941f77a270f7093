"""Text without labels: lines for tokenizers and masked-language-model pretraining, and Tatoeba's parallel sentences.

Languages share what real corpora share: digits, punctuation, names and borrowed words. A share of the lines is code
switched: about half of the constituents of a line come from another language, in the word order of the line's own.
That makes translations of one another occur in the same contexts, from which a tiny encoder aligns languages soon.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

from xstilts.tasks.synthetic.grammar import Sentence, Switch, Token, question, statement, text
from xstilts.tasks.synthetic.languages import ENGLISH, Language
from xstilts.tasks.synthetic.reading import ANSWERS, draw_fact
from xstilts.tasks.synthetic.tagging import Assertion, draw_assertion
from xstilts.tasks.synthetic.utterances import Request, draw_request
from xstilts.tasks.synthetic.vocabulary import Vocabulary
from xstilts.tasks.synthetic.writing import write_lines

SWITCHED_CONSTITUENTS = 0.5
"""Chance of each constituent of a code-switched line to come from another language."""
CONSTITUENTS = ("agent", "verb", "patient", "modifier", "manner", "place", "time")


@dataclass(frozen=True, kw_only=True, slots=True)
class Narrator:
    """Draws lines of one language."""

    random: Random
    vocabulary: Vocabulary
    language: Language
    others: Sequence[Language]
    """Languages to switch to."""
    code_switching: float
    """Share of code-switched lines among those that can be."""
    held_out: Collection[object]
    """Meanings that must not be told: those of evaluation rows."""

    def line(self) -> str:
        """A statement, some statements in a row, a question or a request."""
        kind = self.random.choices(("statement", "passage", "question", "request"), (50, 25, 10, 15))[0]
        match kind:
            case "question":
                return text(self._question(), self.language)
            case "request":
                return text(self._request().tokens(self.language), self.language)
            case _:
                return text(self._statements(self.random.choice((2, 3)) if kind == "passage" else 1), self.language)

    def _question(self) -> Sentence:
        """A question about a fact, without its answer."""
        fact = draw_fact(self.random, self.vocabulary)
        return question(fact, self.random.choice(tuple(ANSWERS)), self.language)

    def _request(self) -> Request:
        while True:
            request = draw_request(self.random, self.vocabulary)
            if request not in self.held_out:
                return request

    def _statements(self, num_sentences: int) -> list[Token]:
        switch = self._switch()
        said = [self._assertion() for _ in range(num_sentences)]
        return [token for one in said for token in statement(one.clauses, self.language, switch=switch)]

    def _assertion(self) -> Assertion:
        while True:
            assertion = draw_assertion(self.random, self.vocabulary)
            if not any(clause in self.held_out for clause, _ in assertion.clauses):
                return assertion

    def _switch(self) -> Switch:
        if not self.others or self.random.random() >= self.code_switching:
            return {}
        switched = [slot for slot in CONSTITUENTS if self.random.random() < SWITCHED_CONSTITUENTS]
        return {slot: self.random.choice(self.others) for slot in switched}


def write_text(path: Path, narrator: Narrator, num_lines: int) -> None:
    """Plain text, one line each; lines may recur."""
    write_lines(path, (narrator.line() for _ in range(num_lines)))


def write_tatoeba(folder: Path, pairs: Sequence[Assertion], language: Language) -> None:
    """Tatoeba's two aligned files, as LASER publishes them."""
    for side in (language, ENGLISH):
        path = folder / f"tatoeba.{language.iso3}-{ENGLISH.iso3}.{side.iso3}"
        write_lines(path, (text(pair.tokens(side), side) for pair in pairs))
