"""CCG supertags (English): categories that follow from part of speech, polarity and whether the verb has an object."""

from collections.abc import Iterable, Iterator
from pathlib import Path

from xstilts.tasks.synthetic.languages import ENGLISH
from xstilts.tasks.synthetic.tagging import Assertion
from xstilts.tasks.synthetic.writing import write_lines

_VERB_PHRASE = "S\\NP"
_CATEGORIES = {
    "ADJ": "N/N",
    "ADP": f"(({_VERB_PHRASE})\\({_VERB_PHRASE}))/NP",
    "ADV": f"({_VERB_PHRASE})\\({_VERB_PHRASE})",
    "AUX": "(S[dcl]\\NP)/(S[b]\\NP)",
    "CCONJ": "conj",
    "DET": "NP[nb]/N",
    "PART": f"({_VERB_PHRASE})\\({_VERB_PHRASE})",
    "PUNCT": ".",
}
_NOUN = "N"


def supertags(assertion: Assertion) -> Iterator[tuple[str, str, str]]:
    """Word, part of speech and category of each word of a sentence."""
    clauses = iter(assertion.sentences)
    clause = next(clauses)
    for token in assertion.tokens(ENGLISH):
        if token.tag == "CCONJ":
            clause = next(clauses)
        category = _CATEGORIES.get(token.tag, _NOUN)
        if token.tag == "VERB":
            form = "b" if clause.negated else "dcl"
            category = f"(S[{form}]\\NP)/NP" if clause.patient else f"S[{form}]\\NP"
        yield token.text, token.tag, category


def write_stagged(path: Path, assertions: Iterable[Assertion]) -> None:
    """A sentence a line, each word as `word|POS|supertag`."""
    write_lines(path, (" ".join("|".join(word) for word in supertags(assertion)) for assertion in assertions))
