"""The operator for real: API server, controllers, S3 server, MLflow server, and stages as processes of Jobs."""

import json
import os
import random
import signal
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from cluster import mlflow_server, s3
from cluster.api_faults import Decision, Fault, Policy
from cluster.api_proxy import ApiProxy, api_proxy
from cluster.api_requests import Request
from cluster.kubelet import PodRunner
from cluster.kubernetes import ControlPlane
from cluster.polling import eventually
from cluster.tracked import MlflowView
from operators import OperatorProcess, Place, make_place
from xstilts.cli.cluster import retried
from xstilts.cli.cluster_views import find_study
from xstilts.cluster.api import connect

KILLS = 20
STUDIES = 6
SEED = 20260
CLOCKS = (-3600.0, -90.0, 0.0, 5.0, 3600.0)
"""By how many seconds the operator's clock is off at times."""

pytestmark = pytest.mark.timeout(1500)


@pytest.fixture(scope="module")
def tracking() -> Iterator[str]:
    with mlflow_server.serve() as address:
        yield address


@pytest.fixture
def place(
    control_plane: ControlPlane, namespace: str, s3_credentials: s3.S3Server, tiny_workdir: Path, tracking: str
) -> Place:
    return make_place(control_plane, namespace, s3_credentials, tracking, tiny_workdir)


@pytest.fixture
def proxy(control_plane: ControlPlane) -> Iterator[ApiProxy]:
    with api_proxy(control_plane) as found:
        yield found


@pytest.fixture
def operator(place: Place, proxy: ApiProxy, tmp_path: Path) -> OperatorProcess:
    """With its shipped Role alone, by way of the proxy."""
    token = place.install_operator()
    return OperatorProcess(proxy.kubeconfig(token), place.namespace, tmp_path / "operator.log")


def await_end(place: Place, *names: str, operator: OperatorProcess) -> None:
    eventually(
        lambda: all(place.condition(name)[0] in {"True", "False"} for name in names), seconds=1200, what=operator.said
    )
    for name in names:
        assert place.condition(name) == ("True", "Succeeded"), (place.get("study", name)["status"], operator.said())


def assert_every_stage_has_one_job(place: Place) -> None:
    keys = Counter(job["metadata"]["labels"]["xstilts.dev/stage-key"] for job in place.objects("jobs"))
    assert set(keys.values()) == {1}


def work_done(node: PodRunner) -> Counter[str]:
    """Processes that did the work of a stage, by its Job."""
    return Counter(execution.job for execution in node.executions if execution.exit_code == 0)


def assert_registered_once(place: Place, study: str) -> None:
    view = MlflowView(place.tracking)
    models = [f"{study}.{recipe}" for recipe in ("baseline", "mnli")]
    versions = [version for model in models for version in view.versions(model)]
    assert versions
    assert len(versions) == len(set(versions))
    keys = [run.data.tags["xstilts.stage_key"] for run in view.runs(role="stage", study=study)]
    assert len(keys) == len(set(keys))


# ---- the whole way


def test_two_studies_share_their_stages_under_the_shipped_role_and_leave_nothing(
    place: Place, proxy: ApiProxy, operator: OperatorProcess
) -> None:
    with PodRunner(place.control_plane, place.namespace) as node, operator.running():
        place.apply(place.study("first"))
        place.apply(place.study("second"))
        await_end(place, "first", "second", operator=operator)
        place.kubectl("wait", "--for=condition=Succeeded", "study/first", "study/second", "--timeout=10s")

        stages = place.get("study", "first")["status"]["plan"]["stages"]
        assert_every_stage_has_one_job(place)
        assert set(work_done(node).values()) == {1}
        assert len(work_done(node)) == stages
        for name in ("first", "second"):
            assert_registered_once(place, name)
            status = place.get("study", name)["status"]
            assert status["progress"] == "2/2"
            assert status["best"]
            assert status["trackingURL"].startswith(f"{place.tracking}/#/experiments/")
            assert place.store.head(f"studies/{name}/report/report.html")
            assert all(trial["status"]["scores"] for trial in place.trials(name))
        assert proxy.forbidden == []

        jobs = len(place.objects("jobs"))
        place.kubectl("delete", "study", "first", "--wait", "--timeout=120s")
        assert len(place.objects("jobs")) == jobs, "the second one still wants them"
        assert place.trials("first") == []
        place.kubectl("delete", "study", "second", "--wait", "--timeout=120s")
        eventually(lambda: not place.ours(), what=place.ours)
        assert place.store.head("studies/first/plan.json"), "the store is nobody's to clean up but gc's"


