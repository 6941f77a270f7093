"""Scores of semantic parses, each a text in the language that `rules` names: `top` (MTOP) or `sparql` (MCWQ).

What the metrics compare of a parse:

                  top                                        sparql
    exact_match   the text, runs of white space as one       the same
    tree_match    the tree, its order kept                   query form and set of triples and filters
    intent        the label of the root                      query form, `ASK` or `SELECT`
    slots         slot label and all that the slot holds     triples and filters
    brackets      label and the words it covers              the clauses, and what precedes them
    template      the tree without its words                 entities `M0`, `wd:Q42` left out

`slot_f1` and `bracket_f1` are micro-averaged over all rows, slots and brackets of a row taken as multisets: pointers
are gone from the text, so that equal words elsewhere in the sentence count as right. Slots as in Li et al. (2021),
brackets as in Gupta et al. (2018), by the words they cover instead of by places. A prediction that is no parse of the
language is wrong in all of them and has no slots or brackets.
"""

import re
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from typing import NamedTuple

from xstilts.core.errors import UserError
from xstilts.core.trees import is_leaf, read_tree

_QUERY_TOKEN = re.compile(r"[{}()]|[^\s{}()]+")
_ENTITY = re.compile(r"M\d+|wd:\S+")


class _Parse(NamedTuple):
    """What is compared of a well-formed parse."""

    intent: str
    tree: Hashable
    template: Hashable
    slots: Counter[Hashable]
    brackets: Counter[Hashable]


def parse_scores(gold: Sequence[str], predictions: Sequence[str], *, rules: str) -> dict[str, float]:
    """Seven percentages; gold against itself has 100 in all of them.

    Raises UserError for unknown rules, and for a gold parse, by its row, that is none of their language.
    """
    read = _reader(rules)
    wanted = [_gold_parse(read(text), row, text, rules) for row, text in enumerate(gold)]
    found = [read(text) or _NOTHING for text in predictions]
    pairs = list(zip(wanted, found, strict=True))
    texts = zip(gold, predictions, strict=True)
    return {
        "exact_match": _percent(text.split() == other.split() for text, other in texts),
        "tree_match": _percent(one.tree == other.tree for one, other in pairs),
        "intent_accuracy": _percent(one.intent == other.intent for one, other in pairs),
        "slot_f1": _f1([(one.slots, other.slots) for one, other in pairs]),
        "bracket_f1": _f1([(one.brackets, other.brackets) for one, other in pairs]),
        "template_match": _percent(one.template == other.template for one, other in pairs),
        "well_formed": _percent(parse is not _NOTHING for parse in found),
    }


def _reader(rules: str) -> Callable[[str], _Parse | None]:
    if rules not in _READERS:
        raise UserError(f"rules: unknown {rules!r} for parses; choose {' or '.join(map(repr, _READERS))}")
    return _READERS[rules]


def _gold_parse(parse: _Parse | None, row: int, text: str, rules: str) -> _Parse:
    if parse is None:
        raise UserError(f"example {row} (from 0): {text[:200]!r} is no parse in {rules!r}")
    return parse


def _percent(rights: Iterable[bool]) -> float:
    """Of at least one row."""
    flags = list(rights)
    return 100 * sum(flags) / len(flags)


def _f1(rows: Sequence[tuple[Counter[Hashable], Counter[Hashable]]]) -> float:
    """100 where neither side has any: nothing is missed, nothing is made up."""
    right = sum((one & other).total() for one, other in rows)
    total = sum(one.total() + other.total() for one, other in rows)
    return 200 * right / total if total else 100.0


def _top(text: str) -> _Parse | None:
    tree = read_tree(text)
    if tree is None:
        return None
    slots = [bracket for bracket in tree.brackets if bracket.label.startswith("SL:")]
    return _Parse(
        intent=tree.intent,
        tree=tree.tokens,
        template=tuple(token for token in tree.tokens if not is_leaf(token)),
        slots=Counter((slot.label, tree.inside(slot)) for slot in slots),
        brackets=Counter((bracket.label, tuple(filter(is_leaf, tree.inside(bracket)))) for bracket in tree.brackets),
    )


def _sparql(text: str) -> _Parse | None:
    """A query of MCWQ's form: `ASK WHERE { ... }` or `SELECT ... WHERE { ... }`, clauses with ` . ` between them."""
    tokens = _QUERY_TOKEN.findall(text)
    if "{" not in tokens or tokens[-1] != "}":
        return None
    begin = tokens.index("{")
    head, clauses = tuple(tokens[:begin]), _split(tokens[begin + 1 : -1])
    if not _is_head(head) or not clauses or not all(map(_is_clause, clauses)):
        return None
    return _Parse(
        intent=head[0],
        tree=(head, frozenset(clauses)),
        template=(head, frozenset(Counter(map(_without_entities, clauses)).items())),
        slots=Counter(clauses),
        brackets=Counter([head, *clauses]),
    )


def _split(body: Sequence[str]) -> list[tuple[str, ...]]:
    """Clauses between full stops; there may be one after the last."""
    clauses: list[list[str]] = [[]]
    for token in body:
        if token == _STOP:
            clauses.append([])
        else:
            clauses[-1].append(token)
    return [tuple(clause) for clause in (clauses if clauses[-1] else clauses[:-1])]


def _is_head(head: Sequence[str]) -> bool:
    return head == ("ASK", "WHERE") or (len(head) > 2 and head[0] == "SELECT" and head[-1] == "WHERE")


def _is_clause(clause: Sequence[str]) -> bool:
    """A triple, or a filter that compares two terms."""
    if clause[:2] == ("FILTER", "("):
        clause = clause[2:-1] if clause[-1] == ")" else ()
    return len(clause) == 3 and not _SIGNS.intersection(clause)


def _without_entities(clause: Sequence[str]) -> tuple[str, ...]:
    return tuple("" if _ENTITY.fullmatch(token) else token for token in clause)


_STOP = "."
_SIGNS = frozenset("{}()") | {"FILTER"}
_READERS: Mapping[str, Callable[[str], _Parse | None]] = {"top": _top, "sparql": _sparql}
_NOTHING = _Parse(intent="", tree=None, template=None, slots=Counter(), brackets=Counter())
"""What a prediction amounts to that is no parse."""
