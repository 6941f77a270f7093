"""What a real API server accepts, fills in, shows and refuses of our resources."""

import json
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, assume, given, settings
from pydantic import ValidationError

from cluster.kubernetes import ControlPlane, KubectlError
from resources import SAMPLES, Invalid, as_read, invalid_manifests, studies
from xstilts.api.schedule import StudySchedule
from xstilts.api.study import Study
from xstilts.api.training import TrainingSettings


@pytest.fixture(scope="module")
def namespace(crds: ControlPlane) -> Iterator[str]:
    """One for all tests of this file: their objects have names of their own."""
    name = f"test-{uuid.uuid4().hex[:8]}"
    crds.kubectl("create", "namespace", name)
    yield name
    crds.kubectl("delete", "namespace", name, "--wait=false")


def create(cluster: ControlPlane, namespace: str, document: dict[str, Any], *options: str) -> dict[str, Any]:
    """What the API server makes of a document."""
    command = ("create", "-n", namespace, "-f", "-", "-o", "json", *options)
    return dict(json.loads(cluster.kubectl(*command, stdin=json.dumps(document))))


def change(cluster: ControlPlane, stored: dict[str, Any], **spec: Any) -> dict[str, Any]:
    changed = stored | {"spec": stored["spec"] | spec}
    return dict(json.loads(cluster.kubectl("replace", "-f", "-", "-o", "json", stdin=json.dumps(changed))))


def document(name: str, *, sample: str = "minimal-study", **spec: Any) -> dict[str, Any]:
    """A sample under another name, with changes."""
    there = yaml.safe_load(next(file for file in SAMPLES if file.stem == sample).read_text())
    return there | {"metadata": {"name": name}, "spec": there["spec"] | spec}


@pytest.mark.parametrize("invalid", invalid_manifests(), ids=lambda invalid: invalid.name)
def test_an_invalid_manifest_is_refused_with_words_to_act_on(
    crds: ControlPlane, namespace: str, invalid: Invalid
) -> None:
    if invalid.is_change:
        create(crds, namespace, invalid.documents[0])
    with pytest.raises(KubectlError) as refusal:
        crds.kubectl(
            "replace" if invalid.is_change else "create", "-n", namespace, "-f", "-", stdin=json.dumps(invalid.refused)
        )
    assert [text for text in invalid.expected if text not in str(refusal.value)] == [], str(refusal.value)


@pytest.mark.parametrize("file", SAMPLES, ids=lambda file: file.stem)
def test_a_sample_is_accepted_and_read_back_as_it_was_meant(crds: ControlPlane, namespace: str, file: Path) -> None:
    sample = yaml.safe_load(file.read_text())
    model = Study if sample["kind"] == "Study" else StudySchedule
    stored = create(crds, namespace, sample)
    meant = model.model_validate(sample)
    read = model.model_validate(as_read(stored))
    assert read.spec == meant.spec


def test_defaults_are_filled_in(crds: ControlPlane, namespace: str) -> None:
    spec = create(crds, namespace, document("defaults"))["spec"]
    assert spec["sizes"] == ["0", "full"]
    assert spec["seeds"] == [1, 2, 3]
    assert spec["recipes"][0]["sampling"] == {"strategy": "Proportional"}
    assert spec["failurePolicy"] == {
        "maxFailedTrials": 0,
        "retries": 2,
        "preemptionRetries": 20,
        "outageSeconds": 3600,
        "pendingSeconds": 86400,
    }


def test_training_settings_have_no_defaults_which_would_hide_the_published_recipes(
    crds: ControlPlane, namespace: str
) -> None:
    spec = create(crds, namespace, document("phases", training={"target": {"epochs": "4"}}))["spec"]
    assert spec["training"] == {"intermediate": {}, "target": {"epochs": "4"}}
    assert spec["engine"] == {}


def test_what_changes_no_numbers_can_be_changed(crds: ControlPlane, namespace: str) -> None:
    stored = create(crds, namespace, document("mutable"))
    changes = {
        "parallelism": 2,
        "suspend": True,
        "retention": {"checkpoints": "None"},
        "failurePolicy": {"retries": 5},
        "resources": {"evaluation": {"limits": {"cpu": 4}}},
        "podTemplate": {"image": "registry/trainer:2"},
        "deletionPolicy": "Orphan",
        "maxGPUHours": "10",
        "ttlSecondsAfterFinished": 60,
    }
    changed = change(crds, stored, **changes)
    assert changed["metadata"]["generation"] == 2
    assert changed["spec"]["retention"] == {"checkpoints": "None"}


def test_axes_can_be_appended_to(crds: ControlPlane, namespace: str) -> None:
    stored = create(crds, namespace, document("axes", sizes=[0, "1000"]))
    changed = change(
        crds,
        stored,
        sizes=["0", 1000, "10%"],  # the same in other spellings, and one more
        seeds=[1, 2, 3, 4],
        subsetSeeds=[1, 7],
        recipes=[*stored["spec"]["recipes"], {"name": "qqp", "tasks": [{"name": "qqp"}]}],
        targets=[{"name": "udpos"}, *stored["spec"]["targets"]],
    )
    assert len(changed["spec"]["recipes"]) == 2


