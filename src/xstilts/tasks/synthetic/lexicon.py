"""Concepts and their words: reads `lexicon.yaml`, says which concepts exclude each other."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from importlib import resources

import yaml

from xstilts.tasks.synthetic.languages import LANGUAGES, Language

YEARS = tuple(range(1990, 2010))
CLOCK = tuple(f"{hour}:{minute:02}" for hour in range(5, 13) for minute in (0, 10, 15, 20, 30, 45))
NUMBERS = tuple(range(2, 10))

PEOPLE = ("name", "profession")
PERSON_VERBS = ("attitude", "contact")
THINGS = ("fruit", "clothing", "vehicle", "furniture", "device", "thing")
THING_VERBS = ("deed", "handling")
MODIFIERS = ("colour", "quality")
PLACES = ("city", "place")
TIMES = ("weekday", "month", "year")
ASSISTANT = ("recurrence", "weather", "artist", "playlist", "service", "eatery", "errand", "film", "clock", "number")
"""What only requests to an assistant speak of."""


class Contrast(StrEnum):
    """When two members of one section exclude each other."""

    NONE = "none"
    PAIRS = "pairs"
    ALL = "all"


@dataclass(frozen=True, slots=True)
class Concept:
    """A meaning with a word in every language; two concepts are the same if section and key are."""

    section: str
    key: str
    """The English entry."""
    hypernym: "Concept | None" = None
    antonym: str | None = None
    """Key of the opposite in the same section."""


@dataclass(frozen=True, slots=True)
class Section:
    """Concepts of one kind, which share part of speech and contrast."""

    tag: str
    contrast: Contrast
    concepts: tuple[Concept, ...]


@dataclass(frozen=True, slots=True)
class Lexicon:
    """All concepts, by section, and their words, by section, key and language."""

    sections: Mapping[str, Section]
    entries: Mapping[tuple[str, str], Mapping[str, str]]

    def words(self, concept: Concept, language: Language, *, negated: bool = False) -> list[str]:
        """The words of a concept; verbs have a form of their own under negation in some languages."""
        forms = self._entry(concept, language).split("/")
        return forms[-1 if negated else 0].split()

    def tag(self, word: str, concept: Concept, language: Language) -> str:
        """Universal POS tag of one word of a concept."""
        if word[0].isdigit():
            return "NUM"
        return function_tags(language.code).get(word) or self.sections[concept.section].tag

    def exclusive(self, one: Concept, other: Concept) -> bool:
        """Whether nothing can be both, such as opposites, or two colours."""
        if one.section != other.section or one == other:
            return False
        return self.sections[one.section].contrast is Contrast.ALL or one.antonym == other.key

    def opposites(self, concept: Concept) -> list[Concept]:
        """Every concept that excludes this one."""
        return [other for other in self.sections[concept.section].concepts if self.exclusive(concept, other)]

    def _entry(self, concept: Concept, language: Language) -> str:
        if concept.section == "year":
            return language.year.replace("#", concept.key)
        if concept.section == "clock":
            return language.clock.replace("#", concept.key)
        if concept.section == "number":
            return concept.key
        return self.entries[concept.section, concept.key][language.code]


def cells(line: str) -> list[str]:
    """The cells of one line of a table."""
    return [cell.strip() for cell in line.split("|")]


@cache
def function_tags(code: str) -> Mapping[str, str]:
    """Function word of a language to its universal POS tag."""
    return {word: tag for tag, words in LANGUAGES[code].tags.items() for word in words.split()}


@cache
def load() -> Lexicon:
    """The lexicon that the package ships."""
    document = yaml.safe_load(resources.files(__package__).joinpath("lexicon.yaml").read_text("utf-8"))
    columns = cells(document["columns"])
    entries: dict[tuple[str, str], Mapping[str, str]] = {}
    sections: dict[str, Section] = {}
    for name, source in document["sections"].items():
        lines = source["words"].splitlines() + [source[key] for key in ("hypernym",) if key in source]
        rows = {cells[0]: dict(zip(columns, cells, strict=True)) for cells in map(cells, lines)}
        entries |= {(name, key): row for key, row in rows.items()}
        sections[name] = _section(name, list(rows), source["tag"], Contrast(source["contrast"]), "hypernym" in source)
    for name, numbers in (("year", YEARS), ("clock", CLOCK), ("number", NUMBERS)):
        sections[name] = _section(name, [*map(str, numbers)], "NUM", Contrast.ALL, False)
    return Lexicon(sections, entries)


def _section(name: str, keys: list[str], tag: str, contrast: Contrast, has_hypernym: bool) -> Section:
    """A section from its keys in order; the last one is the hypernym of the others if there is one."""
    hypernym = Concept(name, keys.pop()) if has_hypernym else None
    paired = contrast is Contrast.PAIRS
    concepts = (
        Concept(name, key, hypernym, keys[position ^ 1] if paired else None) for position, key in enumerate(keys)
    )
    return Section(tag, contrast, tuple(concepts))
