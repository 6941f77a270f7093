"""JSON documents in the store: read into their models, with errors that name the document and its first wrong field."""

from typing import TypeVar

from pydantic import ValidationError

from xstilts.api.base import Model
from xstilts.core.errors import IntegrityError
from xstilts.core.keys import canonical_json
from xstilts.store.port import NotFound, ObjectStore

Document = TypeVar("Document", bound=Model)


def load(store: ObjectStore, key: str, kind: type[Document]) -> Document | None:
    """The document, or None where there is none. Raises IntegrityError for an unreadable one."""
    found = load_versioned(store, key, kind)
    return found[0] if found else None


def load_versioned(store: ObjectStore, key: str, kind: type[Document]) -> tuple[Document, str] | None:
    """The same with its ETag."""
    try:
        data, etag = store.read_versioned(key)
        return kind.model_validate_json(data), etag
    except NotFound:
        return None
    except ValidationError as error:
        raise unreadable(store, key, error) from error


def encode(document: Model) -> bytes:
    """As documents are stored."""
    return canonical_json(document.document()).encode()


def unreadable(store: ObjectStore, key: str, error: ValidationError) -> IntegrityError:
    """A stored document that this version does not understand; the message names its first wrong field."""
    return IntegrityError(
        f"{key} in {store.uri} is not readable: {first_problem(error)}; if it was cut off, mend it: "
        f"xstilts repair {store.uri}; if another version of xstilts wrote it, use that one"
    )


def first_problem(error: ValidationError) -> str:
    """The first wrong field."""
    first = error.errors(include_url=False, include_input=False)[0]
    return f"{'.'.join(map(str, first['loc'])) or 'the document'}: {first['msg']}"
