"""Who owns which field of an object, and the ways to change one: the arithmetic of `MemoryCluster`. Pure.

A path leads to a field by the steps from the root: a name for a key of a mapping, `Item` for one entry of a list that
the API server merges by a key or as a set. All other lists are values as a whole.
"""

from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any, NamedTuple, TypeAlias

KEYS = {
    "conditions": "type",
    "containers": "name",
    "env": "name",
    "imagePullSecrets": "name",
    "initContainers": "name",
    "ownerReferences": "uid",
    "volumes": "name",
    "volumeMounts": "mountPath",
}
"""Lists that are merged entry by entry, and the field that tells entries apart."""
SETS = frozenset({"finalizers"})

Fields: TypeAlias = dict["Path", Any]


class Item(NamedTuple):
    """An entry of a merged list."""

    key: Any


Path: TypeAlias = tuple[str | Item, ...]


class PatchFailed(Exception):
    """A JSON patch does not fit the object."""


# ---- ownership


def fields(value: Any, at: Path = ()) -> Fields:
    """Every field that holds a value, and every entry of a merged list. Empty mappings and lists are values."""
    children = list(_children(value, at))
    if not children:
        return {at: value} if at else {}
    found: Fields = {}
    for path, child in children:
        if isinstance(path[-1], Item):
            found[path] = True
        if not (isinstance(path[-1], Item) and child == path[-1].key):
            found |= fields(child, path)
    return found


def changed(before: Any, after: Any) -> frozenset[Path]:
    """Fields that are new, gone, or of another value."""
    old, new = fields(before), fields(after)
    return frozenset(
        path for path in old.keys() | new.keys() if (path in old, old.get(path)) != (path in new, new.get(path))
    )


def merged(live: Any, applied: Any, at: Path = ()) -> Any:
    """The object with the applied fields set."""
    if isinstance(applied, Mapping) and isinstance(live, Mapping):
        return {**live, **{key: merged(live.get(key), value, (*at, key)) for key, value in applied.items()}}
    if isinstance(applied, list) and isinstance(live, list) and _is_merged(applied, at) and _is_merged(live, at):
        entries = dict(_children(live, at))
        for path, child in _children(applied, at):
            entries[path] = merged(entries.get(path), child, path)
        return list(entries.values())
    return applied


def without(value: Any, gone: AbstractSet[Path], at: Path = ()) -> Any:
    """The object without these fields, and without what is empty now because of that."""
    kept = [
        (path[-1], left)
        for path, child in _children(value, at)
        if path not in gone and ((left := without(child, gone, path)) or not child)
    ]
    if isinstance(value, Mapping):
        return dict(kept)
    return [left for _, left in kept] if _is_merged(value, at) else value


def shown(path: Path) -> str:
    """As people write it: `.spec.parallelism`, `.status.conditions[Accepted]`."""
    return "".join(f"[{step.key}]" if isinstance(step, Item) else f".{step}" for step in path)


def _children(value: Any, at: Path) -> Iterator[tuple[Path, Any]]:
    if isinstance(value, Mapping):
        yield from (((*at, key), child) for key, child in value.items())
    elif _is_merged(value, at):
        key = KEYS.get(str(at[-1]))
        yield from (((*at, Item(entry[key] if key else entry)), entry) for entry in value)


def _is_merged(value: Any, at: Path) -> bool:
    name = at[-1] if at else None
    if not isinstance(value, list) or not isinstance(name, str):
        return False
    return name in SETS or (name in KEYS and all(isinstance(entry, Mapping) and KEYS[name] in entry for entry in value))


# ---- patches


def merge_patched(value: Any, patch: Any) -> Any:
    """JSON merge patch, RFC 7386."""
    if not isinstance(patch, Mapping):
        return patch
    result = dict(value) if isinstance(value, Mapping) else {}
    for key, change in patch.items():
        if change is None:
            result.pop(key, None)
        else:
            result[key] = merge_patched(result.get(key), change)
    return result


def json_patched(value: Any, operations: Sequence[Mapping[str, Any]]) -> Any:
    """JSON patch, RFC 6902, with add, remove, replace and test. Raises PatchFailed."""
    for operation in operations:
        steps = [step.replace("~1", "/").replace("~0", "~") for step in operation["path"].split("/")[1:]]
        try:
            value = _operated(value, steps, operation)
        except (KeyError, IndexError, ValueError, TypeError) as error:
            raise PatchFailed(f"{operation['op']} {operation['path']}: there is no such place") from error
    return value


def _operated(value: Any, steps: Sequence[str], operation: Mapping[str, Any]) -> Any:
    if not steps:
        if operation["op"] == "test" and value != operation.get("value"):
            raise PatchFailed(f"testing value {operation['path']} failed: test failed")
        return value if operation["op"] == "test" else operation["value"]
    step, copy = steps[0], list(value) if isinstance(value, list) else dict(value)
    place: Any = step
    if isinstance(copy, list):
        place = len(copy) if step == "-" else int(step)
    if len(steps) > 1 or operation["op"] == "test":
        absent = operation["op"] == "test" and len(steps) == 1 and isinstance(copy, dict) and step not in copy
        child = _operated(None if absent else copy[place], steps[1:], operation)
        if not absent:
            copy[place] = child
    elif operation["op"] == "add" and isinstance(copy, list):
        copy.insert(place, operation["value"])
    elif operation["op"] == "remove":
        del copy[place]
    else:
        if operation["op"] == "replace":
            copy[place]  # raises where there is nothing to replace
        copy[place] = operation["value"]
    return copy
