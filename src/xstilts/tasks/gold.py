"""The gold side of an example in JSON, as metrics compare it and prediction files hold it."""

from typing import Any

from xstilts.tasks.examples import (
    BitextSentence,
    Classification,
    Example,
    IntentAndSlots,
    MultipleChoice,
    SemanticParse,
    SpanExtraction,
    Tagging,
    spelled,
)


def gold(example: Example) -> Any:
    """Label, answer texts, index of the right choice, tags, intent and slots, the parse, or ids of translations.

    None for a retrieval example: the right answer to a sentence is its own row number.
    """
    match example:
        case Classification() | MultipleChoice():
            return example.label
        case SpanExtraction():
            return [answer.text for answer in example.answers]
        case Tagging(tags=values) | BitextSentence(translations=tuple(values)):
            return list(values)
        case IntentAndSlots():
            return {"intent": example.intent, "slots": list(example.slots)}
        case SemanticParse():
            return spelled(example.words, example.parse)
    return None


def gold_in_any_language(example: Example) -> Any:
    """What a translation leaves as it is: label, index of the right choice, intent, or whether there is an answer.

    None for tagging, retrieval and parses that are no trees: other languages have other words.
    """
    match example:
        case Classification() | MultipleChoice():
            return example.label
        case SpanExtraction():
            return "answerable" if example.answers else "unanswerable"
        case IntentAndSlots():
            return example.intent
        case SemanticParse(parse=(str(root), *_)) if root.startswith("["):
            return root.removeprefix("[")
    return None


def is_labelled(example: Example) -> bool:
    """Whether upstream left the label in: XTREME's test files are blank, those of some tasks have none."""
    match example:
        case Classification(label=label) | IntentAndSlots(intent=label) | SemanticParse(parse=label):
            return bool(label)
        case SpanExtraction():
            return all(answer.text for answer in example.answers)
        case MultipleChoice():
            return example.label >= 0
        case Tagging():
            return all(example.tags)
        case BitextSentence():
            return example.translations is not None
    return True
