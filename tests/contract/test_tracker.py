"""The tracker's contract: in memory, on MLflow's SQLite, and on a real MLflow server.

Whatever happens on the way (a second publication, a second process, an answer that is lost after any call), one run,
one LoggedModel and one version a checkpoint are found, and every metric once.
"""

import itertools
import logging
import multiprocessing
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from multiprocessing.synchronize import Barrier
from pathlib import Path

import pytest

from cluster.losing_proxy import LosingProxy, losing_proxy
from cluster.tracked import (
    EXPERIMENT,
    STORE,
    MlflowView,
    Place,
    assert_one_of_everything,
    evaluation,
    place,
    publish_all,
    training,
    trial,
)
from xstilts.core.errors import TrackingError, TrackingUnavailable, UserError
from xstilts.tracking import StageRecord, StudyRecord, Tracker, open_tracker

# --- the contract -----------------------------------------------------------------------------------------------------


def test_publishing_twice_leaves_one_of_everything(everywhere: Place, study: str) -> None:
    trained = training(study)
    evaluated = evaluation(trained)

    publish_all(everywhere.tracker, trained, evaluated)
    publish_all(everywhere.tracker, trained, evaluated)

    assert_one_of_everything(everywhere.view, trained)


def test_publishing_again_answers_the_same(everywhere: Place, study: str) -> None:
    trained = training(study)

    published = everywhere.tracker.publish_stage(trained)

    assert everywhere.tracker.publish_stage(trained) == published
    assert published.models.keys() == published.versions.keys() == {"last", "best"}


def test_two_studies_share_a_stage_and_its_models_but_not_the_versions(everywhere: Place, study: str) -> None:
    trained = training(study)
    reused = replace(trained, study=f"{study}-later")

    first = everywhere.tracker.publish_stage(trained)
    second = everywhere.tracker.publish_stage(reused)

    assert (second.run_id, second.models) == (first.run_id, first.models)
    for name in (trained.registered_model, reused.registered_model):
        assert sorted(everywhere.view.versions(name)) == [(trained.key, "best"), (trained.key, "last")]


def test_the_address_of_an_experiment_is_that_of_its_page_and_a_file_has_none(mlflow_place: Place, study: str) -> None:
    mlflow_place.tracker.publish_study(StudyRecord(study=study, state="Running"))
    url = mlflow_place.tracker.experiment_url()
    if mlflow_place.tracker.identity.startswith("sqlite:"):
        assert url is None
    else:
        (run,) = mlflow_place.view.runs(study=study)
        identity, experiment = mlflow_place.tracker.identity, run.info.experiment_id
        assert url == f"{identity}/#/experiments/{experiment}?workflowType=machine_learning"


def test_a_score_waits_for_the_checkpoint_it_belongs_to(everywhere: Place, study: str) -> None:
    trained = training(study)

    with pytest.raises(TrackingUnavailable, match=f"{trained.key}/last"):
        everywhere.tracker.publish_stage(evaluation(trained))


def test_a_trial_is_updated_in_place_and_keeps_its_params(everywhere: Place, study: str) -> None:
    trained = training(study)
    record = trial(trained)
    running = replace(record, state="Running", scores={"xnli/accuracy/other-languages": 50.0})

    first = everywhere.tracker.publish_trial(running)
    second = everywhere.tracker.publish_trial(replace(record, params={**record.params, "size": "3000"}))

    assert first == second
    assert everywhere.view.trials(study) == [(record.params, record.scores)]


def test_each_server_gets_a_full_set_of_its_own(sqlite_uri: str, mlflow_server: str, study: str) -> None:
    trained = training(study)
    evaluated = evaluation(trained)
    one, other = place(sqlite_uri), place(mlflow_server)

    for each in (one, other):
        publish_all(each.tracker, trained, evaluated)

    assert one.tracker.identity != other.tracker.identity
    assert_one_of_everything(one.view, trained)
    assert_one_of_everything(other.view, trained)


# --- what MLflow shows ------------------------------------------------------------------------------------------------


