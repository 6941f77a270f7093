"""Encoders that no stage made: imported once, named by their content, and from then on artifacts like any other.

Only what an encoder in the hub's format consists of is taken: config, weights (safetensors where there are both
forms) and tokenizer. Optimizers and logs of whoever trained it, and weights of other frameworks, stay out. What no
stage could load is refused, before its weights are fetched where config, tokenizer or index show it.
"""

import os
import tempfile
from collections.abc import Callable, Iterable
from fnmatch import fnmatchcase
from pathlib import Path
from typing import NamedTuple

from xstilts.core.encoders import (
    CONFIG,
    LAYOUTS,
    TOKENIZER,
    Limits,
    check_config,
    check_shapes,
    check_tokenizer,
    layout_of,
    limits_of,
    naming,
    parsed,
    parts_of,
)
from xstilts.core.errors import UserError
from xstilts.core.keys import MODELS, model_address
from xstilts.core.manifests import ArtifactManifest
from xstilts.store import deletions
from xstilts.store.artifacts import blob_key, load_manifest, publish_manifest, put_blobs
from xstilts.store.encoder_files import check_weights, checked_file, read_document
from xstilts.store.hub import hub_errors
from xstilts.store.open import open_store
from xstilts.store.port import ObjectStore

TOKENIZER_FILES = (
    *("tokenizer.json", "*.model", "vocab.txt", "vocab.json", "merges.txt"),
    *("tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"),
)
"""What is kept of a tokenizer; `tokenizer.json` is the one that is read."""

_ELSEWHERE = "pass a directory, or the s3:// URI of one, with the encoder in the hub's format instead"


def put_model(
    store: ObjectStore, folder: Path, *, source: str | None = None, name: str = "", compare: bool = False
) -> ArtifactManifest:
    """Store the encoder in a folder of the hub's format at `models/<digest of its files>`.

    The second time nothing but the hashing is done, unless `compare` asks to read what is there and replace what was
    damaged. `source` is recorded as where it came from (the folder's name by default); `name` is what errors call the
    model. Raises UserError for what no stage could load.
    """
    checked = check_folder(folder, name=name)
    return _put_files(store, checked, source=source or folder.absolute().name, compare=compare)


class Checked(NamedTuple):
    """An encoder that stages can load, as far as one can tell without loading it."""

    folder: Path
    names: list[str]
    """Of the files in the folder that make it up, sorted."""
    limits: Limits


def check_folder(folder: Path, *, name: str = "") -> Checked:
    """The encoder in a folder of the hub's format. Raises UserError for what no stage could load."""
    name = name or f"model {str(folder)!r}"
    if not folder.is_dir():
        raise UserError(f"{name} is not a directory")
    with naming(name):
        return _judged([path.name for path in folder.iterdir() if not path.is_dir()], lambda _: folder)


def resolve_model(
    store: ObjectStore,
    *,
    uri: str | None = None,
    name: str | None = None,
    revision: str = "main",
    token: str | None = None,
    open_source: Callable[[str], ObjectStore] = open_store,
) -> ArtifactManifest:
    """Bring the encoder that a Study names into the store: a directory or s3:// URI, else a name on the hub.

    `token` is the hub's, where the encoder is not public. `open_source` opens the URI (another bucket may need other
    settings). Raises UserError for a model that is not there, StorageUnavailable where the hub does not answer.
    """
    if uri and name:
        raise UserError(f"model: give a name ({name!r}) or a uri ({uri!r}), not both")
    if uri and uri.startswith(f"{store.uri}/{MODELS}"):
        return _pushed(store, uri)
    if uri:
        shown = f"model.uri {uri!r}"
        if folder := local_folder(uri):
            return put_model(store, folder, name=shown)
        return _put_from_store(store, open_source(uri), name=shown)
    if name:
        return _put_from_hub(store, name, revision=revision, token=token)
    raise UserError("model: give a name on the hub, or the uri of a directory (s3://…, or a local one)")


def _pushed(store: ObjectStore, uri: str) -> ArtifactManifest:
    address = uri.removeprefix(f"{store.uri}/").rstrip("/")
    manifest = load_manifest(store, address)
    if manifest is None:
        raise UserError(f"spec.model.uri: {uri} is not in the store; bring it there: xstilts model push FOLDER --store")
    return manifest


