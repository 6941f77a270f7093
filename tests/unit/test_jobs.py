"""A stage as a Job: its name, its command, and what it takes from a Study."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from job_studies import EVERYTHING, IMAGE, NODES, SECRETS, UID, job, made_of, stage_of, study
from xstilts.api.access import STORE_KEYS, TRACKING_KEYS, StoreSpec
from xstilts.api.study import StageKind
from xstilts.core.attempts import Cause, cause_of
from xstilts.core.configs import CONFIGS
from xstilts.core.errors import ExitCode, UserError
from xstilts.engines.jobs import check, job_name, store_identity
from xstilts.engines.pod_fields import Object
from xstilts.engines.quantities import quantity
from xstilts.stages.__main__ import build_parser

KINDS: tuple[StageKind, ...] = ("data-scaling", "intermediate-training", "target-training", "evaluation")


def container(made: Object) -> Object:
    found: Object = made["spec"]["template"]["spec"]["containers"][0]
    return found


def arguments(made: Object) -> list[str]:
    """What the process is given, once Kubernetes has put variables in their places."""
    own = made["spec"]["trainer"] if made["kind"] == "TrainJob" else container(made)
    return [text.replace("$$", "$") for text in (*own["command"], *own["args"])]


# ---- names


def test_a_name_is_made_of_stage_store_and_generation():
    name = job_name("k", "s3://b/p", 1)
    assert name.startswith("xs-")
    assert len(name) == 35
    others = {job_name("l", "s3://b/p", 1), job_name("k", "s3://b/q", 1), job_name("k", "s3://b/p", 2)}
    assert len(others | {name}) == 4


def test_two_studies_that_want_the_same_stage_in_the_same_store_name_the_same_job():
    first, second = job(), job(parallelism=3, tracking={"uri": "http://other"}, podTemplate={"shm": "1Gi"})
    assert first["metadata"]["name"] == second["metadata"]["name"]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"uri": "s3://b/p"}, {"uri": "s3://b/p/"}),
        ({"uri": "s3://b"}, {"uri": "s3://b/"}),
        (
            {"uri": "s3://b/p", "endpoint": "https://S3.example:443/"},
            {"uri": "s3://b/p", "endpoint": "https://s3.example", "region": "x", "pathStyle": True},
        ),
        ({"uri": "/data/store"}, {"uri": "/data/./store/"}),
    ],
)
def test_a_store_has_one_identity_however_it_is_written(one: dict[str, Any], other: dict[str, Any]):
    assert store_identity(StoreSpec.model_validate(one)) == store_identity(StoreSpec.model_validate(other))


def test_buckets_of_different_services_are_different_stores():
    endpoints = (None, "https://a.example", "https://a.example:9000", "http://a.example")
    assert len({store_identity(StoreSpec(uri="s3://b", endpoint=endpoint)) for endpoint in endpoints}) == 4


# ---- what runs


@pytest.mark.parametrize("kind", KINDS)
def test_a_job_runs_its_stage_with_the_arguments_that_the_stage_parses(kind: StageKind):
    made = job(kind, **SECRETS)
    command = arguments(made)
    assert command[:4] == ["python", "-m", "xstilts.stages", kind]
    options = vars(build_parser().parse_args(command[3:]))
    stage = stage_of(study(**SECRETS), kind)
    assert CONFIGS[kind].model_validate_json(options["config"]).document() == stage.config
    assert {role: options[role] for role in stage.inputs} == stage.inputs
    assert options["key"] == stage.key
    assert StoreSpec.model_validate_json(options["store"]) == study(**SECRETS).spec.store


def test_several_processes_of_a_node_are_started_by_torchrun():
    command = arguments(job(resources={"intermediate-training": {"processesPerNode": 4}}))
    assert command[:5] == ["python", "-m", "xstilts.stages.together", "--nproc-per-node", "4"]
    build_parser().parse_args(command[command.index("xstilts.stages") + 1 :])


def test_several_nodes_make_a_train_job_whose_torchrun_learns_the_rest_from_trainer():
    made = job(**NODES)
    assert made["kind"] == "TrainJob"
    command = arguments(made)
    assert command[:5] == ["python", "-m", "xstilts.stages.together", "-m", "xstilts.stages"]
    build_parser().parse_args(command[5:])
    trainer = made["spec"]["trainer"]
    assert (trainer["numNodes"], trainer["numProcPerNode"]) == (2, 4)
    assert not [variable for variable in trainer["env"] if variable["name"].startswith("PET_")]


def test_dollars_reach_the_stage_as_they_are():
    text = container(job(tracking={"uri": "http://mlflow:5000", "experiment": "$(HOME) costs $5"}))["args"]
    assert any("$$(HOME) costs $$5" in part for part in text)


def test_a_config_that_no_process_can_be_given_is_refused():
    chosen = study()
    stage = stage_of(chosen, "evaluation")
    huge = stage.model_copy(update={"config": stage.config | {"task": "x" * 130_000}})
    with pytest.raises(UserError, match=r"spec\.targets: .* split the targets"):
        made_of(huge, chosen)


# ---- what a Study adds


def test_ended_pods_are_told_apart_by_their_exit_code():
    """Every code of the taxonomy: which rule fits first."""
    rules = job()["spec"]["podFailurePolicy"]["rules"]
    ignored = {cause: ["Ignore"] for cause in (Cause.PREEMPTED, Cause.LEASE_HELD, Cause.OUTAGE)}
    actions = {Cause.HOPELESS: ["FailJob"], **ignored}
    for code in ExitCode:
        fitting = [rule["action"] for rule in rules if code in rule.get("onExitCodes", {}).get("values", ())]
        assert fitting == actions.get(cause_of(code), [])


def test_a_job_is_owned_by_a_study_that_does_not_control_it():
    (owner,) = job()["metadata"]["ownerReferences"]
    assert owner["uid"] == UID
    assert not owner["controller"]
    assert not owner["blockOwnerDeletion"]


def test_a_job_waits_for_kueue_where_the_study_names_a_queue():
    made = job(engine={"queueName": "research"})
    assert made["spec"]["suspend"]
    assert made["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] == "research"
    assert "suspend" not in job()["spec"]


def test_a_study_may_name_another_image_than_the_operator():
    made = container(job(podTemplate={"image": "registry.example/other"}))
    assert made["image"] == "registry.example/other"
    assert {"name": "XSTILTS_IMAGE", "value": "registry.example/other"} in made["env"]
    assert container(job())["image"] == IMAGE


def test_a_pod_requests_a_quarter_of_a_core_per_thread_unless_the_study_says_something_about_cores():
    assert container(job())["resources"] == {"requests": {"cpu": "250m"}}
    processes = {"intermediate-training": {"processesPerNode": 3}}
    assert container(job(resources=processes))["resources"] == {"requests": {"cpu": "750m"}}
    limited = {"intermediate-training": {"limits": {"cpu": "8"}}}
    assert container(job(resources=limited))["resources"] == {"limits": {"cpu": "8"}}


def test_a_pod_is_never_labelled_as_the_operators_whose_service_and_network_policy_select_by_that():
    labels = {"app.kubernetes.io/name": "xstilts", "app.kubernetes.io/component": "operator"}
    made = job(podTemplate={"labels": labels})["spec"]["template"]["metadata"]["labels"]
    assert made["app.kubernetes.io/component"] == "stage"


def test_devices_are_limits_as_well():
    asked = {"intermediate-training": {"requests": {"nvidia.com/gpu": "2", "memory": "1Gi"}}}
    assert container(job(resources=asked))["resources"]["limits"] == {"nvidia.com/gpu": "2"}


def test_stages_of_another_kind_get_no_resources_of_training():
    assert container(job("evaluation", **EVERYTHING))["resources"] == {"requests": {"cpu": "250m"}}


@pytest.mark.parametrize("nodes", [1, 2])
def test_of_secrets_only_documented_keys_become_variables(nodes):
    spec = SECRETS | {"resources": {"intermediate-training": {"nodes": nodes}}}
    made = job(**spec)
    variables = made["spec"]["trainer"]["env"] if nodes > 1 else container(made)["env"]
    sources = {each["name"]: each.get("valueFrom", {}) for each in variables}
    keys = {name: source["secretKeyRef"] for name, source in sources.items() if "secretKeyRef" in source}
    assert {name for name, ref in keys.items() if ref["name"] == "s3"} == set(STORE_KEYS)
    assert {name for name, ref in keys.items() if ref["name"] == "mlflow"} == set(TRACKING_KEYS)
    assert {name for name, ref in keys.items() if not ref["optional"]} == {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"}
    assert all(ref["key"] == name for name, ref in keys.items())
    plain = {each["name"]: each["value"] for each in variables if "value" in each}
    assert plain["AWS_CONFIG_FILE"] == plain["AWS_SHARED_CREDENTIALS_FILE"] == "/dev/null"
    assert "envFrom" not in str(made)


def test_only_tmp_and_mounted_volumes_can_be_written_to():
    made = container(job())
    assert made["securityContext"]["readOnlyRootFilesystem"]
    assert [mount["mountPath"] for mount in made["volumeMounts"]] == ["/tmp"]


@pytest.mark.parametrize("name", ["plain", "everything", "nodes"])
def test_every_name_of_a_variable_volume_and_mount_is_there_once(name: str):
    made = job(**{"plain": {}, "everything": EVERYTHING, "nodes": NODES}[name])
    if made["kind"] == "TrainJob":
        patch = made["spec"]["runtimePatches"][0]["trainingRuntimeSpec"]["template"]["spec"]["replicatedJobs"][0]
        spec, variables = patch["template"]["spec"]["template"]["spec"], made["spec"]["trainer"]["env"]
    else:
        spec, variables = made["spec"]["template"]["spec"], container(made)["env"]
    mounts = spec["containers"][0]["volumeMounts"]
    assert len({variable["name"] for variable in variables}) == len(variables)
    assert len({mount["mountPath"] for mount in mounts}) == len(mounts)
    assert [mount["name"] for mount in mounts] == [volume["name"] for volume in spec["volumes"]]


def test_the_same_study_makes_the_same_object():
    assert json.dumps(job(**EVERYTHING)) == json.dumps(job(**EVERYTHING))


# ---- what can't be


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"resources": {"evaluation": {"nodes": 2}}}, r"spec\.resources\[evaluation\]: .* runs as one process"),
        ({"resources": {"data-scaling": {"processesPerNode": 2}}}, r"runs as one process"),
        (
            {"resources": {"target-training": {"nodes": 2}}, "podTemplate": {"priorityClassName": "high"}},
            r"spec\.podTemplate\.priorityClassName: 'high'",
        ),
    ],
)
def test_what_no_job_can_carry_is_refused_with_the_field(changes: dict[str, Any], message: str):
    with pytest.raises(UserError, match=message):
        check(study(**changes))


def test_a_study_that_sets_everything_can_be_carried():
    check(study(**EVERYTHING))
    check(study(**NODES))


# ---- amounts


@pytest.mark.parametrize(
    ("one", "other"),
    [("500m", "0.5"), ("1Gi", "1024Mi"), ("1e3", "1k"), ("2", "2000m"), ("1.5Gi", "1536Mi"), ("2E", "2e18")],
)
def test_an_amount_has_several_spellings(one: str, other: str):
    assert quantity(one) == quantity(other)


@given(st.integers(0, 10**9), st.sampled_from(["", "Ki", "Mi", "Gi"]))
def test_whole_amounts_are_read_exactly(number: int, suffix: str):
    assert quantity(f"{number}{suffix}") == number * 1024 ** ["", "Ki", "Mi", "Gi"].index(suffix)


@pytest.mark.parametrize("text", ["", "lots", "1 Gi", "Gi", "nan", "inf", "1_000", " 1"])
def test_what_is_no_amount_is_refused(text: str):
    with pytest.raises(UserError, match="is no amount"):
        quantity(text)
