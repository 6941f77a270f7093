"""A cluster in a dictionary: for tests, and for an operator in one process.

It keeps what xstilts relies on: uids, versions and generations, status apart from the rest, finalizers, owners, fields
by who applied them. It has no schemas, defaults, namespaces or controllers; `collect_garbage` does at once what the
garbage collector does in time. Faults and permissions are set from outside, and requests are counted.
"""

import copy
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, NamedTuple, Protocol

from xstilts.api import names
from xstilts.cluster import fields, garbage
from xstilts.cluster.answers import Request
from xstilts.cluster.errors import (
    AlreadyExists,
    Conflict,
    Forbidden,
    Invalid,
    NotFound,
)
from xstilts.cluster.port import EVENTS, LEASES, PODS, SECRETS, Object, Propagation, Resource

PAGE = 500
WITHOUT_STATUS = frozenset({SECRETS, EVENTS, LEASES})
"""Kinds whose objects are one piece; all others have their status as a subresource, and count generations."""

_KEPT = ("uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds", "generation", "resourceVersion")
"""Metadata that only the API server writes."""
_UPDATES = "(updates)"
"""Stands for everybody who writes without applying."""


class Faults(Protocol):
    """Decides over every request. What a method raises, the caller sees."""

    def before(self, request: Request) -> None:
        """Raise, and nothing is done."""
        ...

    def after(self, request: Request) -> None:
        """Raise, and it is done although the answer is lost."""
        ...


class Event(NamedTuple):
    """A change, as a watch tells it."""

    type: str
    """ADDED, MODIFIED or DELETED."""
    resource: Resource
    obj: Object


@dataclass
class _Record:
    obj: Object
    owners: dict[str, frozenset[fields.Path]] = field(default_factory=dict)
    """Field manager to the fields that it owns."""