def stored_limits(store: ObjectStore, model: ArtifactManifest) -> Limits:
    """Of an encoder in the store. Raises UserError for one of another kind, which an earlier version let in."""
    entry = next((file for file in model.files if file.path == CONFIG), None)
    if entry is None:
        raise UserError(f"{model_address(model.key)} in {store.uri} has no {CONFIG}; bring the encoder in again")
    config = parsed(CONFIG, store.read(blob_key(entry.sha256)))
    check_config(config)
    return limits_of(config)


def local_folder(uri: str) -> Path | None:
    """The directory with an encoder that a Study's `model.uri` names on this machine, if it is there.

    What was pushed into a store in a directory is none: only its manifest lies there. Spellings of an address are those
    that `open_store` knows, so that no folder passes by the checks of `check_folder`.
    """
    folder = Path(uri.removeprefix("file:").removeprefix("//")).expanduser()
    is_pushed = (folder / "manifest.json").is_file() and not os.path.lexists(folder / CONFIG)
    return folder if folder.is_dir() and not is_pushed else None


def _put_files(store: ObjectStore, encoder: Checked, *, source: str, compare: bool = False) -> ArtifactManifest:
    def write() -> ArtifactManifest:
        names = [encoder.folder / name for name in encoder.names]
        files = put_blobs(store, encoder.folder, names, compare=compare)
        model = ArtifactManifest(kind="model", key="", files=files, provenance={"source": source})
        keyed = model.model_copy(update={"key": model.content_digest})
        address = model_address(keyed.key)
        return load_manifest(store, address) or publish_manifest(store, address, keyed)

    return deletions.guarded(store, write)


def _judged(names: Iterable[str], bring: Callable[[list[str]], Path]) -> Checked:
    """The encoder among files of these names; those that lie in a folder of their own do not count.

    `bring` makes sure that files are in a folder, and returns it. Weights are brought last: most of what is wrong shows
    without them. Raises UserError, without the model's name.
    """
    there = sorted(name for name in names if "/" not in name)
    layout = layout_of(there)
    config = read_document(bring([CONFIG]), CONFIG) if CONFIG in there else None
    if config is not None:
        check_config(config)
    missing = [
        what
        for what, found in (
            (CONFIG, CONFIG in there),
            (f"weights (one of {', '.join(LAYOUTS)})", layout),
            (f"{TOKENIZER} (AutoTokenizer.from_pretrained(…).save_pretrained(…) writes it)", TOKENIZER in there),
        )
        if not found
    ]
    if layout is None or config is None or missing:
        raise UserError(f"the folder has no {', no '.join(missing)}; it holds {', '.join(there) or 'no files'}")
    tokenizer = [name for name in there if any(fnmatchcase(name, pattern) for pattern in TOKENIZER_FILES)]
    documents = [*tokenizer, *([layout] if layout.endswith(".json") else [])]
    folder = bring(documents)
    content = {name: read_document(folder, name) for name in documents if name.endswith(".json")}
    for name in set(documents) - content.keys():
        checked_file(folder, name)
    check_tokenizer(content[TOKENIZER], config)
    weights = parts_of(layout, content[layout]) if layout in content else [layout]
    if absent := sorted(set(weights) - set(there)):
        raise UserError(f"{layout} lists {', '.join(absent)}, not in the folder; download all parts of the weights")
    folder = bring(weights)
    if shapes := check_weights(folder, weights):
        check_shapes(shapes, config)
    return Checked(folder, sorted({CONFIG, *documents, *weights}), limits_of(config))


def _put_from_store(store: ObjectStore, source: ObjectStore, *, name: str) -> ArtifactManifest:
    with tempfile.TemporaryDirectory(prefix="xstilts-model-") as temporary:
        folder = Path(temporary)

        def bring(names: list[str]) -> Path:
            for file in names:
                source.download(file, folder / file)
            return folder

        with naming(name):
            checked = _judged((info.key for info in source.list("")), bring)
        return _put_files(store, checked, source=source.uri)


def _put_from_hub(store: ObjectStore, name: str, *, revision: str, token: str | None) -> ArtifactManifest:
    with hub_errors("model", name, revision, elsewhere=_ELSEWHERE):
        from huggingface_hub import HfApi, snapshot_download

        model = HfApi().model_info(name, revision=revision, token=token)

        def bring(names: list[str]) -> Path:
            # by commit, so that a revision that moves meanwhile does not mix two models
            return Path(snapshot_download(name, revision=model.sha, allow_patterns=names, token=token))

        with naming(f"model.name {name!r}"):
            checked = _judged((file.rfilename for file in model.siblings or ()), bring)
    return _put_files(store, checked, source=f"{name}@{model.sha}")
