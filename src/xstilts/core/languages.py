"""Means over the languages of a target: computed here alone, and named here for everybody.

MLflow, the status of Trials and Studies, report, means.csv and terminal all show what `by_scope` returns.
"""

from collections.abc import Iterable, Mapping
from statistics import fmean

from xstilts.core.catalogue import ENGLISH

OTHER_LANGUAGES = "other-languages"
"""Mean over the languages that are not English: the headline score, by which zero-shot transfer is measured."""
ALL_LANGUAGES = "all-languages"
"""Mean over all languages, English among them where it is evaluated: how XTREME averages."""
TRANSFER_GAP = "transfer-gap"
"""English minus `OTHER_LANGUAGES`."""
MEANS = (OTHER_LANGUAGES, ALL_LANGUAGES, TRANSFER_GAP)


def by_scope(by_language: Mapping[str, float]) -> dict[str, float]:
    """Values by language, then their means by scope; a scope that the languages do not give is left out.

    `OTHER_LANGUAGES` needs a language other than English, `TRANSFER_GAP` English too, `ALL_LANGUAGES` any language.
    """
    values = dict(by_language)
    if others := languages_in(OTHER_LANGUAGES, by_language):
        values[OTHER_LANGUAGES] = fmean(by_language[language] for language in others)
        if ENGLISH in by_language:
            values[TRANSFER_GAP] = by_language[ENGLISH] - values[OTHER_LANGUAGES]
    if by_language:
        values[ALL_LANGUAGES] = fmean(by_language.values())
    return values


def languages_in(scope: str, languages: Iterable[str]) -> list[str]:
    """Those of the languages that go into a mean."""
    return [language for language in languages if scope != OTHER_LANGUAGES or language != ENGLISH]
