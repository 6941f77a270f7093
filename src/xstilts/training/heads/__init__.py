"""One head for each kind of task that is trained."""

from xstilts.core.catalogue import TaskKind
from xstilts.training.heads.base import Head, HeadSpec, Lengths, Prediction
from xstilts.training.heads.classification import ClassificationHead
from xstilts.training.heads.intent_and_slots import IntentAndSlotsHead
from xstilts.training.heads.multiple_choice import MultipleChoiceHead
from xstilts.training.heads.semantic_parsing import SemanticParsingHead
from xstilts.training.heads.span_extraction import SpanExtractionHead
from xstilts.training.heads.tagging import TaggingHead

HEADS: dict[TaskKind, type[Head]] = {
    TaskKind.CLASSIFICATION: ClassificationHead,
    TaskKind.MULTIPLE_CHOICE: MultipleChoiceHead,
    TaskKind.TAGGING: TaggingHead,
    TaskKind.INTENT_AND_SLOTS: IntentAndSlotsHead,
    TaskKind.SPAN_EXTRACTION: SpanExtractionHead,
    TaskKind.SEMANTIC_PARSING: SemanticParsingHead,
}

__all__ = ["HEADS", "Head", "HeadSpec", "Lengths", "Prediction"]
