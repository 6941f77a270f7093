"""Objects of the cluster taken apart into views: what of a Study, a Trial and a pod `reconcile` goes by."""

from collections.abc import Mapping
from typing import Any, NamedTuple, TypeVar

from pydantic import ValidationError

from xstilts.api import names
from xstilts.api.load import explain
from xstilts.api.names import Reason
from xstilts.api.status import StudyStatus
from xstilts.api.study import Study
from xstilts.api.trial import TrialStatus
from xstilts.cluster.port import Object
from xstilts.controller.clock import seconds_of
from xstilts.controller.views import StudyView, TrialView, plan_digest
from xstilts.engines.endings import JOB_LABEL, JOB_SET_LABEL

S = TypeVar("S", StudyStatus, TrialStatus)


class Key(NamedTuple):
    """A namespaced name."""

    namespace: str
    name: str


def exclusion(namespace: str) -> str:
    """What is said where nothing may run."""
    return (
        f"namespace {namespace} is excluded from this operator, as system namespaces are: use another namespace, or "
        "have the operator's --exclude-namespace changed"
    )


def key_of(obj: Object) -> Key:
    return Key(str(obj["metadata"].get("namespace", "")), str(obj["metadata"]["name"]))


def study_view(obj: Object, old: StudyView | None) -> StudyView:
    """A Study's spec is read once a generation."""
    metadata = obj["metadata"]
    generation = int(metadata.get("generation", 1))
    if old and old.generation == generation:
        study, error, spec_digest = old.study, old.error, old.spec_digest
    else:
        study, error = _parse(obj)
        spec_digest = plan_digest(study) if study else ""
    return StudyView(
        name=metadata["name"],
        namespace=metadata["namespace"],
        uid=metadata["uid"],
        resource_version=metadata["resourceVersion"],
        generation=generation,
        study=study,
        error=error,
        spec_digest=spec_digest,
        recorded_plan=_recorded_plan(metadata),
        retry=str((metadata.get("annotations") or {}).get(names.RETRY, ""))[:2048],
        status=_status(StudyStatus, obj.get("status")) or StudyStatus(),
        finalizers=tuple(metadata.get("finalizers", ())),
        deleted_at=seconds_of(metadata["deletionTimestamp"]) if metadata.get("deletionTimestamp") else None,
    )


def _recorded_plan(metadata: Object) -> str:
    study, _, digest = str((metadata.get("annotations") or {}).get(names.PLAN, "")).partition("/")
    return digest if study == metadata["name"] else ""


def _parse(obj: Object) -> tuple[Study | None, str]:
    named = {name: obj["metadata"][name] for name in ("name", "namespace")}
    try:
        return Study.model_validate(
            {**{f: obj[f] for f in ("apiVersion", "kind", "spec") if f in obj}, "metadata": named}
        ), ""
    except ValidationError as error:
        return None, explain(error, under="spec")


def trial_view(obj: Object) -> TrialView:
    metadata = obj["metadata"]
    status = _status(TrialStatus, obj.get("status"))
    condition = status.conditions[0] if status and status.conditions else None
    ended = None
    if condition and condition.status != "Unknown" and condition.reason != Reason.STOPPED:
        ended = "Succeeded" if condition.status == "True" else "Failed"
    stages = status.stages if status else ()
    return TrialView(
        name=metadata["name"],
        uid=metadata["uid"],
        resource_version=metadata["resourceVersion"],
        ended=ended,  # type: ignore[arg-type]
        reused=bool(ended) and all(stage.reused for stage in stages),
        gpu_seconds=sum(stage.gpu_seconds for stage in stages),
        owners=tuple(owner["uid"] for owner in metadata.get("ownerReferences", ())),
        status=None if ended == "Succeeded" else status,
        message=condition.message if condition and ended == "Failed" else "",
    )


def _status(model: type[S], document: Mapping[str, Any] | None) -> S | None:
    """None for a status that another version wrote: it is made anew."""
    try:
        return model.model_validate(document) if document else None
    except ValidationError:
        return None


def is_newer(obj: Object, uid: str, version: str) -> bool:
    """resourceVersions count up in every API server that exists, and are documented to since Kubernetes 1.35."""
    return obj["metadata"]["uid"] != uid or int(obj["metadata"]["resourceVersion"]) > int(version)


def job_of_pod(obj: Object) -> str:
    """A TrainJob's JobSet has its name; the Jobs of that have others."""
    labels = obj["metadata"].get("labels", {})
    return str(labels.get(JOB_SET_LABEL) or labels.get(JOB_LABEL, ""))
