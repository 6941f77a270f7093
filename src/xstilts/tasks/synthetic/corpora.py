"""`xstilts data synthesize`: all corpora of a demonstration, in the formats and under the names of upstream."""

import json
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random
from types import MappingProxyType

from xstilts.core.errors import UserError
from xstilts.tasks.synthetic import (
    duplicates,
    endings,
    inference,
    paraphrase,
    plain,
    quizzes,
    reading,
    supertags,
    tagging,
    trees,
    utterances,
    vocabulary,
)
from xstilts.tasks.synthetic.draws import RowType, distinct_rows, stream
from xstilts.tasks.synthetic.languages import ENGLISH, LANGUAGES, Language
from xstilts.tasks.synthetic.vocabulary import Vocabulary

VERSION = 5
"""Raised when equal arguments give other bytes."""
RECORD = "synthetic.json"

ROWS: Mapping[str, int] = MappingProxyType(
    {
        "mnli/train": 6000,
        "mnli/dev": 300,
        "xnli/dev": 120,
        "xnli/test": 120,
        "pawsx/train": 2000,
        "pawsx/dev": 200,
        "pawsx/test": 120,
        "squad/train": 2500,
        "squad/dev": 200,
        "xquad/test": 120,
        "hellaswag/train": 1500,
        "hellaswag/val": 200,
        "udpos/train": 1000,
        "udpos/dev": 150,
        "udpos/test": 120,
        "xsid/train": 1500,
        "xsid/valid": 150,
        "xsid/test": 120,
        "tatoeba/test": 150,
        "text": 3000,
        "snli/train": 120,
        "snli/dev": 30,
        "anli/train": 120,
        "anli/dev": 30,
        "qqp/train": 120,
        "qqp/dev": 30,
        "squad_v2/train": 120,
        "squad_v2/dev": 30,
        "cosmosqa/train": 120,
        "cosmosqa/valid": 30,
        "commonsenseqa/train": 120,
        "commonsenseqa/dev": 30,
        "ccg/train": 120,
        "ccg/dev": 30,
    }
)
"""Rows of each split (a language, where there are several), right for a study of minutes on a CPU.

Of the tasks after `text` there are as many as show that they can be read and trained on. MTOP has the rows of xSID, and
BUCC those of Tatoeba, in other forms."""
TRANSLATED = "de"
"""The language of the translations of MNLI's and HellaSwag's training data."""


def synthesize(
    out: Path,
    *,
    seed: int = 0,
    rows: Mapping[str, int] | None = None,
    scale: float = 1.0,
    languages: Sequence[str] = tuple(LANGUAGES),
    related: bool = True,
    code_switching: float = 0.5,
) -> None:
    """Writes the folder `out`, whole or not at all; equal arguments give equal bytes on every machine.

    `rows` replaces entries of ROWS; `scale` multiplies all. `code_switching` is the share of code-switched lines in
    `text/`. With `related`, all corpora draw on one lexicon and all constructions. Without it, the intermediate tasks
    have half of the content words, and neither clauses in which people act on people nor fronted adjuncts; the
    targets have the other half of the words and every construction; `text/` has all.

    Returns at once if `out` was written with the same arguments. Raises UserError if `out` holds anything else, for
    unknown languages or splits, and where the grammar has fewer different rows than asked for.
    """
    sizes, spoken = _sizes(rows or {}, scale), _spoken(languages)
    if not 0 <= code_switching <= 1:
        raise UserError(f"code_switching: {code_switching} is no share; give a number from 0 to 1")
    record = {
        "version": VERSION,
        "seed": seed,
        "rows": sizes,
        "languages": [language.code for language in spoken],
        "related": related,
        "code_switching": code_switching,
    }
    if _is_written(out, record):
        return
    intermediate, target = (vocabulary.whole(),) * 2 if related else vocabulary.disjoint()
    with _whole_folder(out) as folder:
        _Corpora(folder, seed, sizes, spoken, intermediate, target).write(code_switching)
        (folder / RECORD).write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8", newline="\n")


