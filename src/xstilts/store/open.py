"""From a store's address to the store. Settings of S3 are named as in a Study's `store` section."""

from pathlib import Path
from urllib.parse import urlsplit

from xstilts.core.errors import UserError
from xstilts.store.directory import DirectoryStore
from xstilts.store.memory import MemoryStore
from xstilts.store.port import ObjectStore


def open_store(
    uri: str,
    *,
    endpoint: str | None = None,
    region: str | None = None,
    path_style: bool | None = None,
    ca_bundle: Path | None = None,
) -> ObjectStore:
    """The store at `s3://bucket/prefix`, `file:<directory>`, a plain directory, or `memory:` (new and empty).

    `endpoint`, `region`, `path_style` (see `StoreSpec`) and `ca_bundle` (PEM file) concern S3 alone, and default to
    what the environment says (AWS_ENDPOINT_URL_S3, AWS_REGION, AWS_CA_BUNDLE). Raises UserError for another scheme.
    """
    scheme, colon, rest = uri.partition(":")
    if not colon or "/" in scheme:
        return DirectoryStore(_directory(uri))
    match scheme:
        case "file":
            return DirectoryStore(_directory(rest.removeprefix("//")))
        case "memory" if not rest:
            return MemoryStore()
        case "s3":
            # boto3 takes half a second to import, which a directory store need not pay
            from xstilts.store.s3 import S3Store

            bucket, prefix = _bucket_and_prefix(uri)
            return S3Store(bucket, prefix, endpoint=endpoint, region=region, path_style=path_style, ca_bundle=ca_bundle)
    raise UserError(f"store {uri!r}: write s3://bucket/prefix, file:/directory, a directory, or memory:")


def _directory(path: str) -> Path:
    if not path:
        raise UserError("the store's directory is empty: write file:/directory, or a plain directory")
    return Path(path).expanduser()


def _bucket_and_prefix(uri: str) -> tuple[str, str]:
    parts = urlsplit(uri)
    if not parts.netloc or "@" in parts.netloc or parts.query or parts.fragment:
        raise UserError(
            f"store {uri.rpartition('@')[2]!r}: write s3://bucket/prefix; credentials go to the environment"
        )
    return parts.netloc, parts.path.strip("/")
