"""Multiple choice (English): Cosmos QA, about a passage, and CommonsenseQA, about what is a kind of what."""

import csv
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random

from xstilts.tasks.synthetic import lexicon
from xstilts.tasks.synthetic.grammar import Clause
from xstilts.tasks.synthetic.languages import ENGLISH
from xstilts.tasks.synthetic.lexicon import THINGS, Concept
from xstilts.tasks.synthetic.reading import Passage, draw_passage
from xstilts.tasks.synthetic.vocabulary import Vocabulary
from xstilts.tasks.synthetic.writing import write_json_lines

NONE_OF_THEM = "None of the above choices ."
KINDS = ("animal", "profession", *(section for section in THINGS if section != "thing"))
"""Sections of the lexicon whose members are a kind of something."""
LETTERS = "ABCDE"


@dataclass(frozen=True, slots=True)
class Quiz:
    """A passage, and the facts whose answers are the choices, beside that there is none; `asked` is right."""

    passage: Passage
    choices: tuple[int, ...]

    @property
    def sentences(self) -> list[Clause]:
        """The facts."""
        return self.passage.sentences

    @property
    def label(self) -> int:
        """Position of the right choice."""
        return self.choices.index(self.passage.asked)

    @property
    def texts(self) -> list[str]:
        """The choices; the last one is that none is right, which it never is, as mostly upstream."""
        answers = [replace(self.passage, asked=fact).context(ENGLISH)[1] for fact in self.choices]
        return [*answers, NONE_OF_THEM]


@dataclass(frozen=True, slots=True)
class Riddle:
    """Five things of different kinds, of which `right` is of the kind that is asked for."""

    choices: tuple[Concept, ...]
    right: Concept

    @property
    def sentences(self) -> list[object]:
        """What is asked, among what: the order does not matter."""
        return [(self.right, frozenset(self.choices))]


def draw_quiz(random: Random, vocabulary: Vocabulary) -> Quiz:
    """A passage of three facts or more, of which three make the choices."""
    passage = draw_passage(random, vocabulary)
    others = random.sample([fact for fact in range(len(passage.facts)) if fact != passage.asked], 2)
    return Quiz(passage, tuple(random.sample([passage.asked, *others], 3)))


def draw_riddle(random: Random, vocabulary: Vocabulary) -> Riddle:
    """One member of each of five sections."""
    sections = random.sample([section for section in KINDS if vocabulary.concepts[section]], len(LETTERS))
    choices = tuple(vocabulary.pick(random, section) for section in sections)
    return Riddle(choices, random.choice(choices))


def write_cosmosqa(path: Path, quizzes: Iterable[Quiz]) -> None:
    """Cosmos QA's CSV: RFC 4180, with CRLF."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "context", "question", *(f"answer{number}" for number in range(4)), "label"])
        for index, quiz in enumerate(quizzes):
            context, asked = quiz.passage.context(ENGLISH)[0], quiz.passage.question(ENGLISH)
            writer.writerow([f"synthetic##{index}", context, asked, *quiz.texts, quiz.label])


def write_commonsenseqa(path: Path, riddles: Sequence[Riddle]) -> None:
    """CommonsenseQA's JSON lines."""
    write_json_lines(path, (_line(index, riddle) for index, riddle in enumerate(riddles)))


def _line(index: int, riddle: Riddle) -> dict[str, object]:
    assert riddle.right.hypernym is not None
    kind = _noun(riddle.right.hypernym)
    choices = [{"label": letter, "text": _noun(c)} for letter, c in zip(LETTERS, riddle.choices, strict=True)]
    return {
        "answerKey": LETTERS[riddle.choices.index(riddle.right)],
        "id": f"{index:032x}",
        "question": {"question_concept": kind, "choices": choices, "stem": f"Which of these is a kind of {kind}?"},
    }


def _noun(concept: Concept) -> str:
    """The English word without its article."""
    return " ".join(word for word in lexicon.load().words(concept, ENGLISH) if word not in ("the", "a", "an"))