@dataclass(frozen=True, slots=True)
class _Corpora:
    """The corpora of one folder. Splits for evaluation are drawn before those for training, which avoid them."""

    folder: Path
    seed: int
    rows: Mapping[str, int]
    languages: Sequence[Language]
    intermediate: Vocabulary
    target: Vocabulary

    def write(self, code_switching: float) -> None:
        """All files but the record. What `text/` must not tell is gathered from all others."""
        told: set[object] = set()
        told |= self._inference()
        told |= self._paraphrases()
        told |= self._duplicates()
        told |= self._passages()
        told |= self._stories()
        told |= self._quizzes()
        told |= self._derivations()
        told |= self._assertions()
        told |= self._requests()
        told |= self._translations()
        self._text(told, code_switching)

    def _draw(self, split: str, taken: set[object], draw: Callable[[Random, int], RowType]) -> list[RowType]:
        random = stream(self.seed, split)
        return distinct_rows(lambda position: draw(random, position), self.rows[split], taken=taken, what=split)

    def _inference(self) -> set[object]:
        taken: set[object] = set()

        def pairs(split: str, words: Vocabulary) -> list[inference.Pair]:
            labels = inference.LABELS
            return self._draw(
                split, taken, lambda random, i: inference.draw_pair(random, words, labels[i % len(labels)])
            )

        for name in ("test", "dev"):
            rows = pairs(f"xnli/{name}", self.target)
            inference.write_xnli(self.folder / f"xnli/xnli.{name}.tsv", rows, self.languages)
        dev = pairs("mnli/dev", self.intermediate)
        inference.write_mnli(self.folder / "MNLI/dev_matched.tsv", dev, num_annotators=5)
        train = pairs("mnli/train", self.intermediate)
        inference.write_mnli(self.folder / "MNLI/train.tsv", train, num_annotators=1)
        for language in self._translations_of_training_data():
            path = self.folder / f"MNLI/train.{language.code}.tsv"
            inference.write_mnli(path, train, language, num_annotators=1)
        for split in ("dev", "train"):
            rows = pairs(f"snli/{split}", self.intermediate)
            inference.write_snli(self.folder / f"snli_1.0/snli_1.0_{split}.jsonl", rows)
            rows = pairs(f"anli/{split}", self.intermediate)
            third = -(-len(rows) // 3)
            for number in range(3):
                path = self.folder / f"anli_v1.0/R{number + 1}/{split}.jsonl"
                part = rows[number * third :][:third]
                inference.write_anli(path, part, prefix=f"r{number + 1}-{split}")
        return taken

    def _translations_of_training_data(self) -> list[Language]:
        return [language for language in self.languages if language.code == TRANSLATED]

    def _duplicates(self) -> set[object]:
        taken: set[object] = set()
        for split in ("dev", "train"):
            pairs = self._draw(
                f"qqp/{split}",
                taken,
                lambda random, i: duplicates.draw_question_pair(random, self.intermediate, duplicate=i % 2 == 0),
            )
            duplicates.write_qqp(self.folder / f"QQP/{split}.tsv", pairs)
        return taken

    def _quizzes(self) -> set[object]:
        taken: set[object] = set()
        for split in ("valid", "train"):
            drawn = self._draw(
                f"cosmosqa/{split}", taken, lambda random, _: quizzes.draw_quiz(random, self.intermediate)
            )
            quizzes.write_cosmosqa(self.folder / f"cosmosqa/{split}.csv", drawn)
        for split in ("dev", "train"):
            riddles = self._draw(
                f"commonsenseqa/{split}", taken, lambda random, _: quizzes.draw_riddle(random, self.intermediate)
            )
            quizzes.write_commonsenseqa(self.folder / f"commonsenseqa/{split}_rand_split.jsonl", riddles)
        return taken

    def _derivations(self) -> set[object]:
        taken: set[object] = set()
        for split, sections in (("dev", "00"), ("train", "02-21")):
            drawn = self._draw(
                f"ccg/{split}", taken, lambda random, _: tagging.draw_assertion(random, self.intermediate)
            )
            supertags.write_stagged(self.folder / f"ccg/wsj{sections}.stagged", drawn)
        return taken

    def _paraphrases(self) -> set[object]:
        taken: set[object] = set()

        def rewordings(split: str) -> list[paraphrase.Rewording]:
            return self._draw(
                split, taken, lambda random, i: paraphrase.draw_rewording(random, self.target, same_meaning=i % 2 == 0)
            )

        for split, name in (("pawsx/test", "test_2k"), ("pawsx/dev", "dev_2k")):
            rows = rewordings(split)
            for language in self.languages:
                path = self.folder / f"pawsx/x-final/{language.code}/{name}.tsv"
                paraphrase.write_pawsx(path, rows, language)
        path = self.folder / f"pawsx/x-final/{ENGLISH.code}/train.tsv"
        paraphrase.write_pawsx(path, rewordings("pawsx/train"), ENGLISH)
        return taken

    def _passages(self) -> set[object]:
        taken: set[object] = set()

        def passages(split: str, words: Vocabulary) -> list[reading.Passage]:
            return self._draw(split, taken, lambda random, _: reading.draw_passage(random, words))

        test = passages("xquad/test", self.target)
        for language in self.languages:
            reading.write_squad(self.folder / f"xquad/xquad.{language.code}.json", test, language)
        for split in ("dev", "train"):
            rows = passages(f"squad/{split}", self.intermediate)
            reading.write_squad(self.folder / f"squad_v1/{split}-v1.1.json", rows, ENGLISH)
        for split in ("dev", "train"):
            rows = passages(f"squad_v2/{split}", self.intermediate)
            reading.write_squad_2(self.folder / f"squad_v2/{split}-v2.0.json", rows)
        return taken

    def _stories(self) -> set[object]:
        taken: set[object] = set()
        for split in ("val", "train"):
            stories = self._draw(
                f"hellaswag/{split}", taken, lambda random, _: endings.draw_story(random, self.intermediate)
            )
            endings.write_hellaswag(self.folder / f"hellaswag/hellaswag_{split}.jsonl", stories, split=split)
        for language in self._translations_of_training_data():
            path = self.folder / f"hellaswag/hellaswag_train.{language.code}.jsonl"
            endings.write_hellaswag(path, stories, language, split="train")
        return taken

    def _assertions(self) -> set[object]:
        taken: set[object] = set()

        def sentences(split: str) -> list[tagging.Assertion]:
            return self._draw(split, taken, lambda random, _: tagging.draw_assertion(random, self.target))

        test = sentences("udpos/test")
        for language in self.languages:
            tagging.write_conllu(self._treebank(language, "test"), test, language, split="test")
        for split in ("dev", "train"):
            tagging.write_conllu(self._treebank(ENGLISH, split), sentences(f"udpos/{split}"), ENGLISH, split=split)
        return taken

    def _treebank(self, language: Language, split: str) -> Path:
        treebank = "EWT" if language is ENGLISH else "PUD"
        folder = self.folder / f"udpos/UD_{language.name}-{treebank}"
        return folder / f"{language.code}_{treebank.lower()}-ud-{split}.conllu"

    def _requests(self) -> set[object]:
        taken: set[object] = set()

        def requests(split: str) -> list[utterances.Request]:
            return self._draw(split, taken, lambda random, _: utterances.draw_request(random, self.target))

        test = requests("xsid/test")
        for language in self.languages:
            utterances.write_xsid(self.folder / f"xsid/{language.code}.test.conll", test, language, evaluation=True)
        valid, train = requests("xsid/valid"), requests("xsid/train")
        utterances.write_xsid(self.folder / "xsid/en.valid.conll", valid, ENGLISH, evaluation=True)
        utterances.write_xsid(self.folder / "xsid/en.train.conll", train, ENGLISH, evaluation=False)
        for language in self.languages:
            if language.code in trees.MTOP_LANGUAGES:
                trees.write_mtop(self.folder / f"mtop/{language.code}/test.txt", test, language)
        trees.write_mtop(self.folder / "mtop/en/eval.txt", valid, ENGLISH)
        trees.write_mtop(self.folder / "mtop/en/train.txt", train, ENGLISH)
        return taken

    def _translations(self) -> set[object]:
        taken: set[object] = set()
        pairs = self._draw("tatoeba/test", taken, lambda random, _: tagging.draw_assertion(random, self.target))
        for language in self.languages:
            if language is not ENGLISH:
                plain.write_tatoeba(self.folder / "tatoeba/v1", pairs, language)
                third = len(pairs) // 3
                for split, meanings in (("sample", pairs[:third]), ("training", pairs[third:])):
                    plain.write_bucc(self.folder / "bucc2018", split, meanings, language)
        return taken

    def _text(self, held_out: set[object], code_switching: float) -> None:
        for language in self.languages:
            narrator = plain.Narrator(
                random=stream(self.seed, f"text/{language.code}"),
                vocabulary=vocabulary.whole(),
                language=language,
                others=[o for o in self.languages if o is not language and ENGLISH in (o, language)],
                code_switching=code_switching,
                held_out=held_out,
            )
            plain.write_text(self.folder / f"text/{language.code}.txt", narrator, self.rows["text"])


def _sizes(rows: Mapping[str, int], scale: float) -> dict[str, int]:
    if unknown := sorted(rows.keys() - ROWS.keys()):
        raise UserError(f"rows: unknown {', '.join(unknown)}; splits are {', '.join(ROWS)}")
    sizes = {split: round(scale * size) for split, size in {**ROWS, **rows}.items()}
    if empty := [split for split, size in sizes.items() if size < 1]:
        raise UserError(f"rows, scale: no rows are left of {', '.join(empty)}; ask for at least 1")
    return sizes


def _spoken(codes: Sequence[str]) -> list[Language]:
    """The languages in the order of LANGUAGES, English always among them."""
    if unknown := [code for code in codes if code not in LANGUAGES]:
        raise UserError(f"languages: unknown {', '.join(unknown)}; known are {', '.join(LANGUAGES)}")
    return [language for code, language in LANGUAGES.items() if code in codes or language is ENGLISH]


def _is_written(out: Path, record: Mapping[str, object]) -> bool:
    """Whether `out` is there, made with these arguments. Raises UserError if it is there, made otherwise."""
    if not out.exists():
        return False
    try:
        found = json.loads((out / RECORD).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{out} exists and is no synthetic corpus (no readable {RECORD}); choose another") from error
    if found != record:
        differing = ", ".join(sorted(key for key in record if found.get(key) != record[key]))
        raise UserError(f"{out} was made with other arguments ({differing}); remove it or choose another folder")
    return True


@contextmanager
def _whole_folder(out: Path) -> Iterator[Path]:
    """A temporary folder that becomes `out` at the end, and vanishes on errors."""
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{out.name}-", dir=out.parent) as temporary:
            folder = Path(temporary) / "corpora"
            folder.mkdir()
            yield folder
            folder.rename(out)
    except OSError as error:
        raise UserError(f"{out} cannot be written: {error.strerror}; choose another folder") from error