def test_the_shipped_role_allows_nothing_else(place: Place) -> None:
    token = place.install_operator()
    allowed = place.who_can(token)
    for verb, resource in (
        ("create", "pods"),
        ("delete", "pods"),
        ("create", "pods/exec"),
        ("list", "secrets"),
        ("get", "secrets/other"),
        ("create", "deployments.apps"),
        ("get", "configmaps"),
        ("create", "rolebindings.rbac.authorization.k8s.io"),
        ("patch", "customresourcedefinitions.apiextensions.k8s.io"),
        ("get", "nodes"),
    ):
        assert not allowed(verb, resource), (verb, resource)
    for verb, resource in (
        ("watch", "studies.xstilts.dev"),
        ("patch", "trials.xstilts.dev/status"),
        ("create", "jobs.batch"),
        ("get", "secrets/xstilts-store"),
        ("get", "pods/log"),
    ):
        assert allowed(verb, resource), (verb, resource)


# ---- everything that can go wrong


@dataclass
class Fate:
    """Kills the operator at requests of its own that change something, half of them before they take effect.

    Its clock is moved shortly before that.
    """

    operator: OperatorProcess
    choice: random.Random
    weather: Policy
    kills: list[str] = field(default_factory=list)
    left: int = 3
    armed: bool = True

    def decide(self, request: Request, occurrence: int) -> Decision:
        if "xstilts" not in request.user_agent:
            return self.weather.decide(request, occurrence)
        changes = request.verb in {"create", "patch", "update", "delete"} and request.resource != "leases"
        if self.armed and changes and len(self.kills) < KILLS:
            self.left -= 1
            if self.left == 1:
                self.operator.move_clock(self.choice.choice(CLOCKS))
            if self.left <= 0:
                self.armed = False
                fault = self.choice.choice([Fault.CUT_BEFORE, Fault.CUT_AFTER])
                self.kills.append(f"{fault} {request.verb} {request.resource}")
                os.kill(self.operator.pid, signal.SIGKILL)
                return Decision(fault)
        return self.weather.decide(request, occurrence)

    def rearm(self) -> None:
        self.left, self.armed = self.choice.randint(1, 8), True


def test_whatever_happens_to_operator_and_api_server_every_stage_runs_once(
    place: Place, proxy: ApiProxy, operator: OperatorProcess
) -> None:
    choice = random.Random(SEED)
    applied: list[str] = []

    def all_ended() -> bool:
        return all(place.ended(name) for name in applied)

    def moves_on() -> bool:
        return operator.has_ended() or all_ended()

    with PodRunner(place.control_plane, place.namespace) as node, operator.running():
        fate = Fate(operator, choice, Policy(seed=SEED, rate=0.04))
        proxy.policy = fate  # type: ignore[assignment]
        while len(fate.kills) < KILLS or not all_ended():
            if all_ended():
                assert len(applied) < STUDIES, fate.kills
                applied.append(f"chaos-{len(applied)}")
                place.apply(place.study(applied[-1], seeds=[len(applied)]))
            eventually(moves_on, seconds=900, what=operator.said)
            if operator.has_ended():
                if choice.random() < 0.3:
                    proxy.cut_watches()
                if len(fate.kills) == KILLS // 2:
                    place.control_plane.restart_api_server(by=signal.SIGKILL)
                if len(fate.kills) % 7 == 0:  # another one, which has to wait for the lease
                    operator.options = {"--identity": f"operator-{len(fate.kills)}"}
                operator.start()
                fate.rearm()
        proxy.policy = None
        await_end(place, *applied, operator=operator)
        assert len(fate.kills) == KILLS
        assert_every_stage_has_one_job(place)
        assert set(work_done(node).values()) == {1}
        for name in applied:
            assert_registered_once(place, name)
            assert len(place.trials(name)) == 2


