"""Components, stages and the compiled pipeline say the same; a planned trial runs through it stage for stage."""

import ast
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml
from google.protobuf import json_format
from kfp.dsl.base_component import BaseComponent
from kfp.kubernetes.kubernetes_executor_config_pb2 import KubernetesExecutorConfig
from kfp.pipeline_spec.pipeline_spec_pb2 import PipelineSpec, PlatformSpec

from kfp_ir.interpreter import Execution, Interpreter
from pipelines import pods
from pipelines.compile import COMPONENTS, ROOT, differences, generated, main
from xstilts.api.access import STORE_KEYS, TRACKING_KEYS
from xstilts.api.study import BASELINE, StageKind, Study
from xstilts.api.trial import Point
from xstilts.core.errors import UserError
from xstilts.core.keys import canonical_json, stage_address, stage_key
from xstilts.core.plan import Plan, PlannedStage, Trial
from xstilts.engines.kubeflow import pipeline_arguments
from xstilts.stages.__main__ import build_parser

GOLDEN = ROOT / "pipelines" / "compiled" / "transfer.yaml"
IMAGE = "registry.example/xstilts-trainer@sha256:0"
MODEL = "models/m0"

components = pytest.mark.parametrize("component", COMPONENTS, ids=lambda component: component.name)


# ---- components


@components
def test_a_component_passes_exactly_the_arguments_of_its_stage(component: BaseComponent):
    spec = component.component_spec
    container = spec.implementation.container
    command = [*container.command, *(str(argument) for argument in container.args)]
    assert command[:4] == ["python", "-m", "xstilts.stages", component.name]
    options = vars(build_parser().parse_args(command[3:]))
    assert options.pop("stage") == component.name
    assert options.pop("key") is None  # the plan knows it; a run started by hand does not
    assert not options.pop("no_rebuild"), "a pipeline makes what it needs"
    assert options.pop("wait_for_lease") == 86400, "a task that fails has no second attempt: it waits for another run"
    assert options.keys() == spec.inputs.keys() | {"address_file"}
    assert options.pop("address_file").name == "{{$.outputs.parameters['address'].output_file}}"
    assert options == {name: f"{{{{$.inputs.parameters['{name}']}}}}" for name in spec.inputs}
    assert list(spec.outputs) == ["address"]


@components
def test_a_component_is_an_interface_of_forty_lines_at_most(component: BaseComponent):
    file = ROOT / "components" / component.name.replace("-", "_") / "component.py"
    text = file.read_text()
    assert len(text.splitlines()) <= 40
    assert component.name in component.description
    assert {field.type for field in component.component_spec.inputs.values()} == {"String"}


def imports(file: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(file.read_text())):
        match node:
            case ast.Import(names=names):
                yield from (name.name.split(".")[0] for name in names)
            case ast.ImportFrom(module=str(module)):
                yield module.split(".")[0]


def test_components_and_pipelines_hold_no_behaviour_and_the_package_does_not_need_them():
    wiring = [file for folder in ("components", "pipelines") for file in (ROOT / folder).rglob("*.py")]
    allowed = {"kfp", "components", "pipelines"} | sys.stdlib_module_names
    assert {name for file in wiring for name in imports(file)} <= allowed
    package = {name for file in (ROOT / "src").rglob("*.py") for name in imports(file)}
    assert not package & {"kfp", "components", "pipelines"}


# ---- compiled files


def test_committed_files_are_what_the_compiler_writes():
    assert "".join(differences(generated())) == ""
    assert main(["--check"]) == 0


def test_a_stale_file_is_shown_as_a_diff():
    diff = "".join(differences({GOLDEN: "other\n"}))
    assert "+other" in diff
    assert "--- pipelines/compiled/transfer.yaml" in diff


def test_the_wiring_stays_short():
    assert len((ROOT / "pipelines" / "transfer.py").read_text().splitlines()) <= 60


@pytest.fixture(scope="module")
def documents() -> list[dict[str, Any]]:
    return list(yaml.safe_load_all(GOLDEN.read_text()))


