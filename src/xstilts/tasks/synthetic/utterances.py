"""Intents and slots: xSID, what people say to an assistant (`utterances.yaml`), with IOB2 slot tags."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib import resources
from itertools import groupby
from pathlib import Path
from random import Random

import yaml

from xstilts.tasks.synthetic import lexicon
from xstilts.tasks.synthetic.grammar import Sentence, Token, spell, text
from xstilts.tasks.synthetic.languages import ENGLISH, Language
from xstilts.tasks.synthetic.lexicon import Concept
from xstilts.tasks.synthetic.vocabulary import Vocabulary
from xstilts.tasks.synthetic.writing import write_lines

FILLERS: Mapping[str, Sequence[tuple[str, ...]]] = {
    "datetime": (("weekday",), ("clock",), ("weekday", "clock")),
    "recurring_datetime": (("recurrence",),),
    "location": (("city",),),
    "weather/attribute": (("weather",),),
    "artist": (("artist",),),
    "service": (("service",),),
    "playlist": (("playlist",),),
    "restaurant_type": (("eatery",),),
    "party_size_number": (("number",),),
    "reminder/todo": (("errand",),),
    "movie_name": (("film",),),
}
"""Slot to the sections of the lexicon that may fill it, in a row."""

Template = Mapping[str, Sequence[str]]
"""Language code to the words of one utterance."""


@dataclass(frozen=True, slots=True)
class Request:
    """An utterance: which template of which intent, and what fills its slots."""

    intent: str
    template: int
    fillers: tuple[tuple[str, tuple[Concept, ...]], ...]

    @property
    def sentences(self) -> list["Request"]:
        """The request itself: another filler makes it another request."""
        return [self]

    def filled_as(self, other: "Request") -> "Request":
        """This request with the fillers of another one in the slots that both have."""
        fillers = dict(other.fillers)
        return replace(self, fillers=tuple((slot, fillers.get(slot, own)) for slot, own in self.fillers))

    def tokens(self, language: Language) -> Sentence:
        """Words in a language; a token's slot is that of xSID, empty outside of slots."""
        fillers = dict(self.fillers)
        tokens: list[Token] = []
        for word in templates()[self.intent][self.template][language.code]:
            slot = word.strip("{}")
            tokens += _filled(slot, fillers[slot], language) if slot in fillers else [Token(word, "X")]
        return tuple(tokens)


@cache
def templates() -> Mapping[str, Sequence[Template]]:
    """Intent to its utterances."""
    document = yaml.safe_load(resources.files(__package__).joinpath("utterances.yaml").read_text("utf-8"))
    columns = lexicon.cells(document["columns"])
    return {
        intent: [
            {code: cell.split() for code, cell in zip(columns, lexicon.cells(line), strict=True)}
            for line in lines.splitlines()
        ]
        for intent, lines in document["intents"].items()
    }


def draw_request(random: Random, vocabulary: Vocabulary, *, like: Request | None = None) -> Request:
    """Any utterance of any intent; `like` another one, any of that intent in other words."""
    intent = like.intent if like else random.choice(list(templates()))
    others = [number for number in range(len(templates()[intent])) if not like or number != like.template]
    template = random.choice(others)
    slots = [word.strip("{}") for word in templates()[intent][template][ENGLISH.code] if word.startswith("{")]
    fillers = tuple(
        (slot, tuple(vocabulary.pick(random, section) for section in random.choice(FILLERS[slot]))) for slot in slots
    )
    return Request(intent, template, fillers)


def write_xsid(path: Path, requests: Sequence[Request], language: Language, *, evaluation: bool) -> None:
    """xSID's CoNLL: four columns under comments, which differ between training, English and translated files."""
    lines: list[str] = []
    for index, request in enumerate(requests, start=1):
        lines += [*_comments(index, request, language, evaluation), *_rows(request, language), ""]
    write_lines(path, lines)


def _comments(index: int, request: Request, language: Language, evaluation: bool) -> list[str]:
    said = [f"# text = {text(request.tokens(language), language)}", f"# intent = {request.intent}"]
    if language is not ENGLISH:
        return [f"# id = {index}", f"# text-en = {text(request.tokens(ENGLISH), ENGLISH)}", *said]
    return [*said, f"# slots: {_offsets(request.tokens(language), language)}"] if evaluation else said


def _rows(request: Request, language: Language) -> list[str]:
    rows, before = [], ""
    for index, token in enumerate(request.tokens(language), start=1):
        tag = "O" if not token.slot else f"{'I' if token.slot == before else 'B'}-{token.slot}"
        rows.append(f"{index}\t{token.text}\t{request.intent}\t{tag}")
        before = token.slot
    return rows


def _offsets(tokens: Sentence, language: Language) -> str:
    """Slots as `start:end:slot`, in code points of the text, end exclusive."""
    starts = spell(tokens, language)[1]
    spans = []
    for slot, group in groupby(zip(tokens, starts, strict=True), key=lambda pair: pair[0].slot):
        words = list(group)
        if slot:
            spans.append(f"{words[0][1]}:{words[-1][1] + len(words[-1][0].text)}:{slot}")
    return ",".join(spans)


def _filled(slot: str, concepts: Sequence[Concept], language: Language) -> list[Token]:
    """Words of a slot. Locations leave their adposition outside, as xSID annotates them; times take it in."""
    words = lexicon.load()
    tokens = []
    for concept in concepts:
        for word in words.words(concept, language):
            tag = words.tag(word, concept, language)
            tokens.append(Token(word, tag, "" if slot == "location" and tag == "ADP" else slot))
    return tokens
