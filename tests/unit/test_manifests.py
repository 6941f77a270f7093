"""What is installed, read: least rights, a pod of the restricted kind, and settings that the program knows."""

import inspect
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

import xstilts
from xstilts.api import names
from xstilts.cli.operator import excluded
from xstilts.cli.operator import operator as operator_command
from xstilts.controller.operator import LEASE
from xstilts.controller.probes import serve as serve_probes

ROOT = Path(__file__).parents[2]
K8S = ROOT / "k8s"
BASE = K8S / "base"


def documents(*folders: Path) -> Iterator[dict[str, Any]]:
    for folder in folders:
        for file in sorted(folder.glob("*.yaml")):
            yield from (found for found in yaml.safe_load_all(file.read_text()) if "kind" in found)


def deployment() -> dict[str, Any]:
    return yaml.safe_load((BASE / "deployment.yaml").read_text())


def container() -> dict[str, Any]:
    (only,) = deployment()["spec"]["template"]["spec"]["containers"]
    return only


def rules() -> list[dict[str, Any]]:
    return [rule for document in documents(BASE) for rule in document.get("rules", ())]


# ---- rights


def test_no_right_is_a_star_and_nothing_but_the_operators_own_is_deleted():
    assert rules()
    for rule in rules():
        assert not any("*" in value for values in rule.values() for value in values), rule
        if {"delete", "deletecollection"} & set(rule["verbs"]):
            assert set(rule["resources"]) <= {"studies", "trials", "studyschedules", "jobs", "trainjobs"}
    for template in (K8S / "chart" / "templates").glob("*.yaml"):
        assert '"*"' not in template.read_text()
        assert "'*'" not in template.read_text()


def test_secrets_are_read_by_name_and_nobody_can_list_them():
    for rule in rules():
        if "secrets" in rule["resources"]:
            assert rule["resourceNames"]
            assert rule["verbs"] == ["get"]


def test_the_lease_is_the_one_that_the_operator_takes():
    (held,) = [rule for rule in rules() if "leases" in rule["resources"] and "resourceNames" in rule]
    assert held["resourceNames"] == [LEASE]


def test_people_get_rights_through_the_roles_of_every_cluster_and_none_over_trials():
    roles = {d["metadata"]["name"]: d for d in documents(BASE) if d["kind"] == "ClusterRole"}
    prefix = "rbac.authorization.k8s.io/aggregate-to-"
    granted = {
        name: {label.removeprefix(prefix) for label in role["metadata"]["labels"]} for name, role in roles.items()
    }
    assert granted == {"xstilts-view": {"view", "edit", "admin"}, "xstilts-edit": {"edit", "admin"}}
    (writing,) = roles["xstilts-edit"]["rules"]
    assert "trials" not in writing["resources"]


# ---- the pod


def test_it_runs_without_any_privilege_on_a_file_system_that_it_can_not_write():
    pod = deployment()["spec"]["template"]["spec"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container()["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert container()["volumeMounts"] == [{"name": "tmp", "mountPath": "/tmp"}]
    assert pod["securityContext"]["runAsUser"] == int(re.search(r"USER (\d+)", dockerfile())[1])


def dockerfile() -> str:
    return (ROOT / "docker" / "operator.Dockerfile").read_text()


def test_its_options_are_those_that_the_program_has():
    assert container()["command"] == ["xstilts", "operator"]
    options = {f"--{name.replace('_', '-')}" for name in inspect.signature(operator_command).parameters}
    given = dict(argument.split("=", 1) for argument in container()["args"])
    assert given.keys() <= options
    assert "--all-namespaces" in options


def test_an_operator_of_all_namespaces_excludes_the_systems_and_its_own_unless_others_are_named():
    assert excluded(None, "xstilts") == {"kube-system", "kube-public", "kube-node-lease", "xstilts"}
    assert excluded(["ingress"], "xstilts") == {"ingress"}
    assert excluded([""], "xstilts") == set()


def test_its_variables_are_defined_before_they_are_used():
    defined = {variable["name"] for variable in container()["env"]}
    assert set(re.findall(r"\$\((\w+)\)", " ".join(container()["args"]))) <= defined


def test_probes_and_metrics_go_to_the_ports_that_the_options_name():
    ports = {port["name"]: port["containerPort"] for port in container()["ports"]}
    given = dict(argument.split("=", 1) for argument in container()["args"])
    assert ports == {"metrics": int(given["--metrics-port"]), "health": int(given["--health-port"])}
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        assert container()[probe]["httpGet"]["path"] in inspect.getsource(serve_probes)
        assert container()[probe]["httpGet"]["port"] == "health"
    (service,) = [d for d in documents(BASE) if d["kind"] == "Service"]
    assert service["spec"]["ports"] == [{"name": "metrics", "port": ports["metrics"], "targetPort": "metrics"}]


def test_liveness_is_not_probed_while_imports_on_a_full_node_take_minutes():
    startup = container()["startupProbe"]
    assert startup["failureThreshold"] * startup["periodSeconds"] >= 600
    assert "initialDelaySeconds" not in container()["livenessProbe"]


def test_two_operators_are_never_started_side_by_side():
    assert deployment()["spec"]["replicas"] == 1
    assert deployment()["spec"]["strategy"] == {"type": "Recreate"}


def test_selectors_find_the_pod():
    labels = deployment()["spec"]["template"]["metadata"]["labels"]
    for document in documents(BASE):  # those of stages are in k8s/stages
        spec = document.get("spec", {})
        selector = spec.get("podSelector", spec.get("selector", {}))
        for key, value in (selector.get("matchLabels") or selector).items():
            if document["kind"] != "CustomResourceDefinition":
                assert labels[key] == value, document["kind"]
    assert names.MANAGED_BY not in labels, "that is for what the operator makes"


# ---- versions and settings


def test_images_and_chart_are_of_the_packages_version():
    chart = yaml.safe_load((K8S / "chart" / "Chart.yaml").read_text())
    values = yaml.safe_load((K8S / "chart" / "values.yaml").read_text())
    assert chart["version"] == chart["appVersion"] == xstilts.__version__
    trainer = next(variable["value"] for variable in container()["env"] if variable["name"] == "TRAINER_IMAGE")
    assert (container()["image"], trainer) == (values["image"], values["trainerImage"])
    assert all(image.endswith(f":{xstilts.__version__}") for image in (values["image"], values["trainerImage"]))


def test_every_setting_of_the_chart_is_checked_and_said_what_it_is():
    text = (K8S / "chart" / "values.yaml").read_text()
    schema = json.loads((K8S / "chart" / "values.schema.json").read_text())
    assert yaml.safe_load(text).keys() == schema["properties"].keys() - {"global"}
    assert schema["additionalProperties"] is False


@pytest.mark.parametrize("name", ["crds", "dashboards"])
def test_the_chart_has_no_copies(name):
    linked = K8S / "chart" / "files" / name
    assert linked.is_symlink()
    assert linked.resolve() == K8S / name


def test_all_crds_are_installed():
    kustomization = yaml.safe_load((K8S / "crds" / "Kustomization").read_text())
    assert kustomization["resources"] == sorted(file.name for file in (K8S / "crds").glob("*.yaml"))
