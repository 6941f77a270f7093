"""Hashes: one canonical JSON, one digest, and addresses in the store made from them."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any

KEY_LENGTH = 32
"""Hex digits of keys and digests in addresses (128 bits); MLflow takes at most 36 for a data set."""


def canonical_json(document: object) -> str:
    """The one spelling of a JSON document: sorted keys, no spaces, no floats that print differently."""
    return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def digest(document: object) -> str:
    """First 32 hex digits of the sha256 of the canonical JSON."""
    return digest_of([canonical_json(document)])


def digest_of(pieces: Iterable[str]) -> str:
    """`digest` of a document whose canonical JSON comes in pieces."""
    sha256 = hashlib.sha256()
    for piece in pieces:
        sha256.update(piece.encode())
    return sha256.hexdigest()[:KEY_LENGTH]


def stage_key(*, kind: str, version: int, config: Mapping[str, Any], inputs: Mapping[str, str]) -> str:
    """What a stage is made from. `inputs` maps a role to the address of an artifact, such as `models/<digest>`."""
    return digest({"kind": kind, "version": version, "config": config, "inputs": inputs})


def stage_address(kind: str, key: str) -> str:
    """Where a stage's manifest, checkpoints, lease and receipts lie in the store."""
    return f"stages/{kind}/{key}"


MODELS = "models/"
"""Encoders that no stage made lie below, each under its digest."""


def model_address(model_digest: str) -> str:
    """Where an encoder that no stage made lies in the store."""
    return f"{MODELS}{model_digest}"
