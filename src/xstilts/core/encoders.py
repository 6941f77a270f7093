"""An encoder in the hub's format, as far as JSON and headers describe it: what this version can load, and why not.

Whoever brings an encoder into a store and whoever loads one check the same things here. Errors begin with the file's
name; callers put the encoder's before it.
"""

import json
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

from xstilts.core.errors import UserError
from xstilts.core.handed_over import is_pointer, pointer_error

CONFIG = "config.json"
TOKENIZER = "tokenizer.json"
LAYOUTS = ("model.safetensors", "model.safetensors.index.json", "pytorch_model.bin", "pytorch_model.bin.index.json")
"""Where the hub's format keeps weights, in the order of preference: one file, or several that an index lists."""
MODEL_TYPES = ("xlm-roberta", "xlm-roberta-xl")
SPECIAL_TOKENS = ("<s>", "<pad>", "</s>", "<unk>")
"""Those that every tokenizer of the XLM-R family has; ids 0 to 3 in the published ones."""
PREFIX = "roberta."
"""What a model with a head puts before the names of its encoder's weights."""

_SIZES = (
    "vocab_size",
    "hidden_size",
    "num_hidden_layers",
    "num_attention_heads",
    "intermediate_size",
    "max_position_embeddings",
)
_TOKENIZER_KINDS = ("Unigram", "BPE", "WordPiece", "WordLevel")
_SHOWN = 3


@contextmanager
def naming(encoder: object) -> Iterator[None]:
    """Puts the encoder's name before what is wrong with its files."""
    try:
        yield
    except UserError as error:
        raise UserError(f"{encoder}: {error}") from error


def parsed(name: str, content: bytes) -> dict[str, Any]:
    """The JSON object in a file of that name. Raises UserError for anything else."""
    if is_pointer(content):
        raise pointer_error(name)
    try:
        document = json.loads(content.decode())
    except (ValueError, RecursionError) as error:
        reason = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise UserError(f"{name} is not JSON: {reason}; download the file again") from error
    if not isinstance(document, dict):
        raise UserError(f"{name} is not a JSON object but {_excerpt(document)}; download the file again")
    return document


class Limits(NamedTuple):
    """What a study may ask of an encoder; None where its config leaves it to defaults."""

    tokens: int | None = None
    """Of a sequence, special tokens included."""
    layers: int | None = None


def limits_of(config: Mapping[str, Any]) -> Limits:
    """Of a config that `check_config` took. Positions are counted from `pad_token_id` + 1."""
    positions, padding = config.get("max_position_embeddings"), config.get("pad_token_id")
    tokens = None if positions is None or padding is None else positions - padding - 1
    return Limits(tokens, config.get("num_hidden_layers"))


UNKNOWN = Limits()


def check_config(config: Mapping[str, Any]) -> None:
    """Raises UserError where `config.json` describes an encoder of another kind, or of impossible sizes."""
    model_type = config.get("model_type")
    if model_type not in MODEL_TYPES:
        own_code = ", and its own code ('auto_map') is never run" if "auto_map" in config else ""
        raise UserError(
            f"{CONFIG}: model_type {_excerpt(model_type)} is not supported{own_code}; "
            f"use an encoder of model_type {' or '.join(MODEL_TYPES)}"
        )
    for field in _SIZES:
        size = config.get(field, 1)
        if type(size) is not int or size < 1:
            raise UserError(f"{CONFIG}: {field} {_excerpt(size)} is not a whole number of 1 or more")
    padding = config.get("pad_token_id", 0)
    if type(padding) is not int or not 0 <= padding < config.get("vocab_size", padding + 1):
        raise UserError(f"{CONFIG}: pad_token_id {_excerpt(padding)} is not the number of a token")
    hidden, heads = config.get("hidden_size"), config.get("num_attention_heads")
    if hidden and heads and hidden % heads:
        raise UserError(f"{CONFIG}: hidden_size {hidden} is not a multiple of num_attention_heads {heads}")


