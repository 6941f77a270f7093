"""Bracketed trees of task-oriented parses (TOP; Gupta et al. 2018), in the decoupled form of MTOP (Li et al. 2021).

    [IN:CREATE_CALL [SL:CONTACT Camilla ] [SL:NAME_APP whatsapp ] ]

Intents hold slots; slots hold words and intents; the order of what a bracket holds counts. Read without recursion, so
that no depth of a predicted tree is an error.
"""

import re
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

_OPENING, _CLOSING = "[", "]"
_INTENT, _SLOT = "[IN:", "[SL:"
_TOKEN = re.compile(r"\[(?:IN|SL):[^\s\[\]]+|\]|\[|[^\s\[\]]+")


class Bracket(NamedTuple):
    """A constituent: its label, such as `SL:CONTACT`, and its first and last token among those of the tree."""

    label: str
    first: int
    last: int


class Tree(NamedTuple):
    """A tree as its tokens, which are its canonical form when joined by spaces, and its brackets, innermost first."""

    tokens: tuple[str, ...]
    brackets: tuple[Bracket, ...]

    @property
    def intent(self) -> str:
        """The label of the root, such as `IN:CREATE_CALL`."""
        return self.brackets[-1].label

    def inside(self, bracket: Bracket) -> tuple[str, ...]:
        """The tokens of a bracket, its own label and closing bracket left out."""
        return self.tokens[bracket.first + 1 : bracket.last]


def read_tree(text: str) -> Tree | None:
    """The tree that a text stands for; None for anything else.

    None, that is, for unbalanced or several trees, brackets without label, a slot at the root or right inside a slot,
    an intent right inside an intent, and words that no slot holds.
    """
    tokens = tuple(_TOKEN.findall(text))
    brackets: list[Bracket] = []
    opened: list[int] = []
    for place, token in enumerate(tokens):
        if brackets and not opened:
            return None
        parent = tokens[opened[-1]] if opened else _SLOT
        if token == _CLOSING:
            if not opened:
                return None
            first = opened.pop()
            brackets.append(Bracket(tokens[first].removeprefix(_OPENING), first, place))
        elif not parent.startswith(_INTENT if token.startswith(_SLOT) else _SLOT):
            return None
        elif token.startswith((_INTENT, _SLOT)):
            opened.append(place)
        elif token == _OPENING or not opened:
            return None
    return Tree(tokens, tuple(brackets)) if brackets and not opened else None


def is_leaf(token: str) -> bool:
    """Whether a token of a tree is a word."""
    return token != _CLOSING and not token.startswith((_INTENT, _SLOT))


def with_pointers(tree: Tree, words: Sequence[str]) -> tuple[str | int, ...]:
    """The tokens of a tree with leaves as places in `words`; a leaf that is none of the words stays a text.

    Leaves side by side are looked for side by side, as a slot copies a run of words. Of several such places the first
    is taken that no leaf has, if possible behind those of the leaf before.
    """
    parse: list[str | int] = list(tree.tokens)
    taken, behind = set[int](), 0
    for run in _runs(tree.tokens):
        leaves = tree.tokens[run.start : run.stop]
        found = _places(leaves, words, taken, behind)
        for token, place in zip(run, found, strict=True):
            if place is not None:
                parse[token] = place
                taken.add(place)
                behind = place + 1
    return tuple(parse)


def _runs(tokens: Sequence[str]) -> list[range]:
    """Places of leaves side by side."""
    edges = [place for place, token in enumerate(tokens) if not is_leaf(token)]
    return [range(before + 1, after) for before, after in pairwise(edges) if after > before + 1]


def _places(leaves: Sequence[str], words: Sequence[str], taken: set[int], behind: int) -> list[int | None]:
    """One place a leaf: of the whole run if it stands there, else of each leaf alone."""
    length = len(leaves)
    starts = [start for start in range(len(words)) if tuple(words[start : start + length]) == tuple(leaves)]
    if starts:
        start = min(starts, key=lambda start: (not taken.isdisjoint(range(start, start + length)), start < behind))
        return list(range(start, start + length))
    if length == 1:
        return [None]
    places: list[int | None] = []
    for leaf in leaves:
        place = _places((leaf,), words, taken.union(place for place in places if place is not None), behind)[0]
        places.append(place)
        behind = behind if place is None else place + 1
    return places
