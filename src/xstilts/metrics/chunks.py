"""F1 over chunks of equal tags, as seqeval's default mode and CoNLL's conlleval script count them.

XTREME scores parts of speech by the same function although their tags have no B- or I-: the first character of a tag
is then taken for the prefix. Runs of equal tags become chunks, but for tags that begin with B, E, I, O or S.

What the type of a chunk is depends on the version of seqeval (chakki-works/seqeval#38, July 2020):

    tag            0.0.13 and later    up to 0.0.12
    B-date-time    date-time           time
    CCONJ          CONJ                CCONJ
    NOUN           OUN                 NOUN

So to later versions CCONJ and SCONJ are one type, and to earlier ones `B-date-time` and `B-start-time`. Published
numbers of 2020 (Phang et al., XTREME's paper) are those of 0.0.12, which jiant pins.
"""

from collections.abc import Callable, Iterator, Sequence

_OUTSIDE = "O"

Chunk = tuple[str, int, int]
"""Type, first and last position over all sentences."""


TypeOf = Callable[[str], str]
"""From a tag to the type of its chunk."""


def seqeval_0_0_13(tag: str) -> str:
    """What follows the first character, without a hyphen at its beginning; `_` for nothing. Of 0.0.13 to 1.2.2."""
    return tag[1:].split("-", maxsplit=1)[-1] or "_"


def seqeval_0_0_12(tag: str) -> str:
    """What follows the last hyphen, or the whole tag where it has none. Of versions up to 0.0.12."""
    return tag.rpartition("-")[2]


def chunk_f1(
    gold: Sequence[Sequence[str]], predictions: Sequence[Sequence[str]], type_of: TypeOf = seqeval_0_0_13
) -> float:
    """Micro-averaged F1 in percent; 0 where there are no chunks."""
    expected, found = set(chunks(gold, type_of)), set(chunks(predictions, type_of))
    total = len(expected) + len(found)
    return 200 * len(expected & found) / total if total else 0.0


def chunks(sentences: Sequence[Sequence[str]], type_of: TypeOf) -> Iterator[Chunk]:
    """Chunks of all sentences, which are joined by O as in seqeval."""
    tags = [tag for sentence in sentences for tag in (*sentence, _OUTSIDE)]
    before, begin = (_OUTSIDE, ""), 0
    for position, tag in enumerate(tags):
        here = (tag[:1] or _OUTSIDE, type_of(tag))
        if _ends(before, here):
            yield before[1], begin, position - 1
        if _starts(before, here):
            begin = position
        before = here


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
