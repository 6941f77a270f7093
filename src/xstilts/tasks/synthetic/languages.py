"""The languages of the synthetic corpora: word order, function words and script of each, as plain data.

`grammar` fills the patterns. In a pattern a capital letter is a constituent and everything else a word of the language:

    S subject   V verb   B verb as it stands after a negation or an auxiliary   N negation
    O object    M manner   P place   T time

A constituent that the clause lacks vanishes. Morphology is simplified (citation forms), word order is not.
"""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Language:
    """One language of the corpora."""

    code: str
    """ISO 639-1, as XNLI, XQuAD, PAWS-X and xSID name their files."""
    iso3: str
    """ISO 639-3, as Tatoeba names its files."""
    name: str
    """As Universal Dependencies names its treebanks."""
    plain: str
    """The unmarked order of a statement."""
    time_first: str
    place_first: str
    questions: Mapping[str, str]
    """Interrogative (who, what, where, when) to the order of its question."""
    negation: str = ""
    """Words of N; empty where the negated verb form says it all."""
    conjunction: str
    year: str
    """Time adjunct of a year, which stands for `#`."""
    clock: str
    """Time adjunct of a time of day, which stands for `#`."""
    subject_marker: str = ""
    """Adposition after the subject of a transitive verb."""
    object_marker: str = ""
    """Adposition after a definite object."""
    person_marker: str = ""
    """Adposition before an object that is a person."""
    adjective_first: bool = True
    spaces: bool = True
    """Whether raw text puts spaces between words."""
    stop: str = "."
    question_mark: str = "?"
    tags: Mapping[str, str]
    """Universal POS tag to its function words; every other word has the tag of its section of the lexicon."""


ENGLISH = Language(
    code="en",
    iso3="eng",
    name="English",
    plain="S N V O M P T",
    time_first="T S N V O M P",
    place_first="P S N V O M T",
    questions={
        "who": "who V O M P T",
        "what": "what did S B M P T",
        "where": "where did S B O M T",
        "when": "when did S B O M P",
    },
    negation="did not",
    conjunction="and",
    year="in #",
    clock="at #",
    tags={"DET": "the", "ADP": "in at on", "AUX": "did", "PART": "not", "CCONJ": "and"},
)

GERMAN = Language(
    code="de",
    iso3="deu",
    name="German",
    plain="S V O T P N M",
    time_first="T V S O P N M",
    place_first="P V S O T N M",
    questions={
        "who": "wer V O T P M",
        "what": "was V S T P M",
        "where": "wo V S O T M",
        "when": "wann V S O P M",
    },
    negation="nicht",
    conjunction="und",
    year="im Jahr #",
    clock="um # Uhr",
    tags={"DET": "der die das", "ADP": "in im am auf um", "PART": "nicht", "CCONJ": "und", "NOUN": "Jahr Uhr"},
)

SPANISH = Language(
    code="es",
    iso3="spa",
    name="Spanish",
    plain="S N V O M P T",
    time_first="T S N V O M P",
    place_first="P S N V O M T",
    questions={
        "who": "¿ quién V O M P T",
        "what": "¿ qué V S M P T",
        "where": "¿ dónde V S O M T",
        "when": "¿ cuándo V S O M P",
    },
    negation="no",
    conjunction="y",
    year="en #",
    clock="a las #",
    person_marker="a",
    adjective_first=False,
    tags={"DET": "el la las", "ADP": "en a", "PART": "no", "CCONJ": "y"},
)

RUSSIAN = Language(
    code="ru",
    iso3="rus",
    name="Russian",
    plain="S M N V O P T",
    time_first="T S M N V O P",
    place_first="P S M N V O T",
    questions={
        "who": "кто M V O P T",
        "what": "что S M V P T",
        "where": "где S M V O T",
        "when": "когда S M V O P",
    },
    negation="не",
    conjunction="и",
    year="в # году",
    clock="в #",
    tags={"ADP": "в во на", "PART": "не", "CCONJ": "и", "NOUN": "году"},
)

HINDI = Language(
    code="hi",
    iso3="hin",
    name="Hindi",
    plain="S T P O M N V",
    time_first="T S P O M N V",
    place_first="P S T O M N V",
    questions={
        "who": "T P O M किसने V",
        "what": "S T P M क्या V",
        "where": "S T O कहाँ M V",
        "when": "S P O कब M V",
    },
    negation="नहीं",
    conjunction="और",
    year="# में",
    clock="# बजे",
    subject_marker="ने",
    object_marker="को",
    stop="।",
    tags={"ADP": "ने को में", "PART": "नहीं", "CCONJ": "और", "ADV": "बजे"},
)

CHINESE = Language(
    code="zh",
    iso3="cmn",
    name="Chinese",
    plain="S T P M N V O",
    time_first="T S P M N V O",
    place_first="P S T M N V O",
    questions={
        "who": "谁 T P M V O",
        "what": "S T P M V 什么",
        "where": "S T 在 哪里 M V O",
        "when": "S 什么时候 P M V O",
    },
    negation="没有",
    conjunction="并且",
    year="在 # 年",
    clock="在 #",
    spaces=False,
    stop="。",
    question_mark="？",
    tags={"ADP": "在 里", "PART": "没有", "CCONJ": "并且", "NOUN": "年"},
)

ARABIC = Language(
    code="ar",
    iso3="ara",
    name="Arabic",
    plain="N V S O M P T",
    time_first="T N V S O M P",
    place_first="P N V S O M T",
    questions={
        "who": "من V O M P T",
        "what": "ماذا V S M P T",
        "where": "أين V S O M T",
        "when": "متى V S O M P",
    },
    negation="ما",
    conjunction="و",
    year="في عام #",
    clock="الساعة #",
    adjective_first=False,
    question_mark="؟",
    tags={"ADP": "في", "PART": "ما", "CCONJ": "و", "NOUN": "عام يوم"},
)

TURKISH = Language(
    code="tr",
    iso3="tur",
    name="Turkish",
    plain="S T P O M V",
    time_first="T S P O M V",
    place_first="P S T O M V",
    questions={
        "who": "T P O M kim V",
        "what": "S T P M ne V",
        "where": "S T O nerede M V",
        "when": "S P O ne zaman M V",
    },
    conjunction="ve",
    year="# yılında",
    clock="saat #",
    tags={"CCONJ": "ve", "NOUN": "günü ayında yılında saat"},
)

LANGUAGES: Mapping[str, Language] = {
    language.code: language for language in (ENGLISH, GERMAN, SPANISH, RUSSIAN, HINDI, CHINESE, ARABIC, TURKISH)
}
"""Language code to language; English is the source language and always there."""