class MemoryCluster:
    """Keeps everything in this process; safe under threads."""

    namespace = "default"

    def __init__(
        self,
        *,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        faults: Faults | None = None,
        allows: Callable[[Request], bool] = lambda request: True,
        page: int = PAGE,
    ) -> None:
        self.faults = faults
        self.allows = allows
        """Permissions: whether a request is not Forbidden."""
        self.requests: deque[Request] = deque()
        """All that were made, with those that failed."""
        self._clock = clock
        self._page = page
        self._lock = threading.RLock()
        self._records: dict[Resource, dict[tuple[str, str], _Record]] = {}
        self._logs: dict[tuple[str, str], bytes] = {}
        self._subscribers: deque[Callable[[Event], None]] = deque()
        self._version = 0
        self._objects = 0

    # ---- the port

    def get(self, resource: Resource, namespace: str | None, name: str) -> Object | None:
        with self._request(Request("get", resource, namespace, name)):
            record = self._find(resource, namespace, name)
            return copy.deepcopy(record.obj) if record else None

    def list(
        self,
        resource: Resource,
        namespace: str | None,
        *,
        labels: Mapping[str, str] | None = None,
        fields: Mapping[str, str] | None = None,
    ) -> Iterator[Object]:
        with self._request(Request("list", resource, namespace)):
            found = [
                copy.deepcopy(record.obj)
                for (place, _), record in sorted(self._records.get(resource, {}).items())
                if namespace in {None, place} and _carries(record.obj, labels or {}) and _has(record.obj, fields or {})
            ]
        yield from found[: self._page]
        for start in range(self._page, len(found), self._page):
            with self._request(Request("list", resource, namespace)):
                pass
            yield from found[start : start + self._page]

    def create(self, resource: Resource, obj: Object) -> Object:
        request = Request("create", resource, _place(obj)[0])
        with self._request(request):
            if (obj.get("metadata") or {}).get("resourceVersion"):
                raise Invalid(f"{request}: the API server refuses it\n  resourceVersion should not be set")
            return self._added(resource, obj, _UPDATES)

    def apply(
        self,
        resource: Resource,
        obj: Object,
        *,
        field_manager: str = names.FIELD_MANAGER,
        force: bool = True,
        strict: bool = False,
        dry_run: bool = False,
    ) -> Object:
        namespace, name = _place(obj)
        request = Request("patch", resource, namespace, name)
        with self._request(request):
            applied = _normal(resource, obj)
            record = self._find(resource, namespace, name)
            if record is None:
                return self._added(resource, applied, field_manager, dry_run=dry_run)
            owned = fields.fields(_own(resource, applied))
            live = fields.fields(record.obj)
            others = {manager: paths for manager, paths in record.owners.items() if manager != field_manager}
            taken = {path for path, value in owned.items() if path in live and live[path] != value}
            if not force:
                _refuse_conflicts(request, taken, others)
            gone = record.owners.get(field_manager, frozenset()) - owned.keys()
            gone = gone.difference(*others.values())
            after = fields.without(fields.merged(record.obj, applied), gone)
            owners = {manager: paths - taken for manager, paths in others.items()}
            owners[field_manager] = frozenset(owned)
            return self._changed(request, record, after, owners=owners, dry_run=dry_run)

    def patch(
        self, resource: Resource, namespace: str | None, name: str, patch: Object, *, subresource: str = ""
    ) -> Object:
        request = Request("patch", resource, namespace, name, subresource)
        with self._request(request):
            record = self._existing(request)
            return self._changed(request, record, fields.merge_patched(record.obj, patch))

    def json_patch(
        self,
        resource: Resource,
        namespace: str | None,
        name: str,
        operations: Sequence[Mapping[str, Any]],
        *,
        subresource: str = "",
    ) -> Object:
        request = Request("patch", resource, namespace, name, subresource)
        with self._request(request):
            record = self._existing(request)
            try:
                after = fields.json_patched(record.obj, operations)
            except fields.PatchFailed as error:
                raise Conflict(f"{request}: {error}") from error
            return self._changed(request, record, after)

    def replace(self, resource: Resource, obj: Object, *, subresource: str = "") -> Object:
        request = Request("update", resource, *_place(obj), subresource)
        with self._request(request):
            record, after = self._existing(request), _normal(resource, obj)
            if not after["metadata"].get("resourceVersion"):
                raise Invalid(f"{request}: the API server refuses it\n  metadata.resourceVersion: required")
            return self._changed(request, record, after)

    def delete(
        self,
        resource: Resource,
        namespace: str | None,
        name: str,
        *,
        uid: str | None = None,
        propagation: Propagation = "Background",
        grace: int | None = None,
    ) -> None:
        with self._request(Request("delete", resource, namespace, name)):
            record = self._find(resource, namespace, name)
            if record and uid in {None, record.obj["metadata"]["uid"]}:
                self._delete(resource, record, propagation)

    def pod_log(
        self, namespace: str, name: str, *, tail_lines: int | None = None, limit_bytes: int | None = None
    ) -> bytes:
        request = Request("get", PODS, namespace, name, "log")
        with self._request(request):
            self._existing(request)
            lines = self._logs.get((namespace, name), b"").splitlines(keepends=True)
            tail = b"".join(lines if tail_lines is None else lines[len(lines) - min(tail_lines, len(lines)) :])
            return tail[:limit_bytes]

    def follow_pod_log(self, namespace: str, name: str, *, tail_lines: int | None = None) -> Iterator[bytes]:
        """What is there; nothing is written later."""
        yield self.pod_log(namespace, name, tail_lines=tail_lines)

    def can_i(
        self, verb: str, resource: Resource, namespace: str | None, name: str = "", *, subresource: str = ""
    ) -> bool:
        return self.allows(Request(verb, resource, namespace, name, subresource))

    # ---- what tests do to a cluster

    def subscribe(self, callback: Callable[[Event], None]) -> Callable[[], None]:
        """Call back at every change, in their order; returns how to stop it.

        The cluster is held meanwhile: a callback notes down what it hears, and asks nothing.
        """
        with self._lock:
            self._subscribers.append(callback)
        return lambda: self._subscribers.remove(callback)

    def write_log(self, namespace: str, name: str, data: bytes) -> None:
        """Add to what a pod has written."""
        with self._lock:
            self._logs[namespace, name] = self._logs.get((namespace, name), b"") + data

    def collect_garbage(self) -> None:
        """Do all that the garbage collector would do."""
        with self._lock:
            while steps := tuple(garbage.collect(record.obj for _, record in self._everything())):
                there = {record.obj["metadata"]["uid"]: (resource, record) for resource, record in self._everything()}
                for step in steps:
                    self._collected(*there[step.uid], step)

    # ---- reading and writing under the lock

    def _request(self, request: Request) -> "_Served":
        return _Served(self, request)

    def _everything(self) -> Iterator[tuple[Resource, _Record]]:
        return ((resource, record) for resource, records in self._records.items() for record in records.values())

    def _find(self, resource: Resource, namespace: str | None, name: str) -> _Record | None:
        return self._records.get(resource, {}).get((namespace or "", name))

    def _existing(self, request: Request) -> _Record:
        if request.subresource == "status" and request.resource in WITHOUT_STATUS:
            raise NotFound(f"{request}: the kind has no such subresource")
        if record := self._find(request.resource, request.namespace, request.name):
            return record
        raise NotFound(f'{request}: {request.resource} "{request.name}" not found')

    def _added(self, resource: Resource, obj: Object, manager: str, *, dry_run: bool = False) -> Object:
        after = copy.deepcopy(_normal(resource, obj))
        metadata = after["metadata"]
        if "generateName" in metadata and not metadata.get("name"):
            metadata["name"] = f"{metadata['generateName']}{self._objects:05d}"
        namespace, name = _place(after)
        request = Request("create", resource, namespace, name)
        if not name:
            raise Invalid(
                f"{request}: the API server refuses it\n  metadata.name: Required value: name or generateName"
            )
        if there := self._find(resource, namespace, name):
            deleting = "object is being deleted: " if "deletionTimestamp" in there.obj["metadata"] else ""
            raise AlreadyExists(f'{request}: {deleting}{resource} "{name}" already exists')
        if resource not in WITHOUT_STATUS:
            after.pop("status", None)
            metadata["generation"] = 1
        owned = frozenset(fields.fields(_own(resource, after)))
        self._objects += 1
        for key in ("deletionTimestamp", "deletionGracePeriodSeconds"):
            metadata.pop(key, None)
        metadata["uid"] = f"00000000-0000-4000-8000-{self._objects:012d}"
        metadata["creationTimestamp"] = self._now()
        record = _Record(after, {manager: owned})
        if not dry_run:
            metadata["resourceVersion"] = self._next_version()
            self._records.setdefault(resource, {})[namespace or "", name] = record
            self._tell("ADDED", resource, after)
        return copy.deepcopy(after)

    def _changed(
        self,
        request: Request,
        record: _Record,
        after: Object,
        *,
        owners: dict[str, frozenset[fields.Path]] | None = None,
        dry_run: bool = False,
    ) -> Object:
        resource, before = request.resource, record.obj
        _refuse_other_version(request, before, after)
        after = copy.deepcopy(after)
        after["metadata"] |= {key: before["metadata"][key] for key in _KEPT if key in before["metadata"]}
        if request.subresource == "status":
            after = {**before, "status": after.get("status", {})}
        elif resource not in WITHOUT_STATUS:
            after = {key: value for key, value in after.items() if key != "status"}
            after |= {"status": before["status"]} if "status" in before else {}
        _refuse_new_finalizers(request, before, after)
        if owners is None:
            touched = fields.changed(before, after)
            owners = {manager: paths - touched for manager, paths in record.owners.items()}
            mine = touched & fields.fields(_own(resource, after, status=True)).keys()
            owners[_UPDATES] = owners.get(_UPDATES, frozenset()) | mine
        if dry_run:
            return after
        record.owners = owners
        if after != before:
            self._write(resource, record, after)
        return copy.deepcopy(record.obj)

    def _write(self, resource: Resource, record: _Record, after: Object) -> None:
        """Count up, store, and let go of an object whose last finalizer is gone."""
        before, metadata = record.obj, {**after["metadata"]}
        deleting = "deletionTimestamp" in metadata and "deletionTimestamp" not in before["metadata"]
        if "generation" in metadata and (deleting or _desired(before) != _desired(after)):
            metadata["generation"] += 1
        metadata["resourceVersion"] = self._next_version()
        record.obj = {**after, "metadata": metadata}
        if "deletionTimestamp" in metadata and not metadata.get("finalizers"):
            self._remove(resource, record)
        else:
            self._tell("MODIFIED", resource, record.obj)

    def _delete(self, resource: Resource, record: _Record, propagation: Propagation) -> None:
        metadata = record.obj["metadata"]
        if "deletionTimestamp" in metadata:
            return
        extra = {"Foreground": [garbage.FOREGROUND], "Orphan": [garbage.ORPHAN], "Background": []}[propagation]
        if finalizers := [*metadata.get("finalizers", []), *extra]:
            metadata = {**metadata, "finalizers": finalizers, "deletionGracePeriodSeconds": 0}
            metadata["deletionTimestamp"] = self._now()
            self._write(resource, record, {**record.obj, "metadata": metadata})
        else:
            self._remove(resource, record)

    def _remove(self, resource: Resource, record: _Record) -> None:
        namespace, name = _place(record.obj)
        del self._records[resource][namespace or "", name]
        if resource == PODS:
            self._logs.pop((namespace or "", name), None)
        self._tell("DELETED", resource, record.obj)

    def _collected(
        self, resource: Resource, record: _Record, step: garbage.Delete | garbage.SetOwners | garbage.Finalize
    ) -> None:
        metadata = {**record.obj["metadata"]}
        match step:
            case garbage.Delete(_, propagation):
                return self._delete(resource, record, propagation)
            case garbage.SetOwners(_, owners):
                metadata["ownerReferences"] = [*owners]
            case garbage.Finalize(_, finalizer):
                metadata["finalizers"] = [each for each in metadata["finalizers"] if each != finalizer]
        kept = {key: value for key, value in metadata.items() if value != []}
        return self._write(resource, record, {**record.obj, "metadata": kept})

    def _tell(self, kind: str, resource: Resource, obj: Object) -> None:
        for subscriber in [*self._subscribers]:
            subscriber(Event(kind, resource, copy.deepcopy(obj)))

    def _next_version(self) -> str:
        self._version += 1
        return str(self._version)

    def _now(self) -> str:
        return self._clock().astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class _Served:
    """One request: counted, allowed, done under the lock, and perhaps failed on purpose."""

    def __init__(self, cluster: MemoryCluster, request: Request) -> None:
        self._cluster, self._request = cluster, request

    def __enter__(self) -> None:
        cluster, request = self._cluster, self._request
        cluster.requests.append(request)
        if cluster.faults:
            cluster.faults.before(request)
        if not cluster.allows(request):
            raise Forbidden(f"{request}: not allowed")
        cluster._lock.acquire()

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._cluster._lock.release()
        if kind is None and self._cluster.faults:
            self._cluster.faults.after(self._request)


