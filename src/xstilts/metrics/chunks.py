"""F1 over chunks of equal tags, as seqeval's default mode and CoNLL's conlleval script count them.

XTREME scores parts of speech by the same function although their tags have no B- or I-: the first character of a tag
is then taken for the prefix and the rest for the type. That makes runs of equal tags chunks, but for tags that begin
with B, E, I, O or S, or that agree after their first character (CCONJ and SCONJ). It is kept to match XTREME's numbers.
"""

from collections.abc import Iterator, Sequence

_OUTSIDE = "O"

Chunk = tuple[str, int, int]
"""Type, first and last position over all sentences."""


def chunk_f1(gold: Sequence[Sequence[str]], predictions: Sequence[Sequence[str]]) -> float:
    """Micro-averaged F1 in percent; 0 where there are no chunks."""
    expected, found = set(chunks(gold)), set(chunks(predictions))
    total = len(expected) + len(found)
    return 200 * len(expected & found) / total if total else 0.0


def chunks(sentences: Sequence[Sequence[str]]) -> Iterator[Chunk]:
    """Chunks of all sentences, which are joined by O as in seqeval."""
    tags = [tag for sentence in sentences for tag in (*sentence, _OUTSIDE)]
    before, begin = (_OUTSIDE, ""), 0
    for position, tag in enumerate(tags):
        here = _prefix_and_type(tag)
        if _ends(before, here):
            yield before[1], begin, position - 1
        if _starts(before, here):
            begin = position
        before = here


def _prefix_and_type(tag: str) -> tuple[str, str]:
    return tag[:1] or _OUTSIDE, tag[1:].split("-", maxsplit=1)[-1] or "_"


def _ends(before: tuple[str, str], here: tuple[str, str]) -> bool:
    """Whether a chunk ends between two tags."""
    if before[0] in "ES" or (before[0] in "BI" and here[0] in "BSO"):
        return True
    return before[0] not in "O." and before[1] != here[1]


def _starts(before: tuple[str, str], here: tuple[str, str]) -> bool:
    """Whether a chunk starts at the second of two tags."""
    if here[0] in "BS" or (before[0] in "ESO" and here[0] in "EI"):
        return True
    return here[0] not in "O." and before[1] != here[1]
