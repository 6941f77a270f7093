"""Duplicate questions: QQP (English), pairs of questions of which half ask the same.

The second question has an opening of its own, whatever the label. Those that ask something else differ in one
constituent: another agent, place or time.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from random import Random

from xstilts.tasks.synthetic.grammar import Clause, question, text
from xstilts.tasks.synthetic.languages import ENGLISH
from xstilts.tasks.synthetic.reading import ANSWERS, draw_fact
from xstilts.tasks.synthetic.vocabulary import Vocabulary
from xstilts.tasks.synthetic.writing import write_tsv

OPENINGS = ("Tell me:", "Who knows this?", "I wonder:", "A short question:")


@dataclass(frozen=True, slots=True)
class QuestionPair:
    """Two questions with the same interrogative, each about a fact."""

    first: Clause
    second: Clause
    interrogative: str
    opening: str

    @property
    def sentences(self) -> list[str]:
        """The questions without openings: different facts may make the same question."""
        return [text(question(fact, self.interrogative, ENGLISH), ENGLISH) for fact in (self.first, self.second)]


def draw_question_pair(random: Random, vocabulary: Vocabulary, *, duplicate: bool) -> QuestionPair:
    """A pair with the given label."""
    fact, interrogative = draw_fact(random, vocabulary), random.choice(tuple(ANSWERS))
    other = fact if duplicate else _changed(random, vocabulary, fact, interrogative)
    return QuestionPair(fact, other, interrogative, random.choice(OPENINGS))


def write_qqp(path: Path, pairs: Iterable[QuestionPair]) -> None:
    """GLUE's unquoted TSV with header."""
    lines = [["id", "qid1", "qid2", "question1", "question2", "is_duplicate"]]
    for index, pair in enumerate(pairs):
        first, second = pair.sentences
        label = str(int(pair.first == pair.second))
        lines.append([str(index), str(2 * index + 1), str(2 * index + 2), first, f"{pair.opening} {second}", label])
    write_tsv(path, lines)


def _changed(random: Random, vocabulary: Vocabulary, fact: Clause, interrogative: str) -> Clause:
    """Another fact, which differs in what the question says."""
    slot = random.choice([slot for slot in ("agent", "place", "time") if slot not in ANSWERS[interrogative]])
    while True:
        filler = vocabulary.pick(random, "name") if slot == "agent" else vocabulary.detail(random, slot)
        changed = fact.with_slots({slot: filler})
        if changed != fact and changed.agent != changed.patient:
            return changed
