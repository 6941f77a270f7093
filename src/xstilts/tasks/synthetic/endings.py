"""Commonsense completion: HellaSwag (English, and its translation): what people take where, and which ending fits.

The actor has what they took, where they took it. The three wrong endings exchange the thing, the place or both with
those of somebody else in the context, so that each thing and each place occurs in two endings, and the endings
without the context say nothing.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random

from xstilts.tasks.synthetic.grammar import Clause, Order, statement, text
from xstilts.tasks.synthetic.languages import ENGLISH, Language
from xstilts.tasks.synthetic.lexicon import THING_VERBS
from xstilts.tasks.synthetic.vocabulary import Vocabulary
from xstilts.tasks.synthetic.writing import write_json_lines


@dataclass(frozen=True, slots=True)
class Story:
    """What two people (and sometimes a third) did, and four ways in which the first of them may go on."""

    context: tuple[tuple[Clause, Order], ...]
    endings: tuple[Clause, ...]
    label: int

    @property
    def sentences(self) -> list[Clause]:
        """The events of the context."""
        return [clause for clause, _ in self.context]


def draw_story(random: Random, vocabulary: Vocabulary) -> Story:
    """Two or three sentences in random order, and four endings of which `label` is right."""
    actor, other = random.sample(vocabulary.concepts["name"], 2)
    first, second = _distinct_things(random, vocabulary)
    context = [replace(first, agent=actor), replace(second, agent=other)]
    if random.random() < 0.5:
        context.append(replace(vocabulary.about_self(random), time=vocabulary.detail(random, "time")))
    random.shuffle(context)
    verb = vocabulary.pick(random, *THING_VERBS)
    endings = [
        replace(thing, agent=actor, verb=verb, place=where.place)
        for thing in (first, second)
        for where in (first, second)
    ]
    right = endings[0]
    random.shuffle(endings)
    ordered = tuple((clause, vocabulary.order(random, clause)) for clause in context)
    return Story(ordered, tuple(endings), endings.index(right))


def write_hellaswag(path: Path, stories: Iterable[Story], language: Language = ENGLISH, *, split: str) -> None:
    """HellaSwag's JSON lines: `ctx_a` is the context, `ctx_b` the first word of all endings, in English the actor."""
    write_json_lines(path, (_line(index, story, language, split) for index, story in enumerate(stories)))


def _line(index: int, story: Story, language: Language, split: str) -> dict[str, object]:
    said = [statement([event], language) for event in story.context]
    context = text([token for sentence in said for token in sentence], language)
    continued = [statement([(ending, Order.PLAIN)], language) for ending in story.endings]
    actor = continued[0][0].text
    return {
        "ind": index,
        "activity_label": story.endings[0].verb.key.split("/")[-1].capitalize(),
        "ctx_a": context,
        "ctx_b": actor,
        "ctx": f"{context} {actor}",
        "split": split,
        "split_type": "indomain",
        "label": story.label,
        "endings": [text(tokens[1:], language) for tokens in continued],
        "source_id": f"synthetic~{split}_{index}",
    }


def _distinct_things(random: Random, vocabulary: Vocabulary) -> tuple[Clause, Clause]:
    """Two events with different things at different places."""
    while True:
        first, second = (_event(random, vocabulary) for _ in range(2))
        if first.patient != second.patient and first.place != second.place:
            return first, second


def _event(random: Random, vocabulary: Vocabulary) -> Clause:
    clause, place = vocabulary.about_thing(random), vocabulary.detail(random, "place")
    return replace(clause, modifier=vocabulary.detail(random, "modifier"), place=place)