def test_a_stage_is_described_in_mlflow(mlflow_place: Place, study: str) -> None:
    trained = training(study)

    published = mlflow_place.tracker.publish_stage(trained)

    run = mlflow_place.mlflow.client.get_run(published.run_id)
    assert run.data.params == trained.params
    assert (run.info.status, run.info.start_time, run.info.end_time) == ("FINISHED", trained.started, trained.finished)
    assert run.data.tags["xstilts.address"] == trained.address
    (used,) = run.inputs.dataset_inputs
    assert (used.dataset.name, used.tags[0].value) == ("xnli/train.en", "training")
    outputs = {(output.model_id, output.step) for output in run.outputs.model_outputs}
    assert outputs == {(model_id, 10) for model_id in published.models.values()}


def test_many_and_long_params_fit_mlflows_limits(mlflow_place: Place, study: str) -> None:
    params = {"note": "long" * 5000, **{f"setting{number}": "1" for number in range(120)}}

    run_id = mlflow_place.tracker.publish_stage(replace(training(study), params=params)).run_id

    logged = mlflow_place.mlflow.client.get_run(run_id).data.params
    assert logged == {**params, "note": "long" * 1500}


def test_weights_are_found_from_a_registered_version(mlflow_place: Place, study: str) -> None:
    trained = training(study)
    published = mlflow_place.tracker.publish_stage(trained)

    version = mlflow_place.mlflow.client.get_model_version(trained.registered_model, str(published.versions["best"]))

    assert version.tags["xstilts.uri"] == "s3://b/stages/target-training/k/best"
    assert version.tags["xstilts.model_id"] == published.models["best"]
    assert version.run_id == published.run_id


def test_scores_are_found_by_data_set(mlflow_place: Place, study: str) -> None:
    trained = training(study)
    published = mlflow_place.tracker.publish_stage(trained)
    evaluated = mlflow_place.tracker.publish_stage(evaluation(trained))

    german = [{"dataset_name": "xnli/test.de", "dataset_digest": "de" * 16}]
    other_rows = [{"dataset_name": "xnli/test.de", "dataset_digest": "0" * 32}]
    (model,) = mlflow_place.mlflow.logged_models(trained, datasets=german)

    assert model.model_id == published.models["last"]
    assert not mlflow_place.mlflow.logged_models(trained, datasets=other_rows)
    run = mlflow_place.mlflow.client.get_run(evaluated.run_id)
    assert [given.model_id for given in run.inputs.model_inputs] == [published.models["last"]]


def test_scores_of_an_encoder_that_no_stage_trained_are_told_apart_by_name(mlflow_place: Place, study: str) -> None:
    record = evaluation(training(study))
    base = replace(record, scores=[replace(score, model=None) for score in record.scores])

    run_id = mlflow_place.tracker.publish_stage(base).run_id

    metrics = mlflow_place.mlflow.client.get_run(run_id).data.metrics
    assert metrics["eval/accuracy/de"] == 40.0
    assert metrics["eval/accuracy/other-languages"] == 42.0


def test_a_trial_lies_below_its_study_and_links_to_its_stages(mlflow_place: Place, study: str, tmp_path: Path) -> None:
    report = tmp_path / "report.html"
    report.write_text("<html></html>")
    trained = training(study)
    evaluated = evaluation(trained)

    publish_all(mlflow_place.tracker, trained, evaluated, report)

    (parent,) = mlflow_place.mlflow.runs(role="study", study=study)
    (child,) = mlflow_place.mlflow.runs(role="trial", study=study)
    (stage,) = mlflow_place.mlflow.runs(role="stage", stage_key=trained.key)
    assert child.data.tags["mlflow.parentRunId"] == parent.info.run_id
    assert child.data.tags[trained.address] == stage.info.run_id
    assert [file.path for file in mlflow_place.mlflow.client.list_artifacts(parent.info.run_id)] == ["report.html"]


def test_a_report_that_changes_is_uploaded_again(mlflow_place: Place, study: str, tmp_path: Path) -> None:
    report = tmp_path / "report.html"
    for content in ("first", "second, longer"):
        report.write_text(content)
        run_id = mlflow_place.tracker.publish_study(StudyRecord(study=study, state="Running", artifacts=[report]))

    (file,) = mlflow_place.mlflow.client.list_artifacts(run_id)
    assert file.file_size == len("second, longer")


def test_a_param_that_would_change_is_kept_with_a_warning(
    mlflow_place: Place, study: str, caplog: pytest.LogCaptureFixture
) -> None:
    mlflow_place.tracker.publish_study(StudyRecord(study=study, state="Running", params={"model": "small"}))
    with caplog.at_level(logging.WARNING, logger="xstilts.tracking"):
        mlflow_place.tracker.publish_study(StudyRecord(study=study, state="Running", params={"model": "large"}))

    assert "keeps param model='small', not 'large'" in caplog.text


