"""Encoders that no stage made: imported once, named by their content, and from then on artifacts like any other.

Only what an encoder in the hub's format consists of is taken: config, weights (safetensors where there are both
forms) and tokenizer. Optimizers and logs of whoever trained it, and weights of other frameworks, stay out.
"""

import tempfile
from collections.abc import Callable, Iterable
from fnmatch import fnmatchcase
from pathlib import Path

from xstilts.core.errors import UserError
from xstilts.core.keys import MODELS, model_address
from xstilts.core.manifests import ArtifactManifest
from xstilts.store import deletions
from xstilts.store.artifacts import load_manifest, publish_manifest, put_blobs
from xstilts.store.hub import hub_errors
from xstilts.store.open import open_store
from xstilts.store.port import ObjectStore

CONFIG = "config.json"
SAFETENSORS = ("model*.safetensors", "model.safetensors.index.json")
PICKLED = ("pytorch_model*.bin", "pytorch_model.bin.index.json")
VOCABULARY = ("tokenizer.json", "*.model", "vocab.txt", "vocab.json")
TOKENIZER = (*VOCABULARY, "merges.txt", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json")

_ELSEWHERE = "pass a directory, or the s3:// URI of one, with the encoder in the hub's format instead"


def put_model(store: ObjectStore, folder: Path, *, source: str | None = None) -> ArtifactManifest:
    """Store the encoder in a folder of the hub's format at `models/<digest of its files>`.

    The second time nothing but the hashing is done. `source` is recorded as where it came from (the folder's name by
    default). Raises UserError where config, weights or tokenizer are missing.
    """
    if not folder.is_dir():
        raise UserError(f"model {str(folder)!r} is no directory")
    names = encoder_files((path.name for path in folder.iterdir() if path.is_file()), source=str(folder))
    provenance = {"source": source or folder.absolute().name}

    def write() -> ArtifactManifest:
        files = put_blobs(store, folder, [folder / name for name in names])
        model = ArtifactManifest(kind="model", key="", files=files, provenance=provenance)
        keyed = model.model_copy(update={"key": model.content_digest})
        address = model_address(keyed.key)
        return load_manifest(store, address) or publish_manifest(store, address, keyed)

    return deletions.guarded(store, write)


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
        folder = Path(uri.removeprefix("file:")).expanduser()
        return put_model(store, folder) if folder.is_dir() else _put_from_store(store, open_source(uri))
    if name:
        return _put_from_hub(store, name, revision=revision, token=token)
    raise UserError("model: give a name on the hub, or the uri of a directory (s3://…, or a local one)")


def _pushed(store: ObjectStore, uri: str) -> ArtifactManifest:
    address = uri.removeprefix(f"{store.uri}/").rstrip("/")
    manifest = load_manifest(store, address)
    if manifest is None:
        raise UserError(f"spec.model.uri: {uri} is not in the store; bring it there: xstilts model push FOLDER --store")
    return manifest


def encoder_files(names: Iterable[str], *, source: str) -> list[str]:
    """Those of a folder's file names that make up the encoder, sorted. Raises UserError where a part is missing."""
    there = sorted(names)
    weights = _matching(there, SAFETENSORS) or _matching(there, PICKLED)
    missing = [
        what
        for what, found in (
            (CONFIG, CONFIG in there),
            ("weights (model*.safetensors or pytorch_model*.bin)", weights),
            (f"tokenizer (one of {', '.join(VOCABULARY)})", _matching(there, VOCABULARY)),
        )
        if not found
    ]
    if missing:
        raise UserError(f"model {source!r} has no {', no '.join(missing)}; it holds {', '.join(there) or 'no files'}")
    return sorted([CONFIG, *weights, *_matching(there, TOKENIZER)])


def _matching(names: Iterable[str], patterns: Iterable[str]) -> list[str]:
    return [name for name in names if any(fnmatchcase(name, pattern) for pattern in patterns)]


def _put_from_store(store: ObjectStore, source: ObjectStore) -> ArtifactManifest:
    names = encoder_files((info.key for info in source.list("")), source=source.uri)
    with tempfile.TemporaryDirectory(prefix="xstilts-model-") as folder:
        for name in names:
            source.download(name, Path(folder, name))
        return put_model(store, Path(folder), source=source.uri)


def _put_from_hub(store: ObjectStore, name: str, *, revision: str, token: str | None) -> ArtifactManifest:
    with hub_errors("model", name, revision, elsewhere=_ELSEWHERE):
        from huggingface_hub import HfApi, snapshot_download

        model = HfApi().model_info(name, revision=revision, token=token)
        names = encoder_files((file.rfilename for file in model.siblings or ()), source=name)
        # by commit, so that a revision that moves meanwhile does not mix two models
        folder = snapshot_download(name, revision=model.sha, allow_patterns=names, token=token)
    return put_model(store, Path(folder), source=f"{name}@{model.sha}")