@pytest.fixture(scope="module")
def executors(documents: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Container spec of each executor."""
    return {label: each["container"] for label, each in documents[0]["deploymentSpec"]["executors"].items()}


@pytest.fixture(scope="module")
def tasks(documents: list[dict[str, Any]]) -> list[tuple[str, dict[str, Any]]]:
    """All tasks of all DAGs, by name; a name appears once."""
    spec = documents[0]
    dags = [spec["root"], *(each for each in spec["components"].values() if "dag" in each)]
    return [pair for each in dags for pair in each["dag"]["tasks"].items()]


def is_stage(name: str) -> bool:
    return name.startswith(tuple(component.name for component in COMPONENTS))


def test_both_documents_are_valid_specs(documents):
    spec, platform = documents
    json_format.ParseDict(spec, PipelineSpec())
    json_format.ParseDict(platform, PlatformSpec())
    settings = platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    for config in settings.values():
        json_format.ParseDict(config, KubernetesExecutorConfig())
    assert settings.keys() == spec["deploymentSpec"]["executors"].keys()


def test_everything_that_varies_is_a_parameter(documents):
    parameters = documents[0]["root"]["inputDefinitions"]["parameters"]
    required = {name for name, definition in parameters.items() if "isOptional" not in definition}
    assert required == {"image", "encoder", "targets", "store", "tracking", "publication"}
    assert {name: definition["parameterType"] for name, definition in parameters.items()} == dict.fromkeys(
        parameters, "STRING"
    ) | {"targets": "LIST"}
    assert all(definition["description"] for definition in parameters.values())


def test_every_container_takes_image_and_limits_from_parameters(executors):
    for label, container in executors.items():
        assert container["image"] == "{{$.inputs.parameters['pipelinechannel--image']}}"
        accelerated = not label.startswith("exec-data-scaling")
        assert ("accelerator" in container["resources"]) is accelerated


def test_cache_and_retries_are_off(tasks):
    stages = [task for name, task in tasks if is_stage(name)]
    assert len(stages) == 8
    assert all(task["cachingOptions"] == {} for task in stages)
    assert not any("retryPolicy" in task for _, task in tasks)


def test_the_baseline_and_retrieval_are_conditions(tasks):
    conditions = sorted(task["triggerPolicy"]["condition"] for _, task in tasks if "triggerPolicy" in task)
    scaling = "inputs.parameter_values['pipelinechannel--scaling']"
    training = "inputs.parameter_values['pipelinechannel--targets-loop-item-subvar-training']"
    assert conditions == sorted(f"{name} {op} ''" for name in (scaling, training, training) for op in ("==", "!="))


def test_stages_are_joined_by_the_addresses_of_their_inputs(tasks):
    def producer(task: Mapping[str, Any], role: str) -> str | None:
        return task["inputs"]["parameters"][role].get("taskOutputParameter", {}).get("producerTask")

    edges = {
        (producer(task, role), name, role)
        for name, task in tasks
        if is_stage(name)
        for role in ("encoder", "subset")
        if role in task["inputs"]["parameters"] and producer(task, role)
    }
    assert edges == {
        ("data-scaling", "intermediate-training", "subset"),
        ("target-training", "evaluation", "encoder"),
        ("target-training-2", "evaluation-3", "encoder"),
    }


# ---- planned trials


def stage(kind: StageKind, config: dict[str, object], **inputs: str) -> PlannedStage:
    key = stage_key(kind=kind, version=1, config=config, inputs=inputs)
    return PlannedStage(kind=kind, key=key, version=1, config=config, inputs=inputs, recipe="mnli")


def make_plan(*, baseline: bool, languages: str = "de") -> Plan:
    """One trial with the targets xnli and tatoeba, which is retrieval."""
    scaling = stage("data-scaling", {"rows": 10, "nested": {"text": "a \"quoted\" {word}, 'ทดสอบ' <&> \\n"}})
    intermediate = stage("intermediate-training", {"seed": 1}, encoder=MODEL, subset=scaling.address)
    encoder = MODEL if baseline else intermediate.address
    training = stage("target-training", {"task": "xnli"}, encoder=encoder)
    evaluations = {
        "xnli": stage("evaluation", {"task": "xnli"}, encoder=training.address),
        "tatoeba": stage("evaluation", {"task": "tatoeba", "languages": languages}, encoder=encoder),
    }
    stages = [*([] if baseline else [scaling, intermediate]), training, *evaluations.values()]
    trial = Trial(
        point=Point(recipe=BASELINE if baseline else "mnli", size="0" if baseline else "10", rows=10, seed=1),
        scaling=None if baseline else scaling.address,
        intermediate=None if baseline else intermediate.address,
        trainings={"xnli": training.address},
        evaluations={target: evaluation.address for target, evaluation in evaluations.items()},
    )
    by_address = {each.address: each for each in stages}
    return Plan(study="s", experiment="e", model=MODEL, trials=(trial,), stages=by_address, naive={})


def make_study(**spec: Any) -> Study:
    required = {"model": {"uri": "m"}, "targets": [{"name": "xnli"}], "sizes": ["0"]}
    access = {"store": {"uri": "s3://bucket/x"}, "tracking": {"uri": "http://mlflow:5000"}}
    return Study.model_validate({"metadata": {"name": "s"}, "spec": required | access | spec})


def arguments(*, baseline: bool = False, **spec: Any) -> dict[str, Any]:
    plan = make_plan(baseline=baseline)
    return pipeline_arguments(plan, plan.trials[0], study=make_study(**spec), image=IMAGE)


def test_a_pretrained_study_starts_its_runs_from_the_pretraining_stage() -> None:
    plan = make_plan(baseline=True)
    trial = plan.trials[0].model_copy(update={"pretraining": "stages/pretraining/p"})
    assert pipeline_arguments(plan, trial, study=make_study(), image=IMAGE)["encoder"] == "stages/pretraining/p"


def answer(command: Sequence[str], environment: Mapping[str, str]) -> None:
    """Stands in for the stages: computes the address as a stage does, from its own arguments."""
    options = vars(build_parser().parse_args(command[3:]))
    inputs = {role: options[role] for role in ("encoder", "subset") if role in options}
    kind = options["stage"]
    key = stage_key(kind=kind, version=1, config=json.loads(options["config"]), inputs=inputs)
    options["address_file"].write_text(stage_address(kind, key))


def execute(parameters: dict[str, Any], **secrets: dict[str, str]) -> list[Execution]:
    return Interpreter(GOLDEN.read_text(), answer, secrets).run(parameters)


@pytest.mark.parametrize("baseline", [False, True], ids=["trial", "baseline"])
def test_a_run_makes_exactly_the_planned_stages(baseline):
    executions = execute(arguments(baseline=baseline))
    planned = make_plan(baseline=baseline).trials[0].stages
    assert sorted(execution.outputs["address"] for execution in executions) == sorted(planned)
    assert {execution.image for execution in executions} == {IMAGE}


def test_targets_are_scored_side_by_side_and_retrieval_without_training():
    paths = [execution.path.split("/")[1:] for execution in execute(arguments())]
    assert [path[-1] for path in paths] == [
        "data-scaling",
        "intermediate-training",
        "target-training",
        "evaluation",
        "evaluation-2",
    ]
    assert [path[0] for path in paths[2:]] == ["for-loop-2[0]", "for-loop-2[0]", "for-loop-2[1]"]


def test_documents_reach_the_stages_unchanged():
    plan = make_plan(baseline=False)
    for execution in execute(arguments(store={"uri": "s3://b", "pathStyle": True})):
        options = build_parser().parse_args(execution.command[3:])
        assert options.config == canonical_json(plan.stages[execution.outputs["address"]].config)
        assert json.loads(options.store)["pathStyle"] is True
        assert json.loads(options.publication) == {"study": "s", "experiment": "e", "recipe": "mnli"}


def test_pods_without_settings_have_no_limits_and_no_accelerator():
    for execution in execute(arguments()):
        assert set(execution.limits.values()) == {"0"}
        assert execution.environment == {}


def test_limits_are_those_that_a_stage_asks_for():
    resources = {"intermediate-training": {"limits": {"cpu": "8", "memory": "64Gi", "amd.com/gpu": "2"}}}
    limits = {execution.path.split("/")[-1]: execution.limits for execution in execute(arguments(resources=resources))}
    assert limits["target-training"] == {"cpu": "8", "memory": "64Gi", "amd.com/gpu": "2"}
    assert limits["data-scaling"] == {"cpu": "8", "memory": "64Gi"}


def test_secrets_give_pipelines_the_variables_that_they_give_jobs():
    assert tuple(STORE_KEYS) == pods.STORE_KEYS
    assert tuple(TRACKING_KEYS) == pods.TRACKING_KEYS


def test_secrets_named_by_the_study_become_environment():
    store = {"uri": "s3://b", "secretRef": {"name": "keys"}}
    tracking = {"uri": "http://m", "secretRef": {"name": "mlflow"}}
    keys = {"AWS_ACCESS_KEY_ID": "id", "AWS_SECRET_ACCESS_KEY": "key", "other": "never"}
    executions = execute(arguments(store=store, tracking=tracking), keys=keys, mlflow={"MLFLOW_TRACKING_TOKEN": "t"})
    expected = {"AWS_ACCESS_KEY_ID": "id", "AWS_SECRET_ACCESS_KEY": "key", "MLFLOW_TRACKING_TOKEN": "t"}
    assert all(execution.environment == expected for execution in executions)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        pytest.param(
            {"resources": {"evaluation": {"limits": {"cpu": "1"}}, "target-training": {"limits": {"cpu": "2"}}}},
            r"spec\.resources\[target-training\]\.limits: cpu is '2', and '1' in another stage",
            id="stages with other limits",
        ),
        pytest.param(
            {"resources": {"evaluation": {"limits": {"nvidia.com/gpu": "1", "amd.com/gpu": "1"}}}},
            r"spec\.resources\[evaluation\]\.limits: amd.com/gpu, nvidia.com/gpu: give one kind",
            id="two kinds of accelerators",
        ),
        pytest.param({"resources": {"evaluation": {"nodes": 2}}}, "one process a stage", id="several nodes"),
        pytest.param({"resources": {"evaluation": {"requests": {"cpu": "1"}}}}, "limits only", id="requests"),
        pytest.param(
            {"store": {"uri": "s3://b", "caSecretRef": {"name": "ca"}}}, r"spec\.store\.caSecretRef", id="certificates"
        ),
    ],
)
def test_what_a_run_cannot_carry_is_an_error_of_the_study(spec, message):
    with pytest.raises(UserError, match=message):
        arguments(**spec)


def test_more_parameters_than_a_run_takes_are_an_error_of_the_study():
    plan = make_plan(baseline=False, languages="de " * 2**16)
    with pytest.raises(UserError, match=r"spec\.targets: trial mnli-10-s1 has \d+ bytes"):
        pipeline_arguments(plan, plan.trials[0], study=make_study(), image=IMAGE)