def test_mlflow_run_id_in_the_environment_has_no_effect(
    mlflow_place: Place, study: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    foreign = mlflow_place.mlflow.client.create_run(mlflow_place.mlflow.experiments[0]).info.run_id
    monkeypatch.setenv("MLFLOW_RUN_ID", foreign)
    trained = training(study)

    publish_all(mlflow_place.tracker, trained, evaluation(trained))

    assert_one_of_everything(mlflow_place.view, trained)
    untouched = mlflow_place.mlflow.client.get_run(foreign)
    assert (untouched.data.params, untouched.data.metrics, untouched.info.status) == ({}, {}, "RUNNING")


# --- several stores on one server ---------------------------------------------------------------------------------------


def from_store(record: StageRecord, store: str) -> StageRecord:
    """The same stage, made from data of another store and kept there."""
    return replace(
        record,
        datasets=[replace(use, source=use.source.replace(STORE, store)) for use in record.datasets],
        checkpoints=[replace(c, uri=c.uri.replace(STORE, store)) for c in record.checkpoints],
        scores=[
            replace(s, dataset=s.dataset and replace(s.dataset, source=s.dataset.source.replace(STORE, store)))
            for s in record.scores
        ],
    )


OTHER = "s3://other/prefix"


def test_two_stores_that_made_one_stage_each_show_their_own(mlflow_place: Place, study: str) -> None:
    """Two honest runs of a stage need not be equal: neither may get the other's numbers or files."""
    other = place(mlflow_place.uri, store=OTHER)
    trained = training(study)
    evaluated = evaluation(trained)
    theirs = from_store(trained, OTHER), from_store(evaluated, OTHER)
    theirs = theirs[0], replace(theirs[1], scores=[replace(s, value=s.value + 1) for s in theirs[1].scores])

    for _ in range(2):
        ours = mlflow_place.tracker.publish_stage(trained)
        our_scores = mlflow_place.tracker.publish_stage(evaluated)
        foreign, foreign_scores = (other.tracker.publish_stage(record) for record in theirs)

    assert ours.run_id != foreign.run_id
    assert set(ours.models.values()).isdisjoint(foreign.models.values())
    assert len({*ours.versions.values(), *foreign.versions.values()}) == 4
    client = mlflow_place.mlflow.client
    for published, store in ((ours, STORE), (foreign, OTHER)):
        for name, version in published.versions.items():
            tags = client.get_model_version(trained.registered_model, str(version)).tags
            assert tags["xstilts.uri"] == f"{store}/stages/target-training/k/{name}"
    values = {
        run_id: client.get_run(run_id).data.metrics["eval/accuracy/other-languages"]
        for run_id in (our_scores.run_id, foreign_scores.run_id)
    }
    assert values[foreign_scores.run_id] == values[our_scores.run_id] + 1


def test_marks_and_pins_of_another_store_are_not_ours(mlflow_place: Place, study: str) -> None:
    other = place(mlflow_place.uri, store=OTHER)
    trained = training(study)
    mlflow_place.tracker.publish_stage(trained)
    foreign = other.tracker.publish_stage(from_store(trained, OTHER))
    mlflow_place.view.pin(trained.registered_model, foreign.versions["last"])
    assert trained.key not in mlflow_place.tracker.kept_stages()
    assert trained.key in other.tracker.kept_stages()
    mlflow_place.tracker.set_evicted([trained.key], evicted=True)
    assert not set(mlflow_place.view.evicted(trained.registered_model)) & set(foreign.versions.values())


def test_trials_of_two_stores_are_two_runs_that_link_to_their_own_stages(mlflow_place: Place, study: str) -> None:
    other = place(mlflow_place.uri, store=OTHER)
    trained = training(study)
    ours = mlflow_place.tracker.publish_stage(trained), mlflow_place.tracker.publish_trial(trial(trained))
    theirs = other.tracker.publish_stage(from_store(trained, OTHER)), other.tracker.publish_trial(trial(trained))
    assert ours[1] != theirs[1]
    for published, run_id in (ours, theirs):
        assert mlflow_place.mlflow.client.get_run(run_id).data.tags[trained.address] == published.run_id


def test_a_run_without_its_store_is_adopted_by_the_one_that_its_data_lie_in(mlflow_place: Place, study: str) -> None:
    """As versions before left them."""
    other = place(mlflow_place.uri, store=OTHER)
    trained = training(study)
    published = mlflow_place.tracker.publish_stage(trained)
    mlflow_place.mlflow.client.delete_tag(published.run_id, "xstilts.store")

    assert other.tracker.publish_stage(from_store(trained, OTHER)).run_id != published.run_id
    assert not other.tracker.known_runs([published.run_id])
    assert mlflow_place.tracker.known_runs([published.run_id]) == {published.run_id}
    assert mlflow_place.tracker.publish_stage(trained) == published
    assert mlflow_place.mlflow.client.get_run(published.run_id).data.tags["xstilts.store"] == STORE


def test_runs_that_are_gone_are_not_known(everywhere: Place, study: str) -> None:
    trained = training(study)
    known = {
        everywhere.tracker.publish_stage(trained).run_id,
        everywhere.tracker.publish_trial(trial(trained)),
        everywhere.tracker.publish_study(StudyRecord(study=study, state="Running")),
    }
    assert everywhere.tracker.known_runs([*known, "gone"]) == known
    assert not everywhere.tracker.known_runs([])


def test_a_deleted_run_is_not_known(mlflow_place: Place, study: str) -> None:
    run = mlflow_place.tracker.publish_stage(training(study)).run_id
    mlflow_place.mlflow.client.delete_run(run)
    assert not mlflow_place.tracker.known_runs([run])


# --- convergence ------------------------------------------------------------------------------------------------------


def test_duplicates_are_removed_and_the_first_stays(mlflow_place: Place, study: str) -> None:
    client = mlflow_place.mlflow.client
    trained = training(study)
    published = mlflow_place.tracker.publish_stage(trained)
    run = client.get_run(published.run_id)
    model = client.get_logged_model(published.models["last"])
    later = {**run.data.tags, "xstilts.created": "9" * 20}
    client.create_run(run.info.experiment_id, tags=later, start_time=run.info.start_time)
    client.create_logged_model(run.info.experiment_id, source_run_id=run.info.run_id, tags=model.tags)
    version = client.get_model_version(trained.registered_model, str(published.versions["last"]))
    client.create_model_version(
        version.name, model.artifact_location, run.info.run_id, tags=version.tags, model_id=model.model_id
    )

    assert mlflow_place.tracker.publish_stage(trained) == published
    mlflow_place.tracker.publish_stage(evaluation(trained))
    mlflow_place.tracker.publish_trial(trial(trained))
    assert_one_of_everything(mlflow_place.view, trained)


def test_what_a_person_deleted_is_made_again(mlflow_place: Place, study: str) -> None:
    trained = training(study)
    evaluated = evaluation(trained)
    publish_all(mlflow_place.tracker, trained, evaluated)
    (run,) = mlflow_place.mlflow.runs(role="stage", stage_key=trained.key)

    mlflow_place.mlflow.client.delete_run(run.info.run_id)
    publish_all(mlflow_place.tracker, trained, evaluated)

    assert_one_of_everything(mlflow_place.view, trained)


_meeting: list[Barrier] = []


def _meet_at(barrier: Barrier) -> None:
    _meeting.append(barrier)


def _publish_together(uri: str, rounds: Sequence[tuple[StageRecord, StageRecord]]) -> None:
    tracker = open_tracker(uri, experiment="together", store=STORE)
    for trained, evaluated in rounds:
        _meeting[0].wait(timeout=120)
        publish_all(tracker, trained, evaluated)


@pytest.fixture(scope="module")
def two_processes() -> Iterator[ProcessPoolExecutor]:
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(2, context, _meet_at, (context.Barrier(2),)) as pool:
        yield pool


@pytest.mark.parametrize("backend", ["a new SQLite file", "a server"])
def test_two_processes_at_once_leave_one_of_everything(
    backend: str, two_processes: ProcessPoolExecutor, request: pytest.FixtureRequest, study: str, tmp_path: Path
) -> None:
    uri = request.getfixturevalue("mlflow_server") if backend == "a server" else f"sqlite:///{tmp_path}/new.db"
    stages = [training(f"{study}-{number}") for number in range(3)]
    rounds = [(trained, evaluation(trained)) for trained in stages]

    futures = [two_processes.submit(_publish_together, uri, rounds) for _ in range(2)]
    for future in futures:
        future.result(timeout=200)

    view = MlflowView(uri)
    for trained in stages:
        assert_one_of_everything(view, trained)


@pytest.fixture
def proxy(mlflow_server: str) -> Iterator[LosingProxy]:
    with losing_proxy(mlflow_server) as running:
        yield running


def each_lost_write(proxy: LosingProxy) -> Iterator[int]:
    """0, 1, 2, ... with the answer to that write of what follows to be lost, until there are no more writes."""
    for number in itertools.count():
        proxy.lose(number)
        yield number
        if proxy.armed:
            proxy.lose(-1)
            return


def publish_stubbornly(proxy: LosingProxy, publish: Callable[[Tracker], object]) -> None:
    """Run, and if that fails run again, as a stage that is restarted does."""
    try:
        publish(open_tracker(proxy.address, experiment=EXPERIMENT, store=STORE))
    except TrackingUnavailable:
        publish(open_tracker(proxy.address, experiment=EXPERIMENT, store=STORE))


@pytest.fixture
def no_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    """MLflow's client repeats no call by itself."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")


@pytest.mark.usefixtures("no_retries")
def test_any_answer_of_a_training_stage_may_be_lost(proxy: LosingProxy, mlflow_server: str, study: str) -> None:
    view = MlflowView(mlflow_server)
    for number in each_lost_write(proxy):
        trained = training(f"{study}-{number}")
        publish_stubbornly(proxy, lambda tracker, record=trained: tracker.publish_stage(record))
        assert view.stages(trained.study) == ["target-training"]
        assert view.models(trained) == ["best", "last"]
        assert sorted(view.versions(trained.registered_model)) == [(trained.key, "best"), (trained.key, "last")]
        assert view.history(trained) == [(step, 50.0 + step) for step in range(1, 11)]

    assert number >= 13, "run, params, 2 models made and finished, metrics, in- and outputs, registry, versions, end"


@pytest.mark.usefixtures("no_retries")
def test_any_answer_of_an_evaluation_may_be_lost(proxy: LosingProxy, mlflow_server: str, study: str) -> None:
    view = MlflowView(mlflow_server)
    trained = training(study)
    open_tracker(mlflow_server, experiment=EXPERIMENT, store=STORE).publish_stage(trained)
    for number in each_lost_write(proxy):
        evaluated = evaluation(trained)
        publish_stubbornly(proxy, lambda tracker, record=evaluated: tracker.publish_stage(record))
        assert len(view.runs(role="stage", stage_key=evaluated.key)) == 1
        assert len(view.scores(trained)) == (number + 1) * len(evaluated.scores)

    assert number >= 5, "run, params, metrics, inputs, end"


@pytest.mark.usefixtures("no_retries")
def test_any_answer_of_a_trial_or_a_study_may_be_lost(
    proxy: LosingProxy, mlflow_server: str, study: str, tmp_path: Path
) -> None:
    view = MlflowView(mlflow_server)
    report = tmp_path / "report.html"
    report.write_text("<html></html>")
    trained = training(study)
    for number in each_lost_write(proxy):
        record = replace(trial(trained), study=f"{study}-{number}")
        whole = StudyRecord(study=record.study, state="Succeeded", params={"model": "small"}, artifacts=[report])
        publish_stubbornly(proxy, lambda tracker, record=record: tracker.publish_trial(record))
        publish_stubbornly(proxy, lambda tracker, whole=whole: tracker.publish_study(whole))
        assert view.trials(record.study) == [(record.params, record.scores)]
        assert view.studies(record.study) == 1

    assert number >= 9, "two runs, params, tags, scores, end; params, report, tag, end"


def test_every_write_may_reach_the_server_twice(
    proxy: LosingProxy, mlflow_server: str, monkeypatch: pytest.MonkeyPatch, study: str
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    proxy.lose_every_other()
    trained = training(study)

    publish_all(open_tracker(proxy.address, experiment=EXPERIMENT, store=STORE), trained, evaluation(trained))

    assert_one_of_everything(MlflowView(mlflow_server), trained)


# --- preflight --------------------------------------------------------------------------------------------------------


class _OldServer(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"2.22.0")

    def log_message(self, *args: object) -> None:
        """Tests are quiet."""


def test_a_server_that_is_too_old_is_refused() -> None:
    with HTTPServer(("127.0.0.1", 0), _OldServer) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            with pytest.raises(TrackingError, match=r"GET /version answered '2\.22\.0'.*version 3 or later"):
                open_tracker(f"http://127.0.0.1:{server.server_port}", experiment=EXPERIMENT, store=STORE).check()
        finally:
            server.shutdown()
            thread.join()


class _Refusing(BaseHTTPRequestHandler):
    """Answers as `mlflow server --app-name basic-auth` without a login, or as a server that lies elsewhere."""

    status = 401

    def do_GET(self) -> None:
        self.send_response(self.status)
        self.end_headers()
        self.wfile.write(b"You are not authenticated.")

    def do_POST(self) -> None:
        self.do_GET()

    def log_message(self, *args: object) -> None:
        """Tests are quiet."""


@contextmanager
def refusing(status: int) -> Iterator[str]:
    handler = type("_Handler", (_Refusing,), {"status": status})
    with HTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize(
    ("status", "advice"),
    [
        (401, "asks for a login.*MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD.*tracking.secretRef"),
        (403, "may not do that.*MLFLOW_TRACKING_USERNAME"),
        (404, "no MLflow API at this address.*path.*--static-prefix"),
    ],
)
def test_a_refusal_is_named_as_such(status: int, advice: str) -> None:
    with refusing(status) as address:
        tracker = open_tracker(address, experiment=EXPERIMENT, store=STORE)
        with pytest.raises(TrackingError, match=rf"GET /version failed with HTTP {status}; .*{advice}") as caught:
            tracker.check()
        assert "version 3" not in str(caught.value)
        with pytest.raises(TrackingError, match=advice):
            tracker.known_runs(["some"])


@pytest.mark.usefixtures("no_retries")
def test_a_server_that_is_overloaded_is_tried_again_later() -> None:
    with refusing(503) as address, pytest.raises(TrackingUnavailable, match="GET /version failed"):
        open_tracker(address, experiment=EXPERIMENT, store=STORE).check()


def test_a_server_that_does_not_answer_is_named_with_the_call(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with HTTPServer(("127.0.0.1", 0), _OldServer) as gone:
        port = gone.server_port

    with pytest.raises(TrackingUnavailable, match=rf"MLflow at http://127.0.0.1:{port}: GET /version failed"):
        open_tracker(f"http://127.0.0.1:{port}", experiment=EXPERIMENT, store=STORE).check()


def test_credentials_in_a_servers_address_are_refused_without_repeating_them() -> None:
    with pytest.raises(UserError, match="without user, password, query or fragment") as caught:
        open_tracker("http://me:secret@127.0.0.1:1", experiment=EXPERIMENT, store=STORE)
    assert "secret" not in str(caught.value)


def test_a_deleted_experiment_is_refused_with_the_way_out(mlflow_place: Place, study: str) -> None:
    tracker = open_tracker(mlflow_place.uri, experiment=study, store=STORE)
    tracker.check()
    client = mlflow_place.mlflow.client
    client.delete_experiment(client.get_experiment_by_name(study).experiment_id)

    with pytest.raises(TrackingError, match=f"{study}.*is deleted: restore it"):
        tracker.check()


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mlflow.db").write_text("these are not the tables of a database" * 100)

    with pytest.raises(TrackingError, match="not a database"):
        open_tracker(f"sqlite:///{tmp_path}/mlflow.db", experiment=EXPERIMENT, store=STORE).check()


def test_a_place_where_no_file_can_be_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(TrackingError, match="cannot write to"):
        open_tracker(f"sqlite:///{tmp_path}/file/mlflow.db", experiment=EXPERIMENT, store=STORE).check()


def test_a_server_does_not_get_artifacts_written_wherever_it_says(sqlite_uri: str, study: str, tmp_path: Path) -> None:
    report = tmp_path / "report.html"
    report.write_text("<html>")
    record = StudyRecord(study=study, state="Succeeded", artifacts=(report,))
    allowed: list[bool] = [False, True]
    tracker = open_tracker(sqlite_uri, experiment=study, store=STORE, takes_artifacts=lambda uri: allowed.pop(0))
    with pytest.raises(TrackingError, match=rf"artifacts of experiment '{study}' in file:.*--serve-artifacts"):
        tracker.publish_study(record)
    assert allowed == [True]
    assert tracker.publish_study(record)
    assert allowed == []
