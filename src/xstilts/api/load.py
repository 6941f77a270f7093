"""Reads what people write from YAML and explains every mistake: path of the field, the bad value, what is allowed."""

import difflib
from collections.abc import Hashable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar, get_args

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from xstilts.api.schedule import StudySchedule
from xstilts.api.study import Study

M = TypeVar("M", bound=BaseModel)

KINDS: dict[str, type[Study] | type[StudySchedule]] = {"Study": Study, "StudySchedule": StudySchedule}
"""What people write."""


class InvalidDocument(ValueError):
    """A document that cannot be read as what it should be; the message has one line a mistake."""


class Document(NamedTuple):
    """One document of a file."""

    resource: Study | StudySchedule
    content: dict[str, Any]
    """As it is written: without defaults, and in its own spelling of numbers."""


class _StrictLoader(yaml.SafeLoader):
    """Refuses keys given twice, of which YAML would silently keep the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[Hashable] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=deep)
            if key in seen:
                raise yaml.constructor.ConstructorError(None, None, f"key {key!r} is given twice", key_node.start_mark)
            seen.add(key)
        return super().construct_mapping(node, deep=deep)


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
        document = yaml.load(text, Loader=_StrictLoader)  # noqa: S506 - a SafeLoader
    except yaml.YAMLError as error:
        raise InvalidDocument(f"  not YAML: {error}") from error
    return _validated(Study, document)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidDocument(f"{path}: cannot be read: {error}") from error


def _contents(path: Path) -> list[Any]:
    try:
        contents = [each for each in yaml.load_all(_text(path), Loader=_StrictLoader) if each is not None]
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
        raise InvalidDocument(f"  expected a mapping with apiVersion, kind, metadata and spec, found {document!r}")
    try:
        return model.model_validate(document)
    except ValidationError as error:
        lines = [f"  {_explain(detail, model)}" for detail in _roots(error.errors())]
        raise InvalidDocument("\n".join(lines)) from error


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
        case _:
            return f"{path}: {_shown(detail['input'])} is not allowed: {detail['msg']}"


def _path(location: Sequence[int | str]) -> str:
    parts = (f"[{part}]" if isinstance(part, int) else f".{part}" for part in location)
    return "".join(parts).removeprefix(".") or "document"


def _shown(value: object) -> str:
    text = repr(value)
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
