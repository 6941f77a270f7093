"""Paraphrase identification: PAWS-X, pairs with the same words of which half mean the same.

Both halves move an adjunct or the second clause; those that are no paraphrase also exchange agent and patient.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random

from xstilts.tasks.synthetic.grammar import Clause, Order, statement, text
from xstilts.tasks.synthetic.languages import Language
from xstilts.tasks.synthetic.lexicon import PERSON_VERBS
from xstilts.tasks.synthetic.vocabulary import Vocabulary
from xstilts.tasks.synthetic.writing import write_tsv

CAST = 8
"""People in all pairs: few, so that a tiny encoder meets every two of them often, in either role."""

Statement = tuple[tuple[Clause, Order], ...]


@dataclass(frozen=True, slots=True)
class Rewording:
    """Two sentences of the same words."""

    first: Statement
    second: Statement
    same_meaning: bool

    @property
    def sentences(self) -> list[Clause]:
        """What the two sentences assert."""
        return [clause for side in (self.first, self.second) for clause, _ in side]


def draw_rewording(random: Random, vocabulary: Vocabulary, *, same_meaning: bool) -> Rewording:
    """A pair with one clause or two."""
    clauses = [_draw_clause(random, vocabulary) for _ in range(random.choice((1, 1, 1, 1, 1, 2)))]
    first = tuple((clause, vocabulary.order(random, clause)) for clause in clauses)
    second = _reworded(random, vocabulary, first)
    if not same_meaning:
        changed = random.randrange(len(second))
        second = tuple((_exchanged(c), o) if i == changed else (c, o) for i, (c, o) in enumerate(second))
    return Rewording(first, second, same_meaning)


def write_pawsx(path: Path, rows: Sequence[Rewording], language: Language) -> None:
    """PAWS-X's TSV with header."""
    lines = [["id", "sentence1", "sentence2", "label"]]
    for index, row in enumerate(rows, start=1):
        sentences = [text(statement(side, language), language) for side in (row.first, row.second)]
        lines.append([str(index), *sentences, str(int(row.same_meaning))])
    write_tsv(path, lines)


def _draw_clause(random: Random, vocabulary: Vocabulary) -> Clause:
    """People act on people, by name: only who did it to whom can differ. Place and time are there to be moved."""
    agent, patient = random.sample(vocabulary.concepts["name"][:CAST], 2)
    verb = vocabulary.pick(random, *PERSON_VERBS)
    place, time = vocabulary.detail(random, "place"), vocabulary.detail(random, "time")
    return Clause(agent=agent, verb=verb, patient=patient, place=place, time=time)


def _reworded(random: Random, vocabulary: Vocabulary, original: Statement) -> Statement:
    """The same clauses in another order, of clauses or of constituents."""
    while True:
        second = tuple((clause, vocabulary.order(random, clause)) for clause, _ in original)
        second = second[::-1] if random.random() < 0.5 else second
        if second != original:
            return second


def _exchanged(clause: Clause) -> Clause:
    assert clause.patient is not None
    return replace(clause, agent=clause.patient, patient=clause.agent)
