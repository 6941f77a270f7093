"""What trackers tell of things that nobody needs, over all of them, and how it is removed."""

import time
from collections.abc import Collection
from dataclasses import replace
from typing import Any

import pytest

from cluster.tracked import Place, evaluation, place, training, trial
from xstilts.tracking import Leftover, Needed, StageRecord, StudyRecord

HOUR = 3600.0


def at(somewhere: Place, store: str) -> Place:
    """The same server, as another store publishes to it; memory is of one store."""
    return place(somewhere.uri, store=store) if somewhere.uri else somewhere


@pytest.fixture
def everywhere(everywhere: Place, study: str) -> Place:
    return at(everywhere, store_of(study))


@pytest.fixture
def mlflow_place(mlflow_place: Place, study: str) -> Place:
    return at(mlflow_place, store_of(study))


def stored(study: str, store: str = "") -> StageRecord:
    """A stage whose weights lie in a store of the test's own."""
    record = training(study)
    root = f"{store or store_of(study)}/{record.address}/checkpoints"
    return replace(record, checkpoints=[replace(c, uri=f"{root}/{c.name}") for c in record.checkpoints])


def store_of(study: str) -> str:
    return f"s3://b/{study}"


def needed(study: str, stages: Collection[StageRecord] = (), *, age: float = -HOUR, **more: Any) -> Needed:
    """What the test's store has; all that is older than `age` is looked at, by default everything."""
    return Needed(store=store_of(study), stages={stage.key for stage in stages}, before=time.time() - age, **more)


def of_kind(found: list[Leftover], kind: str) -> list[str]:
    return sorted(leftover.name for leftover in found if leftover.kind == kind)


def test_a_stage_that_is_made_leaves_nothing(everywhere: Place, study: str) -> None:
    made = stored(study)
    published = everywhere.tracker.publish_stage(made)
    names = {*published.models.values(), *(f"{made.registered_model}/{n}" for n in published.versions.values())}
    assert not names & {leftover.name for leftover in everywhere.tracker.leftovers(needed(study, [made]))}


def test_models_and_versions_of_a_stage_that_is_gone_go(everywhere: Place, study: str) -> None:
    made, gone, elsewhere = stored(study), stored(study), stored(study, "s3://b/another")
    other = at(everywhere, "s3://b/another").tracker
    published = [everywhere.tracker.publish_stage(each) for each in (made, gone)]
    published.append(other.publish_stage(elsewhere))
    wanted = needed(study, [made])

    found = everywhere.tracker.leftovers(wanted)
    removed = everywhere.tracker.remove_leftovers(wanted)

    assert set(removed) == set(found)
    left = [leftover for leftover in found if leftover.kind != "run"]  # another test may have left a run open
    assert {leftover.why for leftover in left} == {"its stage is gone"}
    assert of_kind(found, "version") == sorted(f"{gone.registered_model}/{n}" for n in published[1].versions.values())
    assert of_kind(found, "model") == sorted(published[1].models.values())
    assert everywhere.tracker.leftovers(wanted) == []
    assert everywhere.view.models(gone) == []
    assert {key for key, _ in everywhere.view.versions(made.registered_model)} == {made.key, elsewhere.key}
    assert everywhere.tracker.publish_stage(made) == published[0]
    assert other.publish_stage(elsewhere) == published[2]


def test_what_people_keep_stays_without_its_stage(everywhere: Place, study: str) -> None:
    aliased, pinned = stored(study), stored(study)
    for record, keep in ((aliased, "alias"), (pinned, "pin")):
        versions = everywhere.tracker.publish_stage(record).versions
        for version in versions.values():
            if keep == "alias":
                everywhere.view.set_alias(record.registered_model, f"a{version}", version)
            else:
                everywhere.view.pin(record.registered_model, version)
    assert everywhere.tracker.remove_leftovers(needed(study)) == []
    assert everywhere.view.models(aliased) == everywhere.view.models(pinned) == ["best", "last"]


# --- what only a server with a past can have ---------------------------------------------------------------------------


