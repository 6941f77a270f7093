"""Part-of-speech tagging: Universal Dependencies in CoNLL-U. English has homographs that only position tells apart
("did not dance", "the dance"; "the cook", "did not cook"; "orange")."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random

from xstilts.tasks.synthetic.grammar import Clause, Order, Sentence, Token, spell, statement, text
from xstilts.tasks.synthetic.inference import details_of
from xstilts.tasks.synthetic.languages import Language
from xstilts.tasks.synthetic.vocabulary import Vocabulary
from xstilts.tasks.synthetic.writing import write_lines


@dataclass(frozen=True, slots=True)
class Assertion:
    """One or two clauses, with their word orders, in one sentence."""

    clauses: tuple[tuple[Clause, Order], ...]

    @property
    def sentences(self) -> list[Clause]:
        """What the sentence asserts."""
        return [clause for clause, _ in self.clauses]

    def tokens(self, language: Language) -> Sentence:
        """The sentence in a language."""
        return statement(self.clauses, language)


def draw_assertion(random: Random, vocabulary: Vocabulary) -> Assertion:
    """Any construction; negations are frequent, because homographs show under them."""
    clauses = [draw_clause(random, vocabulary) for _ in range(random.choice((1, 1, 1, 2)))]
    return Assertion(tuple((clause, vocabulary.order(random, clause)) for clause in clauses))


def draw_clause(random: Random, vocabulary: Vocabulary) -> Clause:
    """A clause with or without an object, some details, perhaps negated, perhaps about every or some person."""
    clause = vocabulary.about_self(random) if random.random() < 0.3 else vocabulary.event(random)
    slots = [slot for slot in details_of(clause) if random.random() < 0.45]
    clause = clause.with_slots({slot: vocabulary.detail(random, slot) for slot in slots})
    if clause.agent.section == "profession" and random.random() < 0.3:
        clause = replace(clause, quantifier=vocabulary.pick(random, "quantifier"))
    return replace(clause, negated=random.random() < 0.35)


def write_conllu(path: Path, assertions: Sequence[Assertion], language: Language, *, split: str) -> None:
    """Ten columns; the tree is flat (all words depend on the first verb), for tags are what the task is about."""
    lines: list[str] = []
    for index, assertion in enumerate(assertions, start=1):
        tokens = assertion.tokens(language)
        lines += [f"# sent_id = {split}-{index}", f"# text = {text(tokens, language)}", *_rows(tokens, language), ""]
    write_lines(path, lines)


def _rows(tokens: Sentence, language: Language) -> list[str]:
    root = next(i for i, token in enumerate(tokens, start=1) if token.tag == "VERB")
    return [_row(i, token, root, spaced) for i, (token, spaced) in enumerate(_spacing(tokens, language), start=1)]


def _row(index: int, token: Token, root: int, spaced: bool) -> str:
    head, relation = ("0", "root") if index == root else (str(root), "punct" if token.tag == "PUNCT" else "dep")
    columns = [str(index), token.text, token.text.lower(), token.tag, "_", "_", head, relation, "_"]
    return "\t".join([*columns, "_" if spaced else "SpaceAfter=No"])


def _spacing(tokens: Sentence, language: Language) -> list[tuple[Token, bool]]:
    """Each token, and whether a space follows it; the last one of a sentence counts as followed by one."""
    starts = [*spell(tokens, language)[1], None]
    return [
        (token, following is None or start + len(token.text) < following)
        for token, start, following in zip(tokens, starts, starts[1:], strict=False)
        if start is not None
    ]
