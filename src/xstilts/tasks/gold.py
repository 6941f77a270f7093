"""The gold side of an example in JSON, as metrics compare it and prediction files hold it."""

from typing import Any

from xstilts.tasks.examples import (
    BitextSentence,
    Classification,
    Example,
    IntentAndSlots,
    MultipleChoice,
    SpanExtraction,
    Tagging,
)


def gold(example: Example) -> Any:
    """Label, answer texts, index of the right choice, tags, intent and slots, or ids of translations.

    None for a retrieval example: the right answer to a sentence is its own row number.
    """
    match example:
        case Classification() | MultipleChoice():
            return example.label
        case SpanExtraction():
            return [answer.text for answer in example.answers]
        case Tagging():
            return list(example.tags)
        case IntentAndSlots():
            return {"intent": example.intent, "slots": list(example.slots)}
        case BitextSentence():
            return list(example.translations)
    return None


def gold_in_any_language(example: Example) -> Any:
    """What a translation leaves as it is: label, index of the right choice, intent, or whether there is an answer.

    None for tagging and retrieval: other languages have other words.
    """
    match example:
        case Classification() | MultipleChoice():
            return example.label
        case SpanExtraction():
            return "answerable" if example.answers else "unanswerable"
        case IntentAndSlots():
            return example.intent
    return None


def is_labelled(example: Example) -> bool:
    """Whether upstream left the label in: XTREME's test files are blank, those of some tasks have none."""
    match example:
        case Classification():
            return bool(example.label)
        case SpanExtraction():
            return all(answer.text for answer in example.answers)
        case MultipleChoice():
            return example.label >= 0
        case Tagging():
            return all(example.tags)
        case IntentAndSlots():
            return bool(example.intent)
    return True
