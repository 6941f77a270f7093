"""Tokenized splits in the store: made once, by whichever stage is first, for all sizes, seeds and studies.

tokens/<key>/manifest.json      an artifact like any other, but no stage's: it holds nothing that data and tokenizer
                                do not say, and is made again where it is gone
"""

import hashlib
import logging
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xstilts.api.training import TrainingSettings
from xstilts.core.catalogue import TaskKind
from xstilts.core.encoders import TOKENIZER
from xstilts.core.errors import IntegrityError, UserError
from xstilts.core.keys import digest
from xstilts.core.manifests import ArtifactManifest, SplitRef
from xstilts.stages.bench import Bench
from xstilts.store import artifacts
from xstilts.store.port import NotFound
from xstilts.tasks.definitions import Task

if TYPE_CHECKING:
    from xstilts.training.tables import TokenTable

FORMAT = 2
"""Raised when the same examples become other tokens or targets."""

log = logging.getLogger(__name__)


def tokens(
    bench: Bench,
    ref: SplitRef,
    examples: Iterable[Any],
    *,
    task: Task | None,
    tokenizer: Path,
    settings: TrainingSettings,
) -> "TokenTable":
    """The split as the task's head wants it, or as lines of text without a task; memory-mapped.

    `examples` are those of the split, lazily: whoever hands them over has checked that they may be trained on, and they
    are read only where nobody has tokenized them before. `tokenizer` is the folder of an encoder.
    """
    from xstilts.training.distributed import Processes
    from xstilts.training.heads import HEADS, Lengths
    from xstilts.training.heads.language_model import LanguageModelHead
    from xstilts.training.tables import TokenTable, write_table
    from xstilts.training.tokenizer import Tokenizer

    lengths = Lengths(settings.max_length, settings.doc_stride)
    if not (tokenizer / TOKENIZER).is_file():
        raise UserError(f"{tokenizer} has no {TOKENIZER}; save the encoder's fast tokenizer into that folder")
    config = {
        "data": ref.document(),
        "task": f"{task.name}/{task.spec.version}" if task else None,
        "tokenizer": hashlib.sha256((tokenizer / TOKENIZER).read_bytes()).hexdigest(),
        "maxLength": lengths.max_length,
        "docStride": lengths.doc_stride if task and task.kind is TaskKind.SPAN_EXTRACTION else None,
        "format": FORMAT,
    }
    key = digest(config)
    folder = bench.scratch / "tokens" / key
    with Processes.joined().first_before_others():
        if not _fetched(bench, key, folder):
            folder.mkdir(parents=True, exist_ok=True)
            encoding = HEADS[task.kind] if task else LanguageModelHead
            write_table(folder, examples, encoding=encoding, tokenizer=Tokenizer.load(tokenizer), lengths=lengths)
            manifest = ArtifactManifest(kind="tokens", key=key, config=config)
            artifacts.publish(bench.store, _address(key), folder, manifest)
    return TokenTable.open(folder)


def _fetched(bench: Bench, key: str, folder: Path) -> bool:
    """Brings the table from the store, if it is there and whole; what is broken is removed."""
    manifest = artifacts.load_manifest(bench.store, _address(key))
    if manifest is None:
        return False
    try:
        artifacts.fetch(bench.store, manifest, folder)
    except (NotFound, IntegrityError) as error:
        log.warning("tokens %s are made again: %s", key, error)
        bench.store.delete(artifacts.manifest_key(_address(key)))
        for file in manifest.files:  # or a blob of the right size and the wrong content would be taken for the new one
            bench.store.delete(artifacts.blob_key(file.sha256))
        return False
    return True


def _address(key: str) -> str:
    return f"tokens/{key}"
