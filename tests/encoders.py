"""The files of an encoder, a few bytes each, made without torch: whole ones, and ones that are broken in some way."""

import io
import json
import math
import pickle
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

CONFIG: dict[str, Any] = {
    "model_type": "xlm-roberta",
    "vocab_size": 6,
    "hidden_size": 4,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 8,
    "max_position_embeddings": 514,
    "pad_token_id": 1,
}
PIECES = ("<s>", "<pad>", "</s>", "<unk>", "▁", "<mask>")
SHAPES = {"embeddings.word_embeddings.weight": (6, 4), "encoder.layer.0.output.dense.bias": (4,)}
POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 1112253233\n"


def config(**changes: Any) -> bytes:
    return json.dumps(CONFIG | changes).encode()


def tokenizer(pieces: tuple[str, ...] = PIECES, **changes: Any) -> bytes:
    model = {"type": "Unigram", "unk_id": 3, "vocab": [[piece, 0.0] for piece in pieces]} | changes
    return json.dumps({"version": "1.0", "added_tokens": [], "model": model}).encode()


def safetensors(shapes: Mapping[str, tuple[int, ...]] = SHAPES) -> bytes:
    header, end = {"__metadata__": {"format": "pt"}}, 0
    for name, shape in shapes.items():
        begin, end = end, end + 4 * math.prod(shape)
        header[name] = {"dtype": "F32", "shape": list(shape), "data_offsets": [begin, end]}  # type: ignore[dict-item]
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + bytes(end)


