"""Encoders in the hub's format, read and written with every weight accounted for.

jiant once matched a wrong key prefix and loaded nothing, with a warning (nyu-mll/jiant, de5437a to #1329); a silently
ignored intermediate checkpoint looks exactly like "no effect". Here each hand-over loads every encoder weight or fails.
"""

import json
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import AutoConfig, AutoModel, PreTrainedModel
from transformers.initialization import no_init_weights

from xstilts.core.errors import CoverageError, UserError
from xstilts.training.linear import replace_linear
from xstilts.training.tokenizer import TOKENIZER_FILES

WEIGHTS = "model.safetensors"
LAYOUTS = (WEIGHTS, f"{WEIGHTS}.index.json", "pytorch_model.bin", "pytorch_model.bin.index.json")
"""Where the hub's format keeps weights: one file or several, in safetensors or as a pickle of plain tensors."""
FAMILIES = ("xlm-roberta", "xlm-roberta-xl")
LANGUAGE_MODEL = "lm_head."
LEFTOVERS = (LANGUAGE_MODEL, "classifier.", "qa_outputs.", "pooler.", "score.", "embeddings.position_ids")
"""What a file may hold beyond the encoder: heads of other models, and buffers that transformers once saved."""
SHOWN = 3


class LoadReport(NamedTuple):
    """How a file's keys were used."""

    loaded: int
    prefix: str
    """What the file puts before the encoder's keys: `roberta.` or nothing."""
    leftovers: tuple[str, ...]
    """Keys of the file that no encoder has: heads."""
    language_model: Mapping[str, Tensor]
    """Weights of a head for masked language modelling, if the file has one; its output weights are the embeddings."""


def load_encoder(folder: Path, *, dropout: float | None = None) -> tuple[PreTrainedModel, LoadReport]:
    """An encoder in float32, in evaluation mode, with every weight from the folder.

    `dropout` replaces that of the folder's config. A pooler, which no head of ours uses, is taken if there is one, else
    zero. Raises UserError for another architecture or a folder without weights, CoverageError where the encoder's keys
    or shapes are not exactly those of the file.
    """
    config = _config(folder, dropout)
    with no_init_weights():  # which would take a quarter of a minute, for weights that are all replaced
        encoder: PreTrainedModel = AutoModel.from_config(config, dtype=torch.float32)  # type: ignore[no-untyped-call]
    state, report = _matched(
        _weights(folder), encoder.state_dict(), prefix=f"{encoder.base_model_prefix}.", folder=folder
    )
    encoder.load_state_dict(state)
    replace_linear(encoder)
    encoder.train(mode=False)
    return encoder, report


def save_encoder(
    encoder: PreTrainedModel, folder: Path, *, tokenizer_from: Path, weights: Mapping[str, Tensor] | None = None
) -> None:
    """Writes what `AutoModel` and `AutoTokenizer` load; equal weights give equal bytes.

    `weights`, on the CPU, are written in place of the encoder's own; there may be others beside them (`lm_head.…`).
    """
    encoder.config.architectures = [type(encoder).__name__]
    (folder / "config.json").write_text(encoder.config.to_json_string(use_diff=False))
    own = weights or {name: weight.detach().cpu().contiguous() for name, weight in encoder.state_dict().items()}
    save_file(dict(own), folder / WEIGHTS, metadata={"format": "pt"})
    for file in map(tokenizer_from.joinpath, TOKENIZER_FILES):
        if file.is_file():
            shutil.copyfile(file, folder / file.name)


def _config(folder: Path, dropout: float | None) -> Any:
    if not (folder / "config.json").is_file():
        raise UserError(f"{folder} has no config.json; give a folder in the format of Hugging Face's hub")
    config = AutoConfig.from_pretrained(folder, local_files_only=True)
    if config.model_type not in FAMILIES:
        raise UserError(
            f"{folder}/config.json: model_type {config.model_type!r} is not supported; take {' or '.join(FAMILIES)}"
        )
    if dropout is not None:
        config.hidden_dropout_prob = config.attention_probs_dropout_prob = dropout
    config.dtype = torch.float32
    config._name_or_path = ""  # where the folder happens to be must not end up in what is saved
    return config


def _weights(folder: Path) -> dict[str, Tensor]:
    layout = next((folder / name for name in LAYOUTS if (folder / name).is_file()), None)
    if layout is None:
        raise UserError(f"{folder} has no weights; looked for {', '.join(LAYOUTS)}")
    if layout.suffix != ".json":
        return _tensors(layout)
    parts = sorted(set(json.loads(layout.read_text())["weight_map"].values()))
    return {key: tensor for part in parts for key, tensor in _tensors(folder / part).items()}


def _tensors(file: Path) -> dict[str, Tensor]:
    try:
        if file.suffix == ".safetensors":
            return load_file(file)
        tensors: dict[str, Tensor] = torch.load(file, map_location="cpu", weights_only=True)
    except (OSError, SafetensorError, RuntimeError) as error:
        raise UserError(f"{file} cannot be read: {error}; fetch the encoder again") from error
    return tensors


def _matched(
    weights: Mapping[str, Tensor], expected: Mapping[str, Tensor], *, prefix: str, folder: Path
) -> tuple[dict[str, Tensor], LoadReport]:
    """The encoder's state from the file's weights, or CoverageError."""
    if not any(key.startswith(prefix) for key in weights):
        prefix = ""
    inside = {key.removeprefix(prefix): tensor for key, tensor in weights.items() if key.startswith(prefix)}
    outside = {key for key in weights if not key.startswith(prefix)}
    extra = {key for key in inside if key not in expected} | outside
    unexpected = {key for key in extra if not key.startswith(LEFTOVERS)}
    missing = {key for key in expected if key not in inside and not key.startswith("pooler.")}
    mismatched = {
        f"{key} {tuple(inside[key].shape)} for {tuple(tensor.shape)}"
        for key, tensor in expected.items()
        if key in inside and inside[key].shape != tensor.shape
    }
    if missing or unexpected or mismatched:
        raise CoverageError(
            f"{folder} does not hold exactly the encoder that its config.json describes: "
            f"{_listed('missing', missing)}; {_listed('unexpected', unexpected)}; {_listed('mismatched', mismatched)}"
        )
    state = {key: inside.get(key, torch.zeros_like(tensor)) for key, tensor in expected.items()}
    language_model = {
        key.removeprefix(LANGUAGE_MODEL): tensor
        for key, tensor in weights.items()
        if key.startswith(LANGUAGE_MODEL) and not key.startswith(f"{LANGUAGE_MODEL}decoder.")
    }
    return state, LoadReport(len(expected.keys() & inside.keys()), prefix, tuple(sorted(extra)), language_model)


def _listed(what: str, names: Iterable[str]) -> str:
    ordered = sorted(names)
    examples = f" ({', '.join(ordered[:SHOWN])}{', …' if len(ordered) > SHOWN else ''})" if ordered else ""
    return f"{len(ordered)} {what}{examples}"