def check_tokenizer(tokenizer: Mapping[str, Any], config: Mapping[str, Any]) -> None:
    """Raises UserError where `tokenizer.json` is not an XLM-R tokenizer that fits the config's vocabulary."""
    model = tokenizer.get("model")
    kind = model.get("type") if isinstance(model, dict) else None
    if not isinstance(model, dict) or kind not in (None, *_TOKENIZER_KINDS):
        raise UserError(
            f"{TOKENIZER}: model {_excerpt(kind or model)} is not a tokenizer of the 'tokenizers' library; "
            f"it has {', '.join(_TOKENIZER_KINDS)}"
        )
    ids = _ids(model.get("vocab"), tokenizer.get("added_tokens") or [])
    if missing := [token for token in SPECIAL_TOKENS if token not in ids]:
        raise UserError(
            f"{TOKENIZER} lacks the tokens {', '.join(missing)}; only tokenizers of the XLM-R family are supported"
        )
    if kind == "Unigram" and (
        type(unknown := model.get("unk_id")) is not int or not 0 <= unknown < len(model["vocab"])
    ):
        raise UserError(
            f"{TOKENIZER}: unk_id {_excerpt(unknown)} is not the number of a token; download the file again"
        )
    size, room = max(ids.values()) + 1, config.get("vocab_size")
    if room and size > room:
        raise UserError(
            f"{TOKENIZER} has {size} tokens, but vocab_size in {CONFIG} is {room}; take both from the same release"
        )


def parts_of(name: str, index: Mapping[str, Any]) -> list[str]:
    """Files that an index of weights lists, sorted. Raises UserError where it names anything but files beside it."""
    weight_map = index.get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        raise UserError(f"{name} has no 'weight_map' of weights to files; download the file again")
    for part in weight_map.values():
        if not isinstance(part, str) or part in {"", ".", ".."} or "/" in part or "\\" in part or "\0" in part:
            raise UserError(f"{name}: weight_map names the file {_excerpt(part)}; only files beside it are read")
    return sorted(set(weight_map.values()))


def check_shapes(shapes: Mapping[str, Sequence[int]], config: Mapping[str, Any]) -> None:
    """Raises UserError where weights of these names and shapes are not those of the config's encoder.

    Embeddings and layers are compared; loading accounts for every weight.
    """
    prefix = PREFIX if any(name.startswith(PREFIX) for name in shapes) else ""
    words = shapes.get(f"{prefix}embeddings.word_embeddings.weight")
    if words is None:
        raise UserError(f"the weights ({_listed(sorted(shapes))}) are not those of an encoder such as {CONFIG} names")
    expected = [config.get("vocab_size", words[0]), config.get("hidden_size", words[-1])]
    if list(words) != expected:
        raise UserError(
            f"word embeddings are {list(words)} in the weights and {expected} (vocab_size, hidden_size) in {CONFIG}; "
            "take both from the same release"
        )
    layer = re.compile(rf"{re.escape(prefix)}encoder\.layer\.(\d+)\.")
    layers = {int(found[1]) for name in shapes if (found := layer.match(name))}
    number = config.get("num_hidden_layers", len(layers))
    if layers != set(range(number)):
        raise UserError(
            f"the weights have {len(layers)} layers and num_hidden_layers in {CONFIG} is {number}; "
            "take both from the same release"
        )


def layout_of(names: Collection[str]) -> str | None:
    """The file among these names that loading starts from; None where there are no weights."""
    return next((layout for layout in LAYOUTS if layout in names), None)


def _ids(vocabulary: object, added: object) -> dict[str, int]:
    """Tokens with their numbers, from both forms in which a vocabulary is written."""
    if not isinstance(vocabulary, list | dict) or not isinstance(added, list):
        raise UserError(f"{TOKENIZER} has no vocabulary; download the file again")
    try:
        if isinstance(vocabulary, list):
            ids = {piece: number for number, (piece, _) in enumerate(vocabulary)}
        else:
            ids = dict(vocabulary)
        ids |= {token["content"]: token["id"] for token in added}
    except (TypeError, ValueError, KeyError) as error:
        raise UserError(f"{TOKENIZER}: its vocabulary is malformed ({error!r}); download the file again") from error
    if not all(type(number) is int for number in ids.values()):
        raise UserError(f"{TOKENIZER}: tokens need whole numbers as ids; download the file again")
    return ids


def _listed(names: Sequence[str]) -> str:
    return ", ".join([*names[:_SHOWN], *(["…"] if len(names) > _SHOWN else [])]) or "none"


def _excerpt(value: object) -> str:
    return repr(value)[:80]
