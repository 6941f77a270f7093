"""Studies and Trials as the cluster holds them, read for people: what other versions add is skipped."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from xstilts.api import names
from xstilts.api.access import StoreSpec
from xstilts.api.conditions import Condition, ConditionStatus, find_condition
from xstilts.api.names import StudyCondition, TrialCondition
from xstilts.api.status import StudyStatus
from xstilts.api.study import DeletionPolicy
from xstilts.api.trial import StageRef, StageState, StageStatus, TrialSpec, TrialStatus
from xstilts.cluster.port import STUDIES, TRIALS, Cluster, Object
from xstilts.core.errors import UserError

M = TypeVar("M", bound=BaseModel)


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterStudy:
    """A Study object."""

    namespace: str
    name: str
    uid: str
    generation: int
    finalizers: tuple[str, ...]
    is_deleting: bool
    store: StoreSpec
    deletion_policy: DeletionPolicy
    status: StudyStatus

    @property
    def title(self) -> str:
        return f"study/{self.name} in namespace {self.namespace}"

    @property
    def is_current(self) -> bool:
        """Whether the status is about the spec as it is now."""
        return self.status.observed_generation >= self.generation

    @property
    def succeeded(self) -> bool | None:
        """None until it has ended, or when its spec was changed after that."""
        summary = self.condition(StudyCondition.SUCCEEDED)
        if summary is None or summary.status is ConditionStatus.UNKNOWN or not self.is_current:
            return None
        return summary.status is ConditionStatus.TRUE

    @property
    def is_refused(self) -> bool:
        """Whether the operator does not take it as it is now."""
        accepted = self.condition(StudyCondition.ACCEPTED)
        return self.is_current and accepted is not None and accepted.status is ConditionStatus.FALSE

    def condition(self, kind: str) -> Condition | None:
        return find_condition(self.status.conditions, kind)


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterTrial:
    """A Trial object."""

    name: str
    spec: TrialSpec
    status: TrialStatus

    @property
    def condition(self) -> Condition | None:
        return find_condition(self.status.conditions, TrialCondition.SUCCEEDED)

    @property
    def state(self) -> str:
        """Succeeded, Failed, or why it has not ended, such as Running, Queued and WaitingForStage."""
        if (condition := self.condition) is None:
            return names.Reason.PENDING
        if condition.status is ConditionStatus.UNKNOWN:
            return condition.reason
        return "Succeeded" if condition.status is ConditionStatus.TRUE else "Failed"

    def stages(self) -> list[tuple[StageRef, StageStatus]]:
        """In the order in which they run."""
        known = {stage.name: stage for stage in self.status.stages}
        waiting = StageState.WAITING
        return [(ref, known.get(ref.name) or StageStatus(name=ref.name, state=waiting)) for ref in self.spec.stages]


def find_study(cluster: Cluster, namespace: str, name: str) -> ClusterStudy:
    """Raises UserError where there is none, with those that there are."""
    if study := read_study(cluster, namespace, name):
        return study
    there = sorted(each["metadata"]["name"] for each in cluster.list(STUDIES, namespace))
    raise UserError(f"no Study {name!r} in namespace {namespace}; there is {', '.join(there) or 'none at all'}")


def read_study(cluster: Cluster, namespace: str, name: str) -> ClusterStudy | None:
    obj = cluster.get(STUDIES, namespace, name)
    if obj is None:
        return None
    metadata, spec = obj["metadata"], obj["spec"]
    return ClusterStudy(
        namespace=namespace,
        name=name,
        uid=metadata["uid"],
        generation=metadata.get("generation", 0),
        finalizers=tuple(metadata.get("finalizers") or ()),
        is_deleting="deletionTimestamp" in metadata,
        store=_read(StoreSpec, spec["store"], obj),
        deletion_policy=DeletionPolicy(spec.get("deletionPolicy", DeletionPolicy.DELETE)),
        status=_read(StudyStatus, obj.get("status") or {}, obj),
    )


def read_trials(cluster: Cluster, study: ClusterStudy) -> list[ClusterTrial]:
    """Those that the Study owns, by name; not those that an earlier Study of its name has left."""
    return [
        ClusterTrial(
            name=obj["metadata"]["name"],
            spec=_read(TrialSpec, obj["spec"], obj),
            status=_read(TrialStatus, obj.get("status") or {}, obj),
        )
        for obj in cluster.list(TRIALS, study.namespace, labels={names.STUDY: study.name})
        if any(owner["uid"] == study.uid for owner in obj["metadata"].get("ownerReferences") or ())
    ]


def _read(model: type[M], document: Mapping[str, Any], obj: Object) -> M:
    try:
        return model.model_validate(document, extra="ignore")
    except ValidationError as error:
        raise UserError(
            f"{obj['kind']} {obj['metadata']['name']}: its {model.__name__} is of another version of xstilts; use the "
            f"xstilts of the operator ({error.errors()[0]['msg']})"
        ) from error