def test_a_schedule_can_be_changed_with_all_of_its_template(crds: ControlPlane, namespace: str) -> None:
    stored = create(crds, namespace, document("monthly", sample="studyschedule"))
    template = stored["spec"]["studyTemplate"]
    other = template | {"spec": template["spec"] | {"model": {"name": "bert-base-multilingual-cased"}, "seeds": [9]}}
    assert change(crds, stored, schedule="0 5 * * 1-5", studyTemplate=other)["metadata"]["generation"] == 2


def test_fields_that_nobody_knows_are_refused_or_dropped_as_kubectl_asks(crds: ControlPlane, namespace: str) -> None:
    strange = document("strange", colour="red")
    with pytest.raises(KubectlError, match=r'unknown field "spec\.colour"'):
        create(crds, namespace, strange)
    assert "colour" not in create(crds, namespace, strange, "--validate=ignore")["spec"]


def test_columns_show_how_things_stand(crds: ControlPlane, namespace: str) -> None:
    create(crds, namespace, document("shown"))
    told = {"progress": "3/15", "problem": "PodsBlocked"}
    status = told | {"conditions": [condition("Accepted", "Accepted"), condition("Succeeded", "Running")]}
    patch = json.dumps({"status": status})
    crds.kubectl("patch", "xst/shown", "-n", namespace, "--subresource=status", "--type=merge", "-p", patch)
    header, row = crds.kubectl("get", "xst/shown", "-n", namespace).splitlines()
    assert header.split() == ["NAME", "STATUS", "PROBLEM", "TRIALS", "BEST", "AGE"]
    assert row.split()[:4] == ["shown", "Running", "PodsBlocked", "3/15"]
    header = crds.kubectl("get", "xst/shown", "-n", namespace, "-o", "wide").splitlines()[0]
    assert header.split() == ["NAME", "STATUS", "PROBLEM", "TRIALS", "BEST", "STAGES", "GPU", "HOURS", "MESSAGE", "AGE"]
    trial = next(invalid.documents[0] for invalid in invalid_manifests() if invalid.documents[0]["kind"] == "Trial")
    create(crds, namespace, trial | {"metadata": {"name": "shown"}})
    header, row = crds.kubectl("get", "xtr/shown", "-n", namespace).splitlines()
    assert header.split() == ["NAME", "STATUS", "PROGRESS", "RECIPE", "SIZE", "AGE"]
    assert row.split()[1:3] == ["mnli", "1000"]


def test_columns_show_when_a_schedule_is_due(crds: ControlPlane, namespace: str) -> None:
    create(crds, namespace, document("due", sample="studyschedule"))
    patch = json.dumps({"status": {"active": ["due-1"], "nextScheduleTime": "2999-01-03T01:30:00Z"}})
    crds.kubectl("patch", "xsched/due", "-n", namespace, "--subresource=status", "--type=merge", "-p", patch)
    header, row = crds.kubectl("get", "xsched/due", "-n", namespace).splitlines()
    assert header.split() == ["NAME", "SCHEDULE", "SUSPEND", "ACTIVE", "LAST", "NEXT", "AGE"]
    assert row.split()[-3:-1] == ["due-1", "2999-01-03T01:30:00Z"]


def test_all_kinds_are_found_by_category(crds: ControlPlane, namespace: str) -> None:
    create(crds, namespace, document("found"))
    create(crds, namespace, document("found", sample="studyschedule"))
    found = crds.kubectl("get", "xstilts", "-n", namespace, "-o", "name").split()
    assert {"study.xstilts.dev/found", "studyschedule.xstilts.dev/found"} <= {*found}


def condition(kind: str, reason: str) -> dict[str, Any]:
    return {
        "type": kind,
        "status": "Unknown",
        "reason": reason,
        "message": "",
        "observedGeneration": 1,
        "lastTransitionTime": "2026-01-01T00:00:00Z",
    }


@settings(max_examples=30, suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow])
@given(studies)
def test_what_the_model_takes_the_api_server_takes_and_stores_with_the_same_meaning(
    crds: ControlPlane, namespace: str, manifest: dict[str, Any]
) -> None:
    try:
        meant = Study.model_validate(manifest)
    except ValidationError:
        assume(False)
    read = Study.model_validate(as_read(create(crds, namespace, manifest, "--dry-run=server")))
    assert read.spec == meant.spec
    recipe = TrainingSettings(learning_rate="0.5", epochs="7", threads=3)
    phases = [(spec.training.target, spec.training.intermediate) for spec in (read.spec, meant.spec)]
    resolved = [[phase.resolve(task="mnli", recipe=recipe) for phase in both] for both in phases]
    assert resolved[0] == resolved[1]
