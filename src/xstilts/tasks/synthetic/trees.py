"""Nested parses: MTOP, the requests of xSID's corpus as trees, with labels of MTOP where it has one for the purpose."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from xstilts.tasks.synthetic.grammar import Sentence, spell
from xstilts.tasks.synthetic.languages import Language
from xstilts.tasks.synthetic.utterances import Request
from xstilts.tasks.synthetic.writing import write_tsv

MTOP_LANGUAGES = ("en", "de", "es", "hi")
"""Languages of MTOP that the grammar has."""

_INTENTS: Mapping[str, tuple[str, str]] = {
    "alarm/set_alarm": ("alarm", "CREATE_ALARM"),
    "alarm/cancel_alarm": ("alarm", "DELETE_ALARM"),
    "weather/find": ("weather", "GET_WEATHER"),
    "PlayMusic": ("music", "PLAY_MUSIC"),
    "AddToPlaylist": ("music", "ADD_TO_PLAYLIST_MUSIC"),
    "BookRestaurant": ("event", "CREATE_RESERVATION"),
    "reminder/set_reminder": ("reminder", "CREATE_REMINDER"),
    "SearchScreeningEvent": ("event", "GET_EVENT"),
}
"""Intent to domain and intent of MTOP."""
_SLOTS: Mapping[str, str] = {
    "datetime": "DATE_TIME",
    "recurring_datetime": "FREQUENCY",
    "location": "LOCATION",
    "weather/attribute": "WEATHER_ATTRIBUTE",
    "artist": "MUSIC_ARTIST_NAME",
    "service": "MUSIC_PROVIDER_NAME",
    "playlist": "MUSIC_PLAYLIST_TITLE",
    "restaurant_type": "CATEGORY_LOCATION",
    "party_size_number": "ATTENDEE",
    "reminder/todo": "TODO",
    "movie_name": "TITLE_EVENT",
}
_NESTED: Mapping[str, tuple[tuple[str, str], frozenset[str]]] = {
    "recurring_datetime": (("RECURRING_DATE_TIME", "GET_RECURRING_DATE_TIME"), frozenset()),
    "reminder/todo": (("TODO", "GET_TODO"), frozenset({"recurring_datetime"})),
    "restaurant_type": (("LOCATION", "GET_LOCATION"), frozenset({"location"})),
}
"""Slot to the slot and intent around it, and the slots that move into that intent behind it."""


def write_mtop(path: Path, requests: Sequence[Request], language: Language) -> None:
    """MTOP's eight columns, without header. Slots of a tree stand in the order of English in every language."""
    write_tsv(path, (_row(number, request, language) for number, request in enumerate(requests, start=1)))


def _row(number: int, request: Request, language: Language) -> tuple[str, ...]:
    tokens = request.tokens(language)
    utterance, starts = spell(tokens, language)
    domain, intent = _INTENTS[request.intent]
    words = {slot: " ".join(token.text for token in tokens if token.slot == slot) for slot, _ in request.fillers}
    spans = [{"start": start, "length": len(token.text)} for token, start in zip(tokens, starts, strict=True)]
    texts = {"tokens": [token.text for token in tokens], "tokenSpans": spans}
    return (
        str(number),
        f"IN:{intent}",
        ",".join(_spans(tokens, starts, list(words))),
        utterance,
        domain,
        f"{language.code}_XX",
        _tree(intent, words),
        json.dumps(texts, ensure_ascii=False),
    )


def _spans(tokens: Sentence, starts: Sequence[int], slots: Sequence[str]) -> list[str]:
    """First character, end and label of what fills each slot."""
    spans = []
    for slot in slots:
        places = [place for place, token in enumerate(tokens) if token.slot == slot]
        end = starts[places[-1]] + len(tokens[places[-1]].text)
        spans.append(f"{starts[places[0]]}:{end}:SL:{_SLOTS[slot]}")
    return spans


def _tree(intent: str, words: Mapping[str, str]) -> str:
    moved = {slot for outer in words if outer in _NESTED for slot in _NESTED[outer][1]}
    parts = [_slot(slot, words) for slot in words if slot not in moved]
    return " ".join([f"[IN:{intent}", *parts, "]"])


def _slot(slot: str, words: Mapping[str, str]) -> str:
    flat = f"[SL:{_SLOTS[slot]} {words[slot]} ]"
    if slot not in _NESTED:
        return flat
    (label, intent), moved = _NESTED[slot]
    parts = [_slot(other, words) for other in words if other in moved]
    return " ".join([f"[SL:{label} [IN:{intent}", flat, *parts, "] ]"])