def _place(obj: Object) -> tuple[str | None, str]:
    metadata = obj.get("metadata") or {}
    return metadata.get("namespace"), metadata.get("name", "")


def _normal(resource: Resource, obj: Object) -> Object:
    return {"apiVersion": resource.api_version, "kind": resource.kind, "metadata": {}, **obj}


def _own(resource: Resource, obj: Object, *, status: bool = False) -> Object:
    """The part of an object whose fields have owners."""
    unowned = {"apiVersion", "kind"} | (set() if status or resource in WITHOUT_STATUS else {"status"})
    metadata = {key: obj["metadata"][key] for key in _OWNED_METADATA if key in obj["metadata"]}
    return {key: value for key, value in obj.items() if key not in unowned} | {"metadata": metadata}


_OWNED_METADATA = ("labels", "annotations", "finalizers", "ownerReferences")


def _desired(obj: Object) -> Object:
    """What the generation counts changes of."""
    return {key: value for key, value in obj.items() if key not in {"metadata", "status"}}


def _has(obj: Object, fields: Mapping[str, str]) -> bool:
    def value(path: str) -> Any:
        found: Any = obj
        for name in path.split("."):
            found = (found or {}).get(name)
        return found

    return all(value(path) == wanted for path, wanted in fields.items())


def _carries(obj: Object, labels: Mapping[str, str]) -> bool:
    return labels.items() <= (obj["metadata"].get("labels") or {}).items()


def _refuse_conflicts(request: Request, taken: set[fields.Path], others: Mapping[str, frozenset[fields.Path]]) -> None:
    for manager, paths in others.items():
        if mine := sorted(fields.shown(path) for path in paths & taken):
            raise Conflict(f"{request}: conflict with {manager}: {', '.join(mine)}")


def _refuse_other_version(request: Request, before: Object, after: Object) -> None:
    for key in ("resourceVersion", "uid"):
        wanted = after["metadata"].get(key)
        if wanted and wanted != before["metadata"][key]:
            raise Conflict(f"{request}: it is {key} {before['metadata'][key]} now, and not {wanted} any more")


def _refuse_new_finalizers(request: Request, before: Object, after: Object) -> None:
    if "deletionTimestamp" not in before["metadata"]:
        return
    new = set(after["metadata"].get("finalizers") or ()) - set(before["metadata"].get("finalizers") or ())
    if new:
        raise Invalid(
            f"{request}: the API server refuses it\n  metadata.finalizers: Forbidden: no new finalizers can be added "
            f"if the object is being deleted, found new finalizers {sorted(new)}"
        )
