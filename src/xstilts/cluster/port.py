"""The one interface through which the Kubernetes API is used: objects as JSON, addressed by resource and name.

Two clusters implement it (`api`, `memory`) and pass the same contract suite. All methods may be called from several
threads. Nothing is tried again in secret: who calls looks at the world and decides again (reads alone are repeated
once when a connection is cut). Watching is not part of it: the operator watches through kopf.

Every method raises what `xstilts.cluster.errors` lists; each names the errors that are particular to it.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeAlias

from xstilts.api import names

Object: TypeAlias = dict[str, Any]
"""A Kubernetes object in its JSON form, without `metadata.managedFields`, which are as large as the rest."""

Propagation: TypeAlias = Literal["Background", "Foreground", "Orphan"]
"""What becomes of the objects that a deleted one owns: deleted after it, before it, or kept."""


@dataclass(frozen=True, slots=True)
class Resource:
    """One kind of object, as the API server addresses it."""

    group: str
    """Empty for the core group."""
    version: str
    plural: str
    kind: str

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version

    def __str__(self) -> str:
        return f"{self.plural}.{self.group}" if self.group else self.plural


STUDIES = Resource(names.GROUP, names.VERSION, "studies", "Study")
TRIALS = Resource(names.GROUP, names.VERSION, "trials", "Trial")
SCHEDULES = Resource(names.GROUP, names.VERSION, "studyschedules", "StudySchedule")
JOBS = Resource("batch", "v1", "jobs", "Job")
TRAIN_JOBS = Resource("trainer.kubeflow.org", "v1alpha1", "trainjobs", "TrainJob")
PODS = Resource("", "v1", "pods", "Pod")
SECRETS = Resource("", "v1", "secrets", "Secret")
EVENTS = Resource("", "v1", "events", "Event")
LEASES = Resource("coordination.k8s.io", "v1", "leases", "Lease")


class Cluster(Protocol):
    """A Kubernetes API server, or something that behaves like one.

    A namespace of None means all of them in a listing, and an object outside of any elsewhere. Objects that are
    written name themselves (`metadata.name`, `metadata.namespace`); apiVersion and kind are filled in.
    """

    @property
    def namespace(self) -> str:
        """The namespace of who connected: of the kubeconfig's context, or of the pod."""
        ...

    def get(self, resource: Resource, namespace: str | None, name: str) -> Object | None:
        """The object, or None where there is none."""
        ...

    def list(
        self,
        resource: Resource,
        namespace: str | None,
        *,
        labels: Mapping[str, str] | None = None,
        fields: Mapping[str, str] | None = None,
    ) -> Iterator[Object]:
        """Objects that carry the labels, by name. Pages of 500 are fetched as the iterator reaches them.

        `fields` select by fields that the API server knows, such as `involvedObject.uid` of Events. An error
        shows when the iterator runs. A listing that takes minutes ends with ClusterUnavailable.
        """
        ...

    def create(self, resource: Resource, obj: Object) -> Object:
        """Raises AlreadyExists. A status is ignored where the kind has it as a subresource."""
        ...

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
        """Server-side apply: fields that the manager applied before and leaves out now are removed.

        Fields that the kind does not have raise Invalid, those that are deprecated with `strict` as well. Not forced, a
        field that another manager set to another value raises Conflict. An object that is there has to have the
        resourceVersion that is applied, if any; else Conflict.
        """
        ...

    def patch(
        self, resource: Resource, namespace: str | None, name: str, patch: Object, *, subresource: str = ""
    ) -> Object:
        """JSON merge patch. Raises NotFound, and Conflict where it names another resourceVersion, or uid."""
        ...

    def json_patch(
        self,
        resource: Resource,
        namespace: str | None,
        name: str,
        operations: Sequence[Mapping[str, Any]],
        *,
        subresource: str = "",
    ) -> Object:
        """JSON patch (RFC 6902). Raises NotFound, and Conflict where a `test` fails or a path is not there."""
        ...

    def replace(self, resource: Resource, obj: Object, *, subresource: str = "") -> Object:
        """Write the whole object, with the resourceVersion that was read. Raises NotFound; Conflict if that is old."""
        ...

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
        """Delete the object, or only the one with the uid. One that is gone, or has been replaced, is fine.

        Objects with finalizers stay until those are gone. `grace` is in seconds, for pods.
        """
        ...

    def pod_log(
        self, namespace: str, name: str, *, tail_lines: int | None = None, limit_bytes: int | None = None
    ) -> bytes:
        """What the pod's container has written so far. Raises NotFound.

        Before the container has started it is empty, or ClusterUnavailable is raised.
        """
        ...

    def follow_pod_log(self, namespace: str, name: str, *, tail_lines: int | None = None) -> Iterator[bytes]:
        """The same as it is written, until the container ends. It does not wait for the container to start."""
        ...

    def can_i(
        self, verb: str, resource: Resource, namespace: str | None, name: str = "", *, subresource: str = ""
    ) -> bool:
        """Whether the API server would allow it to who connected."""
        ...
