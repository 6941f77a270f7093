"""What every head offers: features, a loss and answers for one kind of task, on top of token states.

A head knows everything about its kind, the encoder and the loop know nothing: adding a kind is one file here. Layers
and their initialization (torch's default) are those of jiant's `modeling/heads.py`.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from pydantic import Field
from torch import Tensor, nn

from xstilts.api.base import Model
from xstilts.api.training import ParserSettings
from xstilts.core.catalogue import TaskKind
from xstilts.core.errors import UserError
from xstilts.training.attention import Places
from xstilts.training.batches import Batch, Feature
from xstilts.training.tokenizer import Tokenizer

UNKNOWN = -100
"""Index of a label that the head cannot say: an evaluation set may hold some; the loss leaves them out."""

Prediction = Any
"""JSON: a label, an index, a text, a list of tags, or `{"intent", "slots"}`."""


class Lengths(NamedTuple):
    """What encoding depends on besides the tokenizer."""

    max_length: int
    doc_stride: int
    """Of span extraction alone."""


class HeadSpec(Model):
    """All that rebuilds a head and reads its answers, beside its weights."""

    task: str
    kind: TaskKind
    labels: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    """Label sets by what they label, in the order of the head's outputs."""
    max_length: int
    doc_stride: int
    null_answers: bool = False
    """Whether the training data of span extraction has questions without an answer."""
    parser: ParserSettings | None = None
    """Of semantic parsing."""


class Head(nn.Module, ABC):
    """Encodes examples, says which tokens it reads, and turns their states [places, hidden] into a loss or answers.

    Encoding knows no head: its targets are JSON with labels as words, so that what is tokenized serves every head of
    the kind. `target` gives them the form that the other methods want.
    """

    def __init__(self, spec: HeadSpec, *, hidden_size: int, dropout: float) -> None:
        super().__init__()
        self.spec = spec
        self.numbers = {name: {label: n for n, label in enumerate(labels)} for name, labels in spec.labels.items()}
        self.build(hidden_size, dropout)

    @abstractmethod
    def build(self, hidden_size: int, dropout: float) -> None:
        """Adds the layers, freshly initialized from torch's global generator."""

    @classmethod
    @abstractmethod
    def features(cls, tokenizer: Tokenizer, examples: Sequence[Any], lengths: Lengths) -> list[Feature]:
        """One feature an example, in order, with a JSON target."""

    @abstractmethod
    def target(self, document: Any) -> Any:
        """A feature's target with this head's label numbers."""

    def encode(self, tokenizer: Tokenizer, examples: Sequence[Any]) -> list[Feature]:
        """Features with targets of this head, at the lengths that it was made for."""
        lengths = Lengths(self.spec.max_length, self.spec.doc_stride)
        return [self.readable(feature) for feature in self.features(tokenizer, examples, lengths)]

    def readable(self, feature: Feature) -> Feature:
        """The feature with a target of this head."""
        return Feature(feature.sequences, self.target(feature.target))

    @abstractmethod
    def places(self, batch: Batch) -> Places:
        """The tokens whose states `loss` and `answers` want, on the CPU; the encoder may leave out all others."""

    @abstractmethod
    def counts(self, features: Sequence[Feature]) -> tuple[int, ...]:
        """Terms of each part of the loss."""

    @abstractmethod
    def loss(self, states: Tensor, features: Sequence[Feature], counts: Sequence[int]) -> Tensor:
        """Sum over the parts of (sum of cross-entropies / counts): a scalar."""

    @abstractmethod
    def answers(self, states: Tensor, features: Sequence[Feature]) -> list[Prediction]:
        """One answer a feature, in order."""

    @classmethod
    @abstractmethod
    def labels(cls, examples: Sequence[Any]) -> dict[str, set[str]]:
        """The label sets that the examples use; empty for kinds without labels."""

    @classmethod
    def resolve_labels(
        cls, task: str, found: Mapping[str, Sequence[str]], fixed: Sequence[str] | None
    ) -> dict[str, tuple[str, ...]]:
        """The fixed label set, or else those found in the training data, the whole of it for each of its subsets.

        Raises UserError for a label outside of the fixed set, or a fixed set where the kind has not one.
        """
        if fixed is None:
            return {name: tuple(labels) for name, labels in found.items()}
        if len(found) != 1:
            raise UserError(f"task {task}: labels are given, but this kind has {len(found)} label sets; leave them out")
        ((name, labels),) = found.items()
        if unknown := sorted(set(labels) - set(fixed)):
            raise UserError(
                f"task {task}: training label {unknown[0]!r} is none of {', '.join(fixed)}; mend the data or the task"
            )
        return {name: tuple(fixed)}


class SentenceScores(nn.Module):
    """jiant's and RoBERTa's classification layers: [n, hidden] to [n, outputs]."""

    def __init__(self, hidden_size: int, outputs: int, dropout: float) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.dense = nn.Linear(hidden_size, hidden_size)
        self.out_proj = nn.Linear(hidden_size, outputs)

    def forward(self, pooled: Tensor) -> Tensor:
        hidden = torch.tanh(self.dense(self.dropout(pooled)))
        scores: Tensor = self.out_proj(self.dropout(hidden))
        return scores
