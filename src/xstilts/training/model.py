"""One encoder with a head for each task, and the folder that a training stage hands over.

The folder is an encoder in the hub's format (`config.json`, `model.safetensors`, tokenizer files) with
`heads.safetensors` and `heads.json` beside it: the next phase takes the encoder alone and starts with fresh heads,
evaluation takes both.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import PreTrainedModel

from xstilts.api.base import Model
from xstilts.core.errors import CoverageError, UserError
from xstilts.training.batches import Batch
from xstilts.training.encoders import load_encoder, save_encoder
from xstilts.training.folders import replacing
from xstilts.training.heads import HEADS, Head, HeadSpec
from xstilts.training.packed import token_states

HEADS_WEIGHTS = "heads.safetensors"
HEADS_DOCUMENT = "heads.json"


class HeadsDocument(Model):
    """`heads.json`: what the weights in `heads.safetensors` belong to; their keys begin with the head's place."""

    format: Literal[1] = 1
    heads: tuple[HeadSpec, ...]


class MultiTaskModel(nn.Module):
    """A shared encoder and one head a task, which are told apart by their place."""

    def __init__(self, encoder: PreTrainedModel, specs: Sequence[HeadSpec], *, dropout: float) -> None:
        super().__init__()
        self.encoder = encoder
        size = encoder.config.hidden_size
        self.heads = nn.ModuleList(HEADS[spec.kind](spec, hidden_size=size, dropout=dropout) for spec in specs)

    def head(self, task: int) -> Head:
        head = self.heads[task]
        assert isinstance(head, Head)
        return head

    def states(self, batch: Batch, task: int) -> Tensor:
        """[places, hidden]: the encoder's last layer, where the task's head reads it."""
        places = self.head(task).places(batch)
        if isinstance(places, Tensor):
            places = places.to(batch.ids.device)
        return token_states(self.encoder, batch, places=places)

    def forward(self, batch: Batch, task: int) -> Tensor:
        """The loss of the task's head: a scalar."""
        return self.head(task).loss(self.states(batch, task), batch.features)


def save_model(
    model: MultiTaskModel, folder: Path, *, tokenizer_from: Path, instead: Mapping[str, Tensor] | None = None
) -> None:
    """Writes the folder, complete or not at all; equal weights give equal bytes. `instead` as by `save_encoder`."""
    document = HeadsDocument(heads=tuple(model.head(task).spec for task in range(len(model.heads))))
    with replacing(folder) as draft:
        save_encoder(model.encoder, draft, tokenizer_from=tokenizer_from, instead=instead)
        weights = {name: weight.detach().cpu().contiguous() for name, weight in model.heads.state_dict().items()}
        save_file(weights, draft / HEADS_WEIGHTS)
        (draft / HEADS_DOCUMENT).write_text(document.model_dump_json(indent=2) + "\n")


def load_model(folder: Path) -> MultiTaskModel:
    """A model in evaluation mode from what `save_model` wrote; CoverageError where heads and weights differ."""
    if not (folder / HEADS_DOCUMENT).is_file():
        raise UserError(f"{folder} has no {HEADS_DOCUMENT}; evaluate a checkpoint of a training stage")
    document = HeadsDocument.model_validate_json((folder / HEADS_DOCUMENT).read_text())
    encoder, _ = load_encoder(folder)
    model = MultiTaskModel(encoder, document.heads, dropout=0.0)
    try:
        model.heads.load_state_dict(load_file(folder / HEADS_WEIGHTS))
    except RuntimeError as error:
        raise CoverageError(
            f"{folder}: {HEADS_WEIGHTS} does not hold the heads of {HEADS_DOCUMENT}: {error}"
        ) from error
    return model.eval()
