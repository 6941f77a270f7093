"""Encoders in the hub's format, read and written with every weight accounted for.

jiant once matched a wrong key prefix and loaded nothing, with a warning (nyu-mll/jiant, de5437a to #1329); a silently
ignored intermediate checkpoint looks exactly like "no effect". Here each hand-over loads every encoder weight or fails.
"""

import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import AutoConfig, AutoModel, PreTrainedConfig, PreTrainedModel
from transformers.initialization import no_init_weights

from xstilts.core.encoders import CONFIG, LAYOUTS, check_config, layout_of, naming, parsed, parts_of
from xstilts.core.errors import CoverageError, UserError
from xstilts.training.linear import replace_linear
from xstilts.training.tokenizer import TOKENIZER_FILES

WEIGHTS = "model.safetensors"
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
    encoder = _empty(folder, dropout)
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


def load_config(folder: Path) -> PreTrainedConfig:
    """What the folder's `config.json` says, with defaults. Raises UserError for another architecture.

    Code that comes with an encoder (`auto_map`) is never run, and nobody is asked whether to.
    """
    with naming(folder):
        check_config(_document(folder, CONFIG))
    with _config_errors(folder):
        config: PreTrainedConfig = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    config._name_or_path = ""  # where the folder happens to be must not end up in what is saved
    if hasattr(config, "auto_map"):
        del config.auto_map  # nor names of code that does not come along
    return config


def _empty(folder: Path, dropout: float | None) -> PreTrainedModel:
    """The encoder that `config.json` describes, its weights still to be set."""
    config = load_config(folder)
    if dropout is not None:
        config.hidden_dropout_prob = config.attention_probs_dropout_prob = dropout
    config.dtype = torch.float32
    # initial values would take a quarter of a minute, for weights that are all replaced
    with _config_errors(folder), no_init_weights():
        encoder: PreTrainedModel = AutoModel.from_config(  # type: ignore[no-untyped-call]
            config, dtype=torch.float32, trust_remote_code=False
        )
    return encoder


@contextmanager
def _config_errors(folder: Path) -> Iterator[None]:
    """UserError for whatever transformers raises: it has an error of its own for each field."""
    try:
        yield
    except MemoryError:
        raise
    except Exception as error:
        raise UserError(f"{folder / CONFIG} describes no encoder that can be built: {_brief(error)}") from error


def _document(folder: Path, name: str) -> dict[str, Any]:
    """The JSON object in a file of the folder. Raises UserError."""
    path = folder / name
    if not path.is_file():
        raise UserError(f"no {name}; give a folder in the format of Hugging Face's hub")
    return parsed(name, path.read_bytes())


def _weights(folder: Path) -> dict[str, Tensor]:
    layout = layout_of({path.name for path in folder.iterdir()})
    if layout is None:
        raise UserError(f"{folder} has no weights; looked for {', '.join(LAYOUTS)}")
    if not layout.endswith(".json"):
        return _tensors(folder / layout)
    with naming(folder):
        parts = parts_of(layout, _document(folder, layout))
    return {key: tensor for part in parts for key, tensor in _tensors(folder / part).items()}


def _tensors(file: Path) -> dict[str, Tensor]:
    """Tensors by name, whatever else the file could hold. Raises UserError."""
    safe = file.suffix == ".safetensors"
    try:
        tensors = load_file(file) if safe else torch.load(file, map_location="cpu", weights_only=True)
    except MemoryError:
        raise
    except Exception as error:  # damaged bytes end in errors of any kind
        if safe:
            raise UserError(f"{file} cannot be read: {_brief(error)}; download the encoder again") from error
        raise UserError(  # torch's own text advises to load whatever is in it
            f"{file} cannot be read ({type(error).__name__}): it is damaged, or holds objects other than tensors, "
            "which are never loaded; save the encoder again with save_pretrained, which writes tensors alone"
        ) from error
    if not isinstance(tensors, dict) or not all(isinstance(value, Tensor) for value in tensors.values()):
        raise UserError(f"{file} does not hold tensors by name; save the encoder again with save_pretrained")
    return tensors


def _brief(error: Exception) -> str:
    """The kind of an error and the first line of what it says."""
    return ": ".join([type(error).__name__, *str(error).splitlines()[:1]])


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