def test_what_is_young_is_left_alone(mlflow_place: Place, study: str) -> None:
    mlflow_place.tracker.publish_stage(stored(study))
    assert len(mlflow_place.tracker.leftovers(needed(study))) == 4
    assert mlflow_place.tracker.leftovers(needed(study, age=HOUR)) == []


def test_a_copy_in_a_model_of_a_person_stays(mlflow_place: Place, study: str) -> None:
    gone = stored(study)
    published = mlflow_place.tracker.publish_stage(gone)
    source = f"models:/{gone.registered_model}/{published.versions['best']}"
    mlflow_place.mlflow.client.copy_model_version(source, f"{study}-mine")
    assert mlflow_place.tracker.kept_stages()[gone.key] == f"copy in {study}-mine"
    mlflow_place.tracker.remove_leftovers(needed(study))
    assert mlflow_place.view.versions(f"{study}-mine") == [(gone.key, "best")]
    assert mlflow_place.view.models(gone) == ["best"], "the copy leads to it"


def test_duplicates_go_and_the_first_stays(mlflow_place: Place, study: str) -> None:
    client, made = mlflow_place.mlflow.client, stored(study)
    published = mlflow_place.tracker.publish_stage(made)
    run = client.get_run(published.run_id)
    model = client.get_logged_model(published.models["last"])
    later = client.create_run(
        run.info.experiment_id, tags={**run.data.tags, "xstilts.created": f"{time.time_ns():020d}"}
    )
    same = client.create_logged_model(run.info.experiment_id, source_run_id=run.info.run_id, tags=model.tags)
    of_later = client.create_logged_model(run.info.experiment_id, source_run_id=later.info.run_id, tags=model.tags)
    version = client.get_model_version(made.registered_model, str(published.versions["last"]))
    again = client.create_model_version(
        version.name, model.artifact_location, run.info.run_id, tags=version.tags, model_id=model.model_id
    )

    removed = mlflow_place.tracker.remove_leftovers(needed(study, [made]))

    assert of_kind(removed, "run") == [later.info.run_id]
    assert of_kind(removed, "model") == sorted([same.model_id, of_later.model_id])
    assert of_kind(removed, "version") == [f"{made.registered_model}/{again.version}"]
    assert mlflow_place.tracker.leftovers(needed(study, [made])) == []
    assert mlflow_place.tracker.publish_stage(made) == published


def status(place: Place, **tags: str) -> str:
    (run,) = place.mlflow.runs(**tags)
    return str(run.info.status)


@pytest.mark.parametrize(("is_made", "end"), [(True, "FINISHED"), (False, "FAILED")], ids=["done", "never ended"])
def test_a_run_that_nobody_ended_is_ended(mlflow_place: Place, study: str, is_made: bool, end: str) -> None:
    made = stored(study)
    run_id = mlflow_place.tracker.publish_stage(made).run_id
    mlflow_place.mlflow.client.update_run(run_id, status="RUNNING")
    wanted = needed(study, [made] if is_made else [])

    assert mlflow_place.tracker.leftovers(needed(study, [made], age=HOUR)) == []
    assert of_kind(mlflow_place.tracker.remove_leftovers(wanted), "run") == [run_id]

    assert status(mlflow_place, role="stage", stage_key=made.key) == end
    assert mlflow_place.tracker.publish_stage(made).run_id == run_id
    assert status(mlflow_place, role="stage", stage_key=made.key) == "FINISHED", (
        "its next publication has the last word"
    )


def test_runs_of_trials_and_studies_stay_open_until_their_study_has_ended(mlflow_place: Place, study: str) -> None:
    made = stored(study)
    evaluated = evaluation(made)
    mlflow_place.tracker.publish_trial(replace(trial(made, evaluated), state="Running"))
    mlflow_place.tracker.publish_study(StudyRecord(study=study, state="Running"))
    assert mlflow_place.tracker.remove_leftovers(needed(study, [made])) == []
    assert len(mlflow_place.tracker.remove_leftovers(needed(study, [made], ended=[study]))) == 2
    assert (
        status(mlflow_place, role="trial", study=study) == status(mlflow_place, role="study", study=study) == "FAILED"
    )
