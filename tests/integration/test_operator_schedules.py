"""StudySchedules under a real operator with its shipped Role, on a real API server."""

from pathlib import Path
from typing import Any

import pytest

from cluster.kubernetes import ControlPlane, KubectlError
from cluster.polling import eventually
from cluster.s3 import S3Server
from operators import OperatorProcess, Place
from studies import study_document


@pytest.fixture
def place(crds: ControlPlane, namespace: str, s3_server: S3Server) -> Place:
    """Its Studies are suspended: nothing is planned or run."""
    return Place(crds, namespace, s3_server, "s3://nowhere/prefix", "http://127.0.0.1:1")


def schedule(name: str, **spec: Any) -> dict[str, Any]:
    store = {"uri": "s3://nowhere/prefix", "endpoint": "http://127.0.0.1:1"}
    study = study_document(
        suspend=True, model={"name": "xlm-roberta-base"}, store=store, tracking={"uri": "http://127.0.0.1:1"}
    )
    return {
        "apiVersion": "xstilts.dev/v1alpha1",
        "kind": "StudySchedule",
        "metadata": {"name": name},
        "spec": {"schedule": "* * * * *", "studyTemplate": {"spec": study["spec"]}} | spec,
    }


def test_a_study_is_made_at_its_time_and_goes_with_its_schedule(place: Place, tmp_path: Path) -> None:
    token = place.install_operator()
    operator = OperatorProcess(
        place.control_plane.kubeconfig(token),
        place.namespace,
        tmp_path / "operator.log",
        {"--lease-namespace": place.namespace},
    )
    with operator.running():
        place.apply(schedule("wrong", timeZone="Europe/Atlantis"))
        place.apply(schedule("minutely"))
        place.kubectl("wait", "--for=condition=Ready", "studyschedule/minutely", "--timeout=240s")
        place.kubectl("wait", "--for=condition=Ready=False", "studyschedule/wrong", "--timeout=240s")
        (condition,) = place.get("studyschedule", "wrong")["status"]["conditions"]
        assert condition["reason"] == "InvalidSchedule"
        assert condition["message"].startswith("spec.timeZone: 'Europe/Atlantis'")

        (study, *_) = eventually(lambda: place.objects("studies"), what=operator.said)
        (owner,) = study["metadata"]["ownerReferences"]
        assert owner["uid"] == place.get("studyschedule", "minutely")["metadata"]["uid"]
        eventually(lambda: is_recorded(place, study["metadata"]["name"]), what=operator.said)

        place.kubectl("delete", "studyschedule", "minutely", "--timeout=240s")
        eventually(lambda: not place.objects("studies"), what=operator.said)
        assert operator.stop() == 0
    assert " 403" not in operator.said()
    assert '"level": "ERROR"' not in operator.said()


def is_recorded(place: Place, study: str) -> bool:
    try:
        status = place.get("studyschedule", "minutely")["status"]
    except KubectlError:
        return False
    return study in status.get("active", ()) and "lastScheduleTime" in status