def test_an_evicted_stage_goes_on_in_a_new_pod_and_one_that_diverges_fails_its_trials(
    place: Place, operator: OperatorProcess
) -> None:
    slow: dict[str, Any] = {"recipes": [], "sizes": ["0"], "targets": [{"name": "xsid", "languages": ["de"]}]}
    with PodRunner(place.control_plane, place.namespace) as node, operator.running():
        place.apply(place.study("evicted", **slow))
        pod = eventually(lambda: next(iter(node.running), None), what=operator.said)
        eventually(lambda: place.logs_of(pod), what=operator.said)
        node.evict(pod)
        await_end(place, "evicted", operator=operator)
        (trial,) = place.trials("evicted")
        training = next(s for s in trial["status"]["stages"] if s["name"] == "target-training/xsid")
        assert training["attempts"] == {"failures": 0, "preemptions": 1}

        broken = {"target": {"learningRate": "1000000", "epochs": "50", "batchSize": 8, "maxGradNorm": "1000000"}}
        place.apply(place.study("broken", training=broken, **slow))
        eventually(lambda: place.condition("broken")[0] == "False", what=operator.said)
        assert place.condition("broken") == ("False", "TooManyFailedTrials")
        (trial,) = place.trials("broken")
        assert trial["status"]["conditions"][0]["reason"] == "StageFailed"
        assert "DivergenceError" in trial["status"]["conditions"][0]["message"]


def trial_condition(place: Place, study: str) -> dict[str, Any]:
    """Of the only trial."""
    (trial,) = place.trials(study)
    return dict(trial["status"]["conditions"][0])


def test_what_the_cluster_refuses_is_reported_and_a_failed_study_goes_on_by_a_retry(
    place: Place, proxy: ApiProxy, operator: OperatorProcess
) -> None:
    """First a quota takes no Job, then the image is missing, then the stage has waited for too long."""
    name, image = "refused", "nowhere/image"
    small: dict[str, Any] = {"recipes": [], "sizes": ["0"], "targets": [{"name": "xsid", "languages": ["de"]}]}
    limits = {"hard": {"count/jobs.batch": "0"}}
    quota = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "team"}}
    place.kubectl("apply", "-f", "-", stdin=json.dumps(quota | {"spec": limits}))
    status = json.dumps({"status": limits | {"used": {"count/jobs.batch": "0"}}})
    place.kubectl("patch", "resourcequota", "team", "--subresource=status", "--type=merge", "-p", status)

    def blocked() -> bool:
        return place.condition(name, "PodsBlocked") == ("True", "ImagePullBackOff")

    with PodRunner(place.control_plane, place.namespace) as node, operator.running():
        node.missing_images.add(image)
        place.apply(place.study(name, podTemplate={"image": image}, **small))
        eventually(lambda: place.condition(name, "Progressing") == ("False", "JobRefused"), what=operator.said)
        eventually(lambda: trial_condition(place, name)["reason"] == "JobRefused", what=operator.said)
        assert "exceeded quota: team" in trial_condition(place, name)["message"]
        assert "JobRefused" in place.kubectl("get", "study", name), "the column Problem"
        place.kubectl("delete", "resourcequota", "team")

        eventually(blocked, what=operator.said)
        assert place.get("study", name)["status"]["problem"] == "ImagePullBackOff"
        patience = json.dumps({"spec": {"failurePolicy": {"pendingSeconds": 1}}})
        place.kubectl("patch", "study", name, "--type=merge", "-p", patience)
        eventually(lambda: place.condition(name) == ("False", "TooManyFailedTrials"), what=operator.said)
        cause = f'ImagePullBackOff: Back-off pulling image "{image}"'
        eventually(lambda: cause in trial_condition(place, name)["message"], what=operator.said)
        told = Counter(event["reason"] for event in place.objects("events") if event["type"] == "Warning")
        assert (told["JobRefused"], told["ImagePullBackOff"]) == (1, 1)

        node.missing_images.clear()
        patience = json.dumps({"spec": {"failurePolicy": {"pendingSeconds": 86400}}})
        place.kubectl("patch", "study", name, "--type=merge", "-p", patience)
        cluster = connect(kubeconfig=place.control_plane.kubeconfig())
        list(retried(cluster, find_study(cluster, place.namespace, name)))
        await_end(place, name, operator=operator)
        assert place.get("study", name)["status"]["retried"]
        assert {request.resource for request in proxy.forbidden} == {"jobs"}, "by the quota"
