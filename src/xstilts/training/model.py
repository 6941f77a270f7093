"""One encoder with a head for each task, and the folder that a training stage hands over.

The folder is an encoder in the hub's format (`config.json`, `model.safetensors`, tokenizer files) with
`heads.safetensors` and `heads.json` beside it: the next phase takes the encoder alone and starts with fresh heads,
evaluation takes both.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import PreTrainedModel

from xstilts.api.base import Model
from xstilts.core.errors import CoverageError, UserError
from xstilts.training.batches import Batch
from xstilts.training.dropout import replace_dropout
from xstilts.training.encoders import LANGUAGE_MODEL, load_encoder, save_encoder
from xstilts.training.folders import replacing
from xstilts.training.heads import HEADS, Head, HeadSpec
from xstilts.training.heads.language_model import LanguageModelHead
from xstilts.training.linear import replace_linear
from xstilts.training.packed import token_states
from xstilts.training.prefix import PREFIX_WEIGHTS, Prefix

HEADS_WEIGHTS = "heads.safetensors"
HEADS_DOCUMENT = "heads.json"


class HeadsDocument(Model):
    """`heads.json`: what the weights in `heads.safetensors` belong to; their keys begin with the head's place."""

    format: Literal[1] = 1
    heads: tuple[HeadSpec, ...]
    prefix_length: int = 0
    """Of the prefix in `prefix.safetensors`; 0 where there is none."""


class MultiTaskModel(nn.Module):
    """A shared encoder with a head a task, told apart by their place, and a head for masked language modelling."""

    def __init__(
        self,
        encoder: PreTrainedModel,
        specs: Sequence[HeadSpec],
        *,
        dropout: float,
        language_model: Mapping[str, Tensor] | None = None,
        prefix_length: int = 0,
    ) -> None:
        """`language_model` as by `LanguageModelHead`; None leaves that head out. Its place is after the tasks'.

        With a prefix the encoder's own weights get no gradient.
        """
        super().__init__()
        self.encoder = encoder
        size = encoder.config.hidden_size
        self.heads = nn.ModuleList(HEADS[spec.kind](spec, hidden_size=size, dropout=dropout) for spec in specs)
        self.language_model = None if language_model is None else LanguageModelHead(encoder, language_model)
        self.prefix = Prefix(encoder, prefix_length) if prefix_length else None
        if self.prefix:
            encoder.requires_grad_(False)
        replace_dropout(self)
        replace_linear(self.heads)

    def head(self, task: int) -> Head:
        head = self.heads[task]
        assert isinstance(head, Head)
        return head

    def scorer(self, place: int) -> Head | LanguageModelHead:
        """What turns states into a loss."""
        if place < len(self.heads):
            return self.head(place)
        assert self.language_model is not None
        return self.language_model

    def states(self, batch: Batch, place: int) -> Tensor:
        """[places, hidden]: the encoder's last layer, where the head reads it."""
        places = self.scorer(place).places(batch)
        if isinstance(places, Tensor):
            places = places.to(batch.ids.device)
        return token_states(self.encoder, batch, places=places, prefix=self.prefix)

    def forward(self, batch: Batch, place: int, counts: Sequence[int] | None = None) -> Tensor:
        """The head's loss: a scalar. `counts` are those of the whole of which the batch is a part."""
        head = self.scorer(place)
        return head.loss(self.states(batch, place), batch.features, counts or head.counts(batch.features))


def save_model(model: MultiTaskModel, weights: Mapping[str, Tensor], folder: Path, *, tokenizer_from: Path) -> None:
    """Writes the folder, complete or not at all; equal weights give equal bytes.

    `weights` are the model's whole state, on the CPU, whatever the model itself holds of it.
    """
    document = HeadsDocument(
        heads=tuple(model.head(task).spec for task in range(len(model.heads))),
        prefix_length=model.prefix.length if model.prefix else 0,
    )
    language_model = {f"{LANGUAGE_MODEL}{name}": weight for name, weight in _below("language_model.", weights).items()}
    with replacing(folder) as draft:
        encoder = _below("encoder.", weights) | language_model
        save_encoder(model.encoder, draft, tokenizer_from=tokenizer_from, weights=encoder)
        if model.prefix:
            save_file(_below("prefix.", weights), draft / PREFIX_WEIGHTS)
        if document.heads:
            save_file(_below("heads.", weights), draft / HEADS_WEIGHTS)
            (draft / HEADS_DOCUMENT).write_text(document.model_dump_json(indent=2) + "\n")


def _below(prefix: str, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): weight for name, weight in weights.items() if name.startswith(prefix)}


def load_model(folder: Path) -> MultiTaskModel:
    """A model in evaluation mode from what `save_model` wrote; CoverageError where heads and weights differ."""
    if not (folder / HEADS_DOCUMENT).is_file():
        raise UserError(f"{folder} has no {HEADS_DOCUMENT}; evaluate a checkpoint of a training stage")
    try:
        document = HeadsDocument.model_validate_json((folder / HEADS_DOCUMENT).read_text())
    except ValueError as error:
        raise CoverageError(f"{folder}: {HEADS_DOCUMENT} is not what this version writes: {error}") from error
    encoder, _ = load_encoder(folder)
    model = MultiTaskModel(encoder, document.heads, dropout=0.0, prefix_length=document.prefix_length)
    parts: list[tuple[nn.Module, str]] = [(model.heads, HEADS_WEIGHTS)]
    if model.prefix:
        parts.append((model.prefix, PREFIX_WEIGHTS))
    for part, file in parts:
        try:
            part.load_state_dict(load_file(folder / file))
        except (RuntimeError, OSError, SafetensorError) as error:
            raise CoverageError(f"{folder}: {file} does not hold what {HEADS_DOCUMENT} says: {error}") from error
    return model.eval()
