"""Reads what people write from YAML and explains every mistake: path of the field, the bad value, what is allowed."""

import difflib
from collections.abc import Iterator, Sequence
from datetime import date
from pathlib import Path
from typing import Any, NamedTuple, TypeVar, get_args

import yaml
from pydantic import BaseModel, ValidationError
from pydantic.alias_generators import to_camel
from pydantic_core import ErrorDetails

from xstilts.api import strict_yaml
from xstilts.api.addresses import redacted
from xstilts.api.base import Model
from xstilts.api.schedule import StudySchedule
from xstilts.api.study import Study

M = TypeVar("M", bound=Model)

KINDS: dict[str, type[Study] | type[StudySchedule]] = {"Study": Study, "StudySchedule": StudySchedule}
"""What people write."""


class InvalidDocument(ValueError):
    """A document that cannot be read as what it should be; the message has one line a mistake."""


class Document(NamedTuple):
    """One document of a file."""

    resource: Study | StudySchedule
    content: dict[str, Any]
    """As it is written: without defaults, and in its own spelling of numbers."""


def load_study(path: Path) -> Study:
    """Raises `InvalidDocument` with every mistake at once."""
    text = _text(path)
    try:
        return parse_study(text)
    except InvalidDocument as error:
        raise InvalidDocument(f"{path} is not a valid Study:\n{error}") from error


def load_documents(path: Path) -> list[Document]:
    """Every Study and StudySchedule of a file, of which there is one at least. Raises `InvalidDocument` like above."""
    documents, complaints = [], []
    for number, content in enumerate(_contents(path), start=1):
        try:
            documents.append(_document(content))
        except InvalidDocument as error:
            complaints.append(f"{path}, document {number}, is not valid:\n{error}")
    if complaints:
        raise InvalidDocument("\n".join(complaints))
    return documents


def parse_study(text: str) -> Study:
    """Reads the YAML (or JSON) text of one Study."""
    try:
        documents = list(strict_yaml.load_all(text))
    except yaml.YAMLError as error:
        raise InvalidDocument(f"  not YAML: {error}") from error
    if len(documents) != 1:
        raise InvalidDocument(f"  expected one document, found {len(documents)}")
    return _validated(Study, documents[0])


def _text(path: Path) -> str:
    """Of a file, or of a pipe. Never more of it than `strict_yaml.LARGEST_BYTES`."""
    try:
        with path.open("rb") as file:
            data = file.read(strict_yaml.LARGEST_BYTES + 1)
    except OSError as error:
        raise InvalidDocument(f"{path}: cannot be read: {error.strerror}") from error
    if len(data) > strict_yaml.LARGEST_BYTES:
        largest = strict_yaml.LARGEST_BYTES // 1024
        raise InvalidDocument(f"{path}: has more than {largest} KiB, and a cluster stores no larger object; split it")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InvalidDocument(f"{path}: byte {error.start} is not UTF-8; save the file as UTF-8") from error


def _contents(path: Path) -> list[Any]:
    try:
        contents = [each for each in strict_yaml.load_all(_text(path)) if each is not None]
    except yaml.YAMLError as error:
        raise InvalidDocument(f"{path}: not YAML: {error}") from error
    if not contents:
        raise InvalidDocument(f"{path}: holds no document")
    return contents


def _document(content: Any) -> Document:
    kind = content.get("kind", "Study") if isinstance(content, dict) else "Study"
    if str(kind) not in KINDS:
        raise InvalidDocument(f"  kind: {_shown(kind)} is not allowed; write {' or '.join(KINDS)}")
    return Document(_validated(KINDS[str(kind)], content), content)


def _validated(model: type[M], document: object) -> M:
    if not isinstance(document, dict):
        raise InvalidDocument(
            f"  expected a mapping with apiVersion, kind, metadata and spec, found {_shown(document)}"
        )
    try:
        resource = model.model_validate(document)
    except ValidationError as error:
        lines = [f"  {_explain(detail, model)}" for detail in _roots(error.errors())]
        raise InvalidDocument("\n".join(lines)) from error
    if lines := [f"  {complaint}" for complaint in _read_as_numbers(document, resource.document(), "")]:
        raise InvalidDocument("\n".join(lines))
    return resource