def archive(content: object = None, **files: bytes) -> bytes:
    """What `torch.save(content)` writes, as far as a pickle without tensors goes."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as zipped:
        for name, data in ({"data.pkl": pickle.dumps(content or {}, protocol=2)} | files).items():
            zipped.writestr(f"archive/{name}", data)
    return out.getvalue()


def index(*parts: str) -> bytes:
    return json.dumps({"weight_map": dict(zip(SHAPES, parts, strict=False))}).encode()


ENCODER = {
    "config.json": config(),
    "model.safetensors": safetensors(),
    "tokenizer.json": tokenizer(),
    "sentencepiece.bpe.model": b"pieces",
    "tokenizer_config.json": b"{}",
}
BARE = {name: content for name, content in ENCODER.items() if name != "model.safetensors"}
"""Without weights."""

SHARDED = BARE | {
    "model-00001-of-00002.safetensors": safetensors(dict([*SHAPES.items()][:1])),
    "model-00002-of-00002.safetensors": safetensors(dict([*SHAPES.items()][1:])),
    "model.safetensors.index.json": index("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"),
}


def legacy(*pickles: object) -> bytes:
    return b"".join(pickle.dumps(each, protocol=2) for each in pickles)


class _Stranger:
    pass


BROKEN: dict[str, tuple[dict[str, bytes], str]] = {
    "weights are a git-lfs pointer": (
        BARE | {"pytorch_model.bin": POINTER},
        r"pytorch_model\.bin is a git-lfs pointer, not the file itself; run 'git lfs pull'",
    ),
    "safetensors are a git-lfs pointer": (
        ENCODER | {"model.safetensors": POINTER},
        r"model\.safetensors is a git-lfs pointer",
    ),
    "a tokenizer is a git-lfs pointer": (ENCODER | {"tokenizer.json": POINTER}, r"tokenizer\.json is a git-lfs pointer"),
    "pieces are a git-lfs pointer": (
        ENCODER | {"sentencepiece.bpe.model": POINTER},
        r"sentencepiece\.bpe\.model is a git-lfs pointer",
    ),
    "a config is a git-lfs pointer": (ENCODER | {"config.json": POINTER}, r"config\.json is a git-lfs pointer"),
    "a shard is a git-lfs pointer": (
        SHARDED | {"model-00002-of-00002.safetensors": POINTER},
        r"model-00002-of-00002\.safetensors is a git-lfs pointer",
    ),
    "weights are empty": (ENCODER | {"model.safetensors": b""}, r"model\.safetensors is empty; download"),
    "pickled weights are empty": (BARE | {"pytorch_model.bin": b""}, r"pytorch_model\.bin is empty"),
    "a tokenizer is empty": (ENCODER | {"tokenizer.json": b""}, r"tokenizer\.json is empty"),
    "a page instead of weights": (
        BARE | {"pytorch_model.bin": b"<!DOCTYPE html><title>Not found</title>"},
        r"pytorch_model\.bin is not a file that torch\.save wrote: it begins with b'<!DOCTYPE",
    ),
    "a page instead of safetensors": (
        ENCODER | {"model.safetensors": b"<!DOCTYPE html><title>Not found</title>"},
        r"model\.safetensors is not a safetensors file, or it is cut off: it has 39 bytes",
    ),
    "a pickle with foreign objects": (
        BARE | {"pytorch_model.bin": archive({"w": Path("x")})},
        r"pytorch_model\.bin holds objects other than tensors \(pathlib\.PosixPath\), which are never loaded",
    ),
    "a legacy pickle with foreign objects": (
        BARE | {"pytorch_model.bin": legacy(0x1950A86A20F9469CFC6C, 1001, {}, _Stranger())},
        r"holds objects other than tensors \(.*encoders\._Stranger",
    ),
    "a pickle that calls a command": (
        BARE | {"pytorch_model.bin": archive(**{"data.pkl": b"\x80\x02cposix\nsystem\nX\x02\x00\x00\x00id\x85R."})},
        r"other than tensors \(posix\.system\)",
    ),
    "a pickle that torch did not write": (
        BARE | {"pytorch_model.bin": pickle.dumps({"w": 1})},
        r"pytorch_model\.bin is cut off, damaged or no file of torch\.save",
    ),
    "an archive that is cut off": (
        BARE | {"pytorch_model.bin": archive()[:-10]},
        r"pytorch_model\.bin is cut off, damaged or no file of torch\.save \(File is not a zip file\)",
    ),
    "an archive of something else": (
        BARE | {"pytorch_model.bin": archive(**{"data.pkl": b"\x80\x02"})},
        r"pytorch_model\.bin is cut off, damaged",
    ),
    "safetensors that are cut off": (
        ENCODER | {"model.safetensors": safetensors()[:-10]},
        r"model\.safetensors is cut off or damaged: its header describes 112 bytes of tensors, and there are 102",
    ),
    "safetensors with a malformed header": (
        ENCODER | {"model.safetensors": safetensors().replace(b"[6, 4]", b"[7, 4]")},
        r"the header of model\.safetensors is malformed",
    ),
    "a config that is not JSON": (ENCODER | {"config.json": b"{'model_type'"}, r"config\.json is not JSON: Expecting"),
    "a config that is a list": (ENCODER | {"config.json": b"[1]"}, r"config\.json is not a JSON object but \[1\]"),
    "a config that is nested too deeply": (
        ENCODER | {"config.json": b"[" * 100_000},
        r"config\.json is not JSON: it is nested too deeply",
    ),
    "another architecture": (
        ENCODER | {"config.json": config(model_type="bert")},
        r"config\.json: model_type 'bert' is not supported; use an encoder of model_type xlm-roberta or xlm-roberta-xl",
    ),
    "another architecture with pieces alone": (
        {"config.json": config(model_type="deberta-v2"), "spm.model": b"pieces", "pytorch_model.bin": POINTER},
        r"config\.json: model_type 'deberta-v2' is not supported",
    ),
    "no architecture": (
        ENCODER | {"config.json": b'{"architectures": ["XLMRobertaModel"]}'},
        r"config\.json: model_type None is not supported",
    ),
    "code of its own": (
        ENCODER | {"config.json": config(model_type="mine", auto_map={"AutoConfig": "mine.Config"})},
        r"model_type 'mine' is not supported, and its own code \('auto_map'\) is never run",
    ),
    "sizes that are no numbers": (
        ENCODER | {"config.json": config(hidden_size="4")},
        r"config\.json: hidden_size '4' is not a whole number of 1 or more",
    ),
    "sizes that do not fit": (
        ENCODER | {"config.json": config(num_attention_heads=3)},
        r"hidden_size 4 is not a multiple of num_attention_heads 3",
    ),
    "padding that is no token": (ENCODER | {"config.json": config(pad_token_id=None)}, "pad_token_id None is not"),
    "a tokenizer that is not JSON": (
        ENCODER | {"tokenizer.json": b"not JSON"},
        r"tokenizer\.json is not JSON: Expecting value: line 1 column 1",
    ),
    "a tokenizer of another kind": (
        ENCODER | {"tokenizer.json": tokenizer(type="Tekken")},
        r"tokenizer\.json: model 'Tekken' is not a tokenizer of the 'tokenizers' library",
    ),
    "a tokenizer of another family": (
        ENCODER | {"tokenizer.json": tokenizer(("[CLS]", "[PAD]", "[SEP]", "[UNK]"))},
        r"tokenizer\.json lacks the tokens <s>, <pad>, </s>, <unk>; only tokenizers of the XLM-R family",
    ),
    "a tokenizer without a vocabulary": (
        ENCODER | {"tokenizer.json": tokenizer(vocab=None)},
        r"tokenizer\.json has no vocabulary",
    ),
    "a tokenizer with a malformed vocabulary": (
        ENCODER | {"tokenizer.json": tokenizer(vocab=["<s>", "<pad>"])},
        r"tokenizer\.json: its vocabulary is malformed",
    ),
    "a tokenizer without an unknown token": (
        ENCODER | {"tokenizer.json": tokenizer(unk_id=None)},
        r"tokenizer\.json: unk_id None is not the number of a token",
    ),
    "a tokenizer of another release": (
        ENCODER | {"tokenizer.json": tokenizer((*PIECES, "more"))},
        r"tokenizer\.json has 7 tokens, but vocab_size in config\.json is 6",
    ),
    "pieces alone as tokenizer": (
        {name: content for name, content in ENCODER.items() if name != "tokenizer.json"},
        r"has no tokenizer\.json \(AutoTokenizer.*\); it holds .*sentencepiece\.bpe\.model",
    ),
    "pieces of DeBERTa alone": (
        {name: content for name, content in ENCODER.items() if "tokenizer" not in name} | {"spm.model": b"pieces"},
        r"has no tokenizer\.json",
    ),
    "a shard that is missing": (
        {name: content for name, content in SHARDED.items() if "00002-of" not in name},
        r"model\.safetensors\.index\.json lists model-00002-of-00002\.safetensors, not in the folder",
    ),
    "an index without a map": (
        SHARDED | {"model.safetensors.index.json": b"{}"},
        r"model\.safetensors\.index\.json has no 'weight_map'",
    ),
    "an index that leads elsewhere": (
        SHARDED | {"model.safetensors.index.json": index("../secret.safetensors", "model-00002-of-00002.safetensors")},
        r"weight_map names the file '\.\./secret\.safetensors'; only files beside it are read",
    ),
    "shards without an index": (
        BARE | {"model-00001-of-00002.safetensors": safetensors()},
        r"has no weights \(one of model\.safetensors, model\.safetensors\.index\.json, pytorch_model\.bin",
    ),
    "weights of another model": (
        ENCODER | {"model.safetensors": safetensors({"wte.weight": (6, 4)})},
        r"the weights \(wte\.weight\) are not those of an encoder",
    ),
    "weights of another vocabulary": (
        ENCODER | {"model.safetensors": safetensors(SHAPES | {"embeddings.word_embeddings.weight": (9, 4)})},
        r"word embeddings are \[9, 4\] in the weights and \[6, 4\] \(vocab_size, hidden_size\) in config\.json",
    ),
    "weights of another depth": (
        ENCODER | {"config.json": config(num_hidden_layers=2)},
        r"the weights have 1 layers and num_hidden_layers in config\.json is 2",
    ),
}  # fmt: skip
"""What no stage could load, and what is said of it."""


def write(folder: Path, files: Mapping[str, bytes]) -> Path:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder
