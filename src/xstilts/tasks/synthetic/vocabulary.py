"""What a corpus talks about: the concepts and constructions that its rows are drawn from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random

from xstilts.tasks.synthetic import lexicon
from xstilts.tasks.synthetic.grammar import Clause, Order
from xstilts.tasks.synthetic.lexicon import (
    ASSISTANT,
    MODIFIERS,
    PEOPLE,
    PERSON_VERBS,
    PLACES,
    THING_VERBS,
    THINGS,
    TIMES,
    Concept,
    Contrast,
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Vocabulary:
    """A part of the lexicon, and whether people act on people and adjuncts may open a sentence."""

    concepts: Mapping[str, Sequence[Concept]]
    people_act_on_people: bool = True
    fronting: bool = True

    def pick(self, random: Random, *sections: str) -> Concept:
        """Any concept of one of the sections, each section as likely as the other."""
        return random.choice(self.concepts[random.choice(sections)])

    def opposites(self, concept: Concept) -> list[Concept]:
        """Concepts of this vocabulary that exclude `concept`."""
        allowed = self.concepts[concept.section]
        return [other for other in lexicon.load().opposites(concept) if other in allowed]

    def order(self, random: Random, clause: Clause) -> Order:
        """An order that the clause has the constituents for."""
        orders = [Order.PLAIN]
        if self.fronting and clause.time:
            orders.append(Order.TIME_FIRST)
        if self.fronting and clause.place:
            orders.append(Order.PLACE_FIRST)
        return random.choice(orders)

    def about_thing(self, random: Random) -> Clause:
        """Somebody does something to a thing: a clause without adjuncts."""
        return Clause(
            agent=self.pick(random, *PEOPLE),
            verb=self.pick(random, *THING_VERBS),
            patient=self.pick(random, *THINGS),
        )

    def about_people(self, random: Random) -> Clause:
        """Somebody does something to somebody else, or to an animal: a clause without adjuncts."""
        agent, patient = random.sample(self.concepts["name"], 2)
        if random.random() < 0.3:
            agent = self.pick(random, "profession")
        if random.random() < 0.3:
            patient = self.pick(random, "animal")
        return Clause(agent=agent, verb=self.pick(random, *PERSON_VERBS), patient=patient)

    def about_self(self, random: Random) -> Clause:
        """Somebody does something that has no object."""
        return Clause(agent=self.pick(random, *PEOPLE), verb=self.pick(random, "motion"))

    def event(self, random: Random) -> Clause:
        """A transitive clause without adjuncts."""
        people = self.people_act_on_people and random.random() < 0.5
        return self.about_people(random) if people else self.about_thing(random)

    def detail(self, random: Random, slot: str) -> Concept:
        """Any filler of an optional slot of a clause."""
        sections = {"modifier": MODIFIERS, "manner": ("manner",), "place": PLACES, "time": TIMES}
        return self.pick(random, *sections[slot])


def whole() -> Vocabulary:
    """The whole lexicon and every construction."""
    return Vocabulary(concepts={name: section.concepts for name, section in lexicon.load().sections.items()})


def disjoint() -> tuple[Vocabulary, Vocabulary]:
    """Two halves without a common concept, quantifiers and hypernyms apart: (intermediate, target).

    Antonyms stay together. The first half has no clause in which people act on people, and no fronting; what only
    requests to an assistant speak of is in the second.
    """
    first: dict[str, Sequence[Concept]] = {}
    second: dict[str, Sequence[Concept]] = {}
    for name, section in lexicon.load().sections.items():
        step = 2 if section.contrast is Contrast.PAIRS else 1
        chunks = [section.concepts[i : i + step] for i in range(0, len(section.concepts), step)]
        first[name] = [concept for chunk in chunks[0::2] for concept in chunk]
        second[name] = [concept for chunk in chunks[1::2] for concept in chunk]
    for name in ASSISTANT:
        first[name], second[name] = [], lexicon.load().sections[name].concepts
    first["quantifier"] = second["quantifier"] = lexicon.load().sections["quantifier"].concepts
    return Vocabulary(concepts=first, people_act_on_people=False, fronting=False), Vocabulary(concepts=second)