def _read_as_numbers(written: object, read: object, path: str) -> Iterator[str]:
    """Truth values and texts that pydantic took for numbers; the API server refuses them as well."""
    if isinstance(written, dict) and isinstance(read, dict):
        for key, value in written.items():
            yield from _read_as_numbers(value, read.get(key, read.get(to_camel(key))), f"{path}.{key}".lstrip("."))
    elif isinstance(written, list) and isinstance(read, list):
        for number, pair in enumerate(zip(written, read, strict=False)):
            yield from _read_as_numbers(*pair, f"{path}[{number}]")
    elif isinstance(written, bool) and not isinstance(read, bool):
        yield f"{path}: {_TRUTH[written]}: write the number, such as {int(written)}"
    elif isinstance(written, str) and isinstance(read, int):
        yield f"{path}: {_shown(written)} is text: write the number, {read}, without quotes"


_SPELLED = {True: "yes", False: "no"}
_TRUTH = {True: "yes, on and true are one truth value in YAML", False: "no, off and false are one truth value in YAML"}


def explain(error: ValidationError, *, under: str) -> str:
    """Every mistake of a part of a document; `under` is the part's own path."""
    return "; ".join(f"{under}.{_explain(detail, Study)}" for detail in _roots(error.errors()))


def _roots(details: Sequence[ErrorDetails]) -> list[ErrorDetails]:
    """Without the complaints that a list is too short because an item of it is wrong."""
    return [
        detail
        for detail in details
        if detail["type"] != "too_short"
        or not any(other["loc"][: len(detail["loc"])] == detail["loc"] for other in details if other is not detail)
    ]


def _explain(detail: ErrorDetails, root: type[BaseModel]) -> str:
    location = detail["loc"]
    path = _path(location)
    match detail["type"]:
        case "extra_forbidden":
            return f"{path}: unknown field{_suggest(str(location[-1]), _fields_at(location[:-1], root))}"
        case "missing":
            return f"{path}: required, but missing"
        case "value_error":
            return f"{path}: {detail['msg'].removeprefix('Value error, ')}"
        case "string_type" if isinstance(detail["input"], bool):
            return f'{path}: {_TRUTH[detail["input"]]}: put the text in quotes, such as "{_SPELLED[detail["input"]]}"'
        case "string_type" if isinstance(detail["input"], int | float | date):
            return f'{path}: {detail["input"]} is no text in YAML: put it in quotes, as "{detail["input"]}"'
        case _:
            return f"{path}: {_shown(detail['input'])} is not allowed: {detail['msg']}"


def _path(location: Sequence[int | str]) -> str:
    parts = (f"[{part}]" if isinstance(part, int) else f".{part}" for part in location)
    return "".join(parts).removeprefix(".") or "document"


def _shown(value: object) -> str:
    text = redacted(repr(value))
    return text if len(text) <= 80 else f"{text[:77]}..."


def _suggest(word: str, allowed: Sequence[str]) -> str:
    close = difflib.get_close_matches(word, allowed, n=1)
    hint = f", did you mean {close[0]!r}?" if close else ""
    return f"{hint}; allowed: {', '.join(allowed)}" if allowed else hint


def _fields_at(location: Sequence[int | str], root: type[BaseModel]) -> list[str]:
    """The names that the model at a location knows."""
    model: type[BaseModel] | None = root
    for part in location:
        if isinstance(part, int) or model is None:
            continue
        field = next((f for f in model.model_fields.values() if f.alias == part), None)
        model = _model_in(field.annotation) if field else None
    return [field.alias or name for name, field in model.model_fields.items()] if model else []


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for argument in get_args(annotation) if (found := _model_in(argument))), None)
